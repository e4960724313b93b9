#!/bin/bash
# SPDX-License-Identifier: MIT
# Formats every C file in place, or checks with --check.
set -euo pipefail
cd "$(dirname "$0")/.."
# The layout is version 14's; others disagree in places.
tool=$(command -v clang-format-14 || command -v clang-format)
case $("$tool" --version) in
*"version 14."*) ;;
*)
	echo "format: clang-format 14 is needed, found: $("$tool" --version)" >&2
	exit 1
	;;
esac
mode=(-i)
if [ "${1-}" = --check ]; then
	mode=(--dry-run -Werror)
fi
git ls-files -z --cached --others --exclude-standard -- '*.c' '*.h' |
	while IFS= read -r -d '' file; do
		if [ -e "$file" ]; then printf '%s\0' "$file"; fi
	done | xargs -0 -r -n 16 -P "$(nproc)" "$tool" "${mode[@]}"
