#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines and branches of src/ that tests reached: tools/coverage.py BUILD_DIR [FILE to list]"""
import json
import os
import subprocess
import sys


def counts(build, top):
    """{path: {line: (count, [branch counts])}}, joined over all objects."""
    lines = {}
    for folder, _, names in os.walk(build):
        for name in names:
            if not name.endswith(".gcda"):
                continue
            done = subprocess.run(
                ["gcov", "--json-format", "--stdout", "--branch-probabilities",
                 os.path.join(folder, name)],
                capture_output=True, text=True, check=True, cwd=build)
            for document in done.stdout.splitlines():
                for file in json.loads(document)["files"]:
                    path = os.path.relpath(os.path.join(top, file["file"]), top)
                    if path.startswith("src/") and not path.endswith("_test.c"):
                        join(lines.setdefault(path, {}), file["lines"])
    return lines


def join(into, lines):
    for line in lines:
        count, branches = into.get(line["line_number"], (0, []))
        new = [branch["count"] for branch in line["branches"]]
        if len(branches) == len(new):
            new = [a + b for a, b in zip(branches, new)]
        into[line["line_number"]] = (count + line["count"], new)


def percent(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "      -"


def main():
    build = os.path.abspath(sys.argv[1])
    top = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
    lines = counts(build, top)
    if not lines:
        sys.exit("coverage: no counts; run the tests of the coverage preset first")
    if len(sys.argv) > 2:
        for number, (count, _) in sorted(lines[sys.argv[2]].items()):
            if count == 0:
                print(f"{sys.argv[2]}:{number}")
        return
    total = [0, 0, 0, 0]
    print(f"{'file':40}{'lines':>16}{'branches':>16}")
    for path, found in sorted(lines.items()):
        branches = [b for _, bs in found.values() for b in bs]
        row = [sum(1 for c, _ in found.values() if c), len(found),
               sum(1 for b in branches if b), len(branches)]
        total = [a + b for a, b in zip(total, row)]
        print(f"{path:40}{row[1]:7} {percent(*row[:2])}{row[3]:8} {percent(*row[2:])}")
    print(f"{'all':40}{total[1]:7} {percent(*total[:2])}{total[3]:8} {percent(*total[2:])}")


main()
