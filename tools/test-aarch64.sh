#!/bin/bash
# SPDX-License-Identifier: MIT
# Cross-builds the library for 64-bit ARM and runs tests under qemu-user:
#	tools/test-aarch64.sh [REGEX of test names]
set -euo pipefail
cd "$(dirname "$0")/.."
for program in aarch64-linux-gnu-gcc qemu-aarch64; do
	if ! command -v "$program" >/dev/null; then
		echo "aarch64: $program is missing; make setup installs it" >&2
		exit 1
	fi
done
pattern=${1:-.}
tools/configure.sh aarch64
mapfile -t names < <(ctest --test-dir build-aarch64 -N -R "$pattern" |
	sed -n 's/^ *Test *#[0-9]*: //p')
if [ "${#names[@]}" -eq 0 ]; then
	echo "aarch64: no test matches $pattern" >&2
	exit 1
fi
cmake --build build-aarch64 -j "$(nproc)" --target "${names[@]/#/test_}"
ctest --test-dir build-aarch64 --output-on-failure -R "$pattern"
