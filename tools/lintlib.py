# SPDX-License-Identifier: MIT
"""What the lints share: the files of a tree, C without its comments, reporting."""
import argparse
import bisect
import os
import re
import subprocess
import sys

C_TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.S,
)


class Lint:
    """Collects findings; exit() prints them and says how it went."""

    def __init__(self, description):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
        self.root = os.path.abspath(parser.parse_args().root)
        self.name = os.path.basename(sys.argv[0])
        self.errors = []
        self.warnings = []
        self.checked = 0

    def error(self, path, line, text):
        self.errors.append(f"{path}:{line}: {text}")

    def warn(self, path, line, text):
        self.warnings.append(f"{path}:{line}: warning: {text}")

    def read(self, path):
        self.checked += 1
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def files(self, *suffixes):
        """Paths below root that git would track; every file where git does not know root."""
        listed = subprocess.run(
            ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, text=True, check=False,
        )
        top = os.path.exists(os.path.join(self.root, ".git"))
        if top and listed.returncode == 0:
            paths = [p for p in listed.stdout.split("\0") if p]
        else:
            paths = [
                os.path.relpath(os.path.join(folder, name), self.root)
                for folder, _, names in os.walk(self.root)
                for name in names
            ]
        return sorted(
            p for p in set(paths)
            if not re.match(r"build[-/]", p) and p.endswith(suffixes)
            and os.path.isfile(os.path.join(self.root, p))
        )

    def exit(self):
        for line in self.warnings + self.errors:
            print(line)
        state = f"{len(self.errors)} errors" if self.errors else "ok"
        print(f"{self.name}: {self.checked} files, {state}")
        sys.exit(1 if self.errors else 0)


def is_test(path):
    """Tests, tools, fuzzers and benchmarks may reach into every layer."""
    return (path.endswith(("_test.c", "_tool.c"))
            or path.startswith(("tests/", "fuzz/", "bench/")))


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def split_c(text):
    """(code, comments): code with comments and the insides of strings blanked, each at its
    place; comments as (first line, last line, text)."""
    comments = []
    starts = [0] + [m.end() for m in re.finditer("\n", text)]

    def line_of(offset):
        return bisect.bisect_right(starts, offset)

    def replace(match):
        found = match.group(0)
        if match.group("comment"):
            comments.append((line_of(match.start()), line_of(match.end() - 1), found))
            return blank(found)
        return found[0] + blank(found[1:-1]) + found[-1]

    return C_TOKEN.sub(replace, text), comments


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
