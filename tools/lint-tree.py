#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small rules for every file.

- Each source says its licence in its first three lines.
- No trailing blanks, a newline at the end; Python has no tabs, C is indented by tabs.
- C files: 800 lines warn, 900 fail; functions of more than 70 lines warn.
- Headers have a guard named after their path.
- Assembly has .note.GNU-stack (else the stack becomes executable) and hides its symbols.
- Libraries allocate through base/mem.h, so that tests can make any allocation fail.
- Public headers compile alone, as C17 and as C++17."""
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from lintlib import Lint, is_test, line_of, split_c

LINES_WARN = 800
LINES_MAX = 900
FUNCTION_LINES_WARN = 70
SOURCES = (".c", ".h", ".S", ".py", ".sh", ".cmake", "CMakeLists.txt", "Makefile", ".map")
ALLOCATORS = r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup|aligned_alloc|" \
    r"posix_memalign|asprintf|vasprintf)\s*\("
UNBOUNDED = r"\b(gets|strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol)\s*\("
ALLOCATES = ("src/base/mem.c",)


def check_text(lint, path, text):
    lines = text.split("\n")
    if not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
        lint.error(path, 1, "no SPDX-License-Identifier: MIT in the first three lines")
    if text and not text.endswith("\n"):
        lint.error(path, len(lines), "no newline at the end")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            lint.error(path, number, "blanks at the end of the line")
        if path.endswith(".py") and "\t" in line:
            lint.error(path, number, "tab in Python")
        if path.endswith((".c", ".h")) and re.match(r" {4,}\S", line) and "*" not in line[:9]:
            lint.error(path, number, "indented by spaces")


def check_lengths(lint, path, text):
    lines = text.split("\n")
    if len(lines) > LINES_MAX:
        lint.error(path, LINES_MAX, f"{len(lines)} lines; {LINES_MAX} at most")
    elif len(lines) > LINES_WARN:
        lint.warn(path, LINES_WARN, f"{len(lines)} lines; time to split it")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start > FUNCTION_LINES_WARN:
                lint.warn(path, start, f"a function of {number - start} lines")
            start = None


def guard_of(path):
    path = re.sub(r"^(include|src)/", "", path)
    path = re.sub(r"^tests/support/(?=[^/]*$)|^(tests|cli|bench|fuzz)/(support/)?", "", path)
    return re.sub(r"[^A-Z0-9]", "_", path.upper())


def check_header(lint, path, text):
    guard = guard_of(path)
    if not re.search(rf"^#ifndef {guard}\n#define {guard}\n", text, re.M):
        lint.error(path, 1, f"no include guard {guard}")


def check_library(lint, path, text):
    code, _ = split_c(text)
    if path not in ALLOCATES:
        for match in re.finditer(ALLOCATORS, code):
            if re.search(r"(->|\.)\s*$", code[:match.start()]):
                continue  # a function pointer of that name
            lint.error(path, line_of(code, match.start()), f"{match.group(1)}: use base/mem.h")
    for match in re.finditer(UNBOUNDED, code):
        lint.error(path, line_of(code, match.start()), f"{match.group(1)} has no bound")


def check_assembly(lint, path, text):
    if not re.search(r'\.section\s+\.note\.GNU-stack\s*,\s*""\s*,\s*[%@]progbits', text):
        lint.error(path, 1, "no .note.GNU-stack section")
    hidden = set(re.findall(r"^\s*\.hidden\s+(\w+)", text, re.M))
    for match in re.finditer(r"^\s*\.glob[a]?l\s+(\w+)", text, re.M):
        if match.group(1) not in hidden:
            lint.error(path, line_of(text, match.start()), f"{match.group(1)} is not .hidden")


def check_alone(lint, paths):
    """Compiles each public header by itself."""
    commands = []
    for path in paths:
        unit = f"#include <{path[len('include/'):]}>\n"
        for compiler, language, standard in (("gcc", "c", "c17"), ("g++", "c++", "c++17")):
            commands.append((path, unit, [
                compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic",
                "-Werror", "-fsyntax-only", "-I", os.path.join(lint.root, "include"), "-"]))

    def run(job):
        path, unit, command = job
        done = subprocess.run(command, input=unit, capture_output=True, text=True, check=False)
        return path, command[0], done

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, compiler, done in pool.map(run, commands):
            if done.returncode != 0:
                lint.error(path, 1, f"does not compile alone with {compiler}:\n{done.stderr}")


def main():
    lint = Lint(__doc__.splitlines()[0])
    public = []
    for path in lint.files(*SOURCES):
        text = lint.read(path)
        check_text(lint, path, text)
        if path.endswith((".c", ".h")):
            check_lengths(lint, path, text)
        if path.endswith(".h"):
            check_header(lint, path, text)
        if path.endswith(".S"):
            check_assembly(lint, path, text)
        if path.startswith("src/") and path.endswith((".c", ".h")) and not is_test(path):
            check_library(lint, path, text)
        if path.startswith("include/") and path.endswith(".h"):
            public.append(path)
    check_alone(lint, public)
    lint.exit()


main()
