#!/bin/bash
# SPDX-License-Identifier: MIT
# What make run-tunnel shows, with a small file: it ends by itself and leaves nothing behind.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
TMPDIR=$tmp WEFT_RUN_MIB=8 WEFT_RUN_ONCE=1 "$WEFT_SRC/tools/run-tunnel.sh" </dev/null | tee "$tmp/out"
grep -q 'as sent' "$tmp/out"
grep -q 'through the tunnel .* direct .* %' "$tmp/out"
rm "$tmp/out"
if [ -n "$(ls -A "$tmp")" ]; then
	echo "left behind: $(ls -A "$tmp")" >&2
	exit 1
fi
