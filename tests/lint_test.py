# SPDX-License-Identifier: MIT
# weft-test: not=tsan,coverage,debug,release
"""The lints find what they are for and leave good code alone."""
import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
SPDX = "/* SPDX-License-Identifier: MIT */\n"


class LintCase(unittest.TestCase):
    lint = None

    def run_lint(self, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text)
            return subprocess.run(
                [sys.executable, os.path.join(TOOLS, self.lint), "--root", root],
                capture_output=True, text=True, check=False)

    def good(self, path, text, **others):
        done = self.run_lint({path: text, **others})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def bad(self, path, text, expected, line=None):
        done = self.run_lint({path: text})
        self.assertEqual(done.returncode, 1, "passed: " + text + done.stderr)
        self.assertIn(expected, done.stdout)
        if line:
            self.assertIn(f"{path}:{line}:", done.stdout)


class Layers(LintCase):
    lint = "lint-layers.py"

    def test_downward_is_allowed(self):
        self.good("src/rt/a.c", '#include "rt/rt.h"\n#include "io/io.h"\n#include "base/list.h"\n'
                  "#include <weft/scope.h>\n#include <unistd.h>\n")
        self.good("src/net/a.c", '#include "sync/x.h"\n#include <weft/conn.h>\n')
        self.good("src/bridge/a.c", '#include "http/x.h"\n#include "mux/x.h"\n')
        self.good("src/proto/a.c", '#include "base/x.h"\n#include <weft/buf.h>\n#include <string.h>\n')

    def test_upward_is_not(self):
        self.bad("src/io/a.c", '\n#include "rt/rt.h"\n', "io must not depend on rt", 2)
        self.bad("src/rt/a.c", '#include "net/x.h"\n', "rt must not depend on net")
        self.bad("src/base/a.c", '#include "proto/x.h"\n', "base must not depend on proto")
        self.bad("src/sync/a.c", "#include <weft/net.h>\n", "above sync")
        self.bad("src/base/a.c", "#include <weft/scope.h>\n", "above base")
        self.bad("include/weft/buf.h", "#include <weft/chan.h>\n", "above")

    def test_neighbours_are_not(self):
        self.bad("src/ws/a.c", '#include "http/x.h"\n', "ws must not depend on http")

    def test_codecs_see_base_only(self):
        self.bad("src/proto/a.c", '#include "io/io.h"\n', "proto must not depend on io")
        self.bad("src/proto/a.c", "#include <weft/chan.h>\n", "above proto")
        self.bad("src/proto/a.c", "#include <unistd.h>\n", "no system calls")
        self.bad("src/proto/a.c", "#include <time.h>\n", "no system calls")

    def test_internal_headers_are_named_from_src(self):
        self.bad("src/rt/a.c", '#include "rt.h"\n', "named from src/")
        self.bad("src/rt/a.c", '#include "../io/io.h"\n', "no '..'")

    def test_a_new_folder_needs_a_layer(self):
        self.bad("src/misc/a.c", "#include <stdio.h>\n", "in no layer")
        self.bad("include/weft/unheard_of.h", "#include <stdint.h>\n", "give it a layer")

    def test_command_and_examples_see_public_headers_only(self):
        self.good("cli/a.c", '#include <weft/weft.h>\n#include "args.h"\n')
        self.bad("cli/a.c", '#include "rt/rt.h"\n', "public headers only")
        self.bad("examples/a.c", '#include "support.h"\n', "public headers only")

    def test_public_headers_do_not_see_src(self):
        self.bad("include/weft/base.h", '#include "base/err.h"\n', "only <...>")

    def test_tests_and_comments_are_free(self):
        self.good("src/base/a_test.c", '#define _GNU_SOURCE\n#include "rt/rt.h"\n')
        self.good("src/base/a.c", '/*\n#include "rt/rt.h"\n*/\n')

    def test_gnu_source_has_its_places(self):
        self.good("src/io/a.c", "#define _GNU_SOURCE\n#include <sched.h>\n")
        self.bad("src/base/a.c", "\n#define _GNU_SOURCE\n", "_GNU_SOURCE", 2)
        self.bad("cli/a.c", "#define _GNU_SOURCE\n", "_GNU_SOURCE")


LOAD = "x = atomic_load_explicit(&w, memory_order_acquire);\n"


class Atomics(LintCase):
    lint = "lint-atomics.py"

    def test_a_reason_on_the_line_or_above(self):
        self.good("src/rt/a.c", "/* acquire; pairs with the release in put */\n" + LOAD)
        self.good("src/rt/a.c", "/* acquire: pairs with put */\na();\nb();\nc();\n" + LOAD)
        self.good("src/rt/a.c", LOAD.replace(");", "); /* acquire: pairs with put */"))
        self.good("src/rt/a.c", "/* acq_rel on success: takes and gives the slot */\n"
                  "atomic_compare_exchange_strong_explicit(&w, &e, 1,\n"
                  "\tmemory_order_acq_rel, memory_order_relaxed);\n")

    def test_no_reason(self):
        self.bad("src/rt/a.c", "\n" + LOAD, "says why acquire", 2)
        self.bad("src/rt/a.c", "/* acquire */\n" + LOAD, "says why acquire")
        self.bad("src/rt/a.c", "/* reads the word of the lock */\n" + LOAD, "says why acquire")
        self.bad("src/rt/a.c", "/* acquire: pairs with put */\na\nb\nc\nd\n" + LOAD, "says why")

    def test_the_reason_must_name_the_order_used(self):
        self.bad("src/rt/a.c", "/* relaxed: only a statistic here */\n" + LOAD, "says why acquire")

    def test_one_reason_for_a_group(self):
        self.good("src/rt/a.c", "/* acquire: pairs with the writers */\n" + LOAD * 6)

    def test_only_explicit_operations(self):
        self.bad("src/rt/a.c", "/* seq_cst: all see one order */\natomic_store(&w, 1);\n", "explicit")
        self.good("src/rt/a.c", "atomic_init(&w, 1);\n")

    def test_places(self):
        self.good("src/base/refcount.h", "#include <stdatomic.h>\n_Atomic int w;\n")
        self.good("src/io/a.c", "_Atomic int w;\n")
        self.bad("src/net/a.c", "_Atomic int w;\n", "atomics belong in")
        self.bad("src/base/buf.c", "#include <stdatomic.h>\n", "atomics belong in")
        self.bad("include/weft/buf.h", "_Atomic int w;\n", "atomics belong in")

    def test_fences_and_builtins(self):
        self.bad("src/rt/a.c", "/* seq_cst: orders it all anew */\n"
                 "atomic_thread_fence(memory_order_seq_cst);\n", "atomic_thread_fence")
        self.bad("src/rt/a.c", "__atomic_store_n(&w, 1, 0);\n", "__atomic_store_n")
        self.bad("src/rt/a.c", "__sync_synchronize();\n", "__sync_synchronize")

    def test_volatile_and_alloca(self):
        self.bad("src/rt/a.c", "static volatile int stop;\n", "volatile")
        self.good("src/rt/a.c", "static volatile sig_atomic_t stop;\n")
        self.good("src/rt/a.c", '__asm__ volatile("pause");\n')
        self.bad("cli/a.c", "p = alloca(n);\n", "alloca")
        self.good("src/rt/a.c", "/* no volatile, no alloca */\nchar *s = \"volatile\";\n")

    def test_tests_are_exempt(self):
        self.good("src/net/a_test.c", "atomic_store(&w, 1);\n")


class Tree(LintCase):
    lint = "lint-tree.py"

    def test_licence(self):
        self.good("src/rt/a.c", SPDX + "int x;\n")
        self.bad("src/rt/a.c", "int x;\n", "SPDX")
        self.bad("tools/a.sh", "#!/bin/sh\ntrue\n", "SPDX")

    def test_blanks_and_ends(self):
        self.bad("src/rt/a.c", SPDX + "int x; \n", "blanks at the end", 2)
        self.bad("src/rt/a.c", SPDX + "int x;", "no newline")
        self.bad("tools/a.py", "# SPDX-License-Identifier: MIT\nif a:\n\tb()\n", "tab in Python")
        self.bad("src/rt/a.c", SPDX + "int f(void)\n{\n    return 0;\n}\n", "indented by spaces", 4)

    def test_lengths(self):
        self.bad("src/rt/a.c", SPDX + "int x;\n" * 950, "900 at most")
        out = self.good("src/rt/a.c", SPDX + "int x;\n" * 850)
        self.assertIn("time to split it", out)
        out = self.good("src/rt/a.c", SPDX + "void f(void)\n{\n" + "\tg();\n" * 80 + "}\n")
        self.assertIn("a function of 81 lines", out)

    def test_guards(self):
        self.good("src/rt/a.h", SPDX + "#ifndef RT_A_H\n#define RT_A_H\n#endif\n")
        self.bad("src/rt/a.h", SPDX + "#ifndef A_H\n#define A_H\n#endif\n", "RT_A_H")

    def test_assembly(self):
        note = '.section .note.GNU-stack,"",%progbits\n'
        self.good("src/rt/a.S", SPDX + ".globl f\n.hidden f\nf:\n" + note)
        self.bad("src/rt/a.S", SPDX + ".globl f\n.hidden f\nf:\n", ".note.GNU-stack")
        self.bad("src/rt/a.S", SPDX + ".globl f\nf:\n" + note, "f is not .hidden")

    def test_allocation_goes_through_the_wrappers(self):
        self.good("src/rt/a.c", SPDX + "p = mem_alloc(3);\nhooks->free(p);\n/* malloc(3) */\n")
        self.bad("src/rt/a.c", SPDX + "p = malloc(3);\n", "base/mem.h", 2)
        self.bad("src/rt/a.c", SPDX + "free(p);\n", "base/mem.h")
        self.good("src/rt/a_test.c", SPDX + "p = malloc(3);\n")
        self.bad("src/rt/a.c", SPDX + "strcpy(a, b);\n", "no bound")

    def test_public_headers_stand_alone(self):
        head, end = SPDX + "#ifndef WEFT_A_H\n#define WEFT_A_H\n", "#endif\n"
        self.good("include/weft/a.h", head + "#include <stddef.h>\nsize_t f(void);\n" + end)
        self.bad("include/weft/a.h", head + "size_t f(void);\n" + end, "alone with gcc")
        self.bad("include/weft/a.h", head + "int f(int class);\n" + end, "alone with g++")


class ImplicitAtomics(unittest.TestCase):
    """Plain reads and writes of _Atomic objects are left to clang: it must still see them."""

    def test_clang_reports_them(self):
        for statement, expected in (("w++;", True), ("w = 1;", True), ("(void)&w;", False)):
            done = subprocess.run(
                ["clang", "-xc", "-fsyntax-only", "-Werror", "-Watomic-implicit-seq-cst", "-"],
                input="_Atomic int w;\nvoid f(void);\nvoid f(void) { %s }\n" % statement,
                capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode != 0, expected, statement + done.stderr)


if __name__ == "__main__":
    unittest.main()
