#!/bin/bash
# SPDX-License-Identifier: MIT
# What make run shows: an answer through each transport; it ends by itself and leaves nothing behind.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
TMPDIR=$tmp WEFT_RUN_ONCE=1 "$WEFT_SRC/tools/run.sh" </dev/null | tee "$tmp/out"
for text in '"id":1,.*"text":"5"' '"progressToken":"mine","progress":3' '"text":"3 steps"' \
	'^    event: endpoint' '"text":"hello over SSE"' '"text":"hello over stdio"' '^run: ended'; do
	if ! grep -q "$text" "$tmp/out"; then
		echo "run.sh did not show: $text" >&2
		exit 1
	fi
done
rm "$tmp/out"
if [ -n "$(ls -A "$tmp")" ]; then
	echo "left behind: $(ls -A "$tmp")" >&2
	exit 1
fi
