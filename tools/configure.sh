#!/bin/sh
# SPDX-License-Identifier: MIT
# Configures a preset, quietly unless it fails: tools/configure.sh PRESET
set -eu
cd "$(dirname "$0")/.."
# Only new build folders take it; an old one keeps the generator that made it.
if [ -z "${CMAKE_GENERATOR-}" ] && command -v ninja >/dev/null; then
	export CMAKE_GENERATOR=Ninja
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -DWEFT_WERROR=ON --preset "$1" >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
grep -A3 'Warning' "$log" >&2 || :
