#!/bin/sh
# SPDX-License-Identifier: MIT
# Configures a preset, quietly unless it fails: tools/configure.sh PRESET
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -DWEFT_WERROR=ON --preset "$1" >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
grep -A3 'Warning' "$log" >&2 || :
