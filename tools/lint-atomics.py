#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Atomics are where they belong, explicit, and say why.

- Only in src/sync, src/rt, src/io (a backend is woken by other threads), and in
  src/base/refcount.* and counter.*, which the other layers use.
- Only _explicit calls (atomic_init apart). Plain reads and writes of _Atomic objects are
  found by clang's -Watomic-implicit-seq-cst, in make lint.
- A comment names the order and the reason: on the operation's own lines, or at most three
  lines above it (lines with atomic operations in between are not counted, so that one
  comment can speak for a group). It must have the word for the order that is used.
- No fences (the thread sanitizer does not see them), no __sync or __atomic built-ins but the
  load that include/weft/base.h has for programs in C and C++ (WEFT_LOAD_ACQUIRE).
- No volatile but volatile sig_atomic_t and __asm__ volatile; no alloca.

Tests, fuzzers and benchmarks are exempt."""
import re

from lintlib import Lint, is_test, line_of, split_c

ALLOWED = re.compile(r"src/(sync|rt|io)/|src/base/(refcount|counter)\.[ch]$")
LOAD = ("include/weft/base.h", "__atomic_load_n")
LINES_ABOVE = 3
WORDS_MIN = 4  # the order and a reason

USE = re.compile(r"\b(_Atomic|atomic_\w+|memory_order_\w+)\b|stdatomic\.h")
CALL = re.compile(r"\b(atomic_\w+)\s*\(")
ORDER = re.compile(r"\bmemory_order_(\w+)")
WORDS = {
    "relaxed": [{"relaxed"}],
    "acquire": [{"acquire"}, {"acquires"}],
    "consume": [{"consume"}],
    "release": [{"release"}, {"releases"}],
    "acq_rel": [{"acq_rel"}, {"acquire", "release"}],
    "seq_cst": [{"seq_cst"}, {"sequentially"}],
}


def closing(code, start):
    """Offset just past the parenthesis that closes the one at start."""
    depth = 0
    for i in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        if depth == 0:
            return i + 1
    return len(code)


def explains(comment, orders):
    words = re.findall(r"[\w']+", comment.lower())
    if len(words) < WORDS_MIN:
        return False
    found = set(words)
    if not orders:  # passed in by the caller
        return any(need <= found for needs in WORDS.values() for need in needs)
    return any(need <= found for need in WORDS.get(orders[0], []))


def has_reason(first, last, orders, comments, op_lines):
    for begin, end, text in comments:
        if begin > last or not explains(text, orders):
            continue
        between = [n for n in range(end + 1, first) if n not in op_lines]
        if len(between) <= LINES_ABOVE:
            return True
    return False


def check_operations(lint, path, code, comments):
    operations = []
    for match in CALL.finditer(code):
        name = match.group(1)
        line = line_of(code, match.start())
        if name in ("atomic_thread_fence", "atomic_signal_fence"):
            lint.error(path, line, f"{name}: use a sequentially consistent read-modify-write")
        elif name in ("atomic_init", "atomic_is_lock_free"):
            continue
        elif not name.endswith("_explicit"):
            lint.error(path, line, f"{name}: only the _explicit form")
        else:
            end = closing(code, match.end() - 1)
            orders = ORDER.findall(code[match.end():end])
            operations.append((name, line, line_of(code, end), orders))
    op_lines = {n for _, first, last, _ in operations for n in range(first, last + 1)}
    for name, first, last, orders in operations:
        if not has_reason(first, last, orders, comments, op_lines):
            order = orders[0] if orders else "the order"
            lint.error(path, first, f"{name}: no comment close by says why {order}")


def check_file(lint, path):
    code, comments = split_c(lint.read(path))
    for match in re.finditer(r"\b(__sync_\w+|__atomic_\w+)", code):
        if (path, match.group(1)) != LOAD:
            lint.error(path, line_of(code, match.start()), f"{match.group(1)}: use <stdatomic.h>")
    for match in re.finditer(r"\bvolatile\b", code):
        around = code[max(0, match.start() - 30):match.end() + 30]
        if not re.search(r"\bvolatile\s+sig_atomic_t|sig_atomic_t\s+volatile|asm(__)?\s+volatile",
                         around):
            lint.error(path, line_of(code, match.start()), "volatile is no synchronisation")
    for match in re.finditer(r"\balloca\b", code):
        lint.error(path, line_of(code, match.start()), "alloca: stacks are small")
    used = USE.search(code)
    if used and not ALLOWED.match(path):
        lint.error(path, line_of(code, used.start()),
                   "atomics belong in src/sync, src/rt, src/io, base/refcount.h, base/counter.h")
    check_operations(lint, path, code, comments)


def main():
    lint = Lint(__doc__.splitlines()[0])
    for path in lint.files(".c", ".h"):
        if path.startswith(("src/", "include/", "cli/")) and not is_test(path):
            check_file(lint, path)
    lint.exit()


main()
