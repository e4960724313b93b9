#!/bin/bash
# SPDX-License-Identifier: MIT
# The examples do what their first comment says.
set -euo pipefail
out=$("$WEFT_EXAMPLES/hello")
[ "$out" = $'got 1\ngot 2\ngot 3' ] || { echo "hello said: $out" >&2; exit 1; }
# the README shows this very program
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$WEFT_SRC/README.md" >/tmp/weft-readme.$$
trap 'rm -f /tmp/weft-readme.$$' EXIT
tail -n +2 "$WEFT_SRC/examples/hello.c" | diff - /tmp/weft-readme.$$
if "$WEFT_EXAMPLES/file_server" 2>/dev/null; then
	echo "file_server without arguments ended well" >&2
	exit 1
fi
