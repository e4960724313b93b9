#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs every fuzzer of a build for so many seconds, as many at a time as there are cores:
#	tools/fuzz.sh BUILD_DIR SECONDS [NAME...]
# What it finds anew goes to BUILD_DIR/corpus/NAME, what crashes to BUILD_DIR/crashes;
# fuzz/corpus/NAME is read only (tools/fuzz.sh BUILD_DIR merge adds what covers more).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/fuzz.sh BUILD_DIR SECONDS|merge [NAME...]}
seconds=${2:?usage: tools/fuzz.sh BUILD_DIR SECONDS|merge [NAME...]}
shift 2
mkdir -p "$build/crashes"
names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
	for program in "$build"/fuzz/*; do
		if [ -f "$program" ] && [ -x "$program" ]; then names+=("${program##*/}"); fi
	done
fi
if [ "${#names[@]}" -eq 0 ]; then
	echo "fuzz: there is no fuzzer in $build/fuzz" >&2
	exit 1
fi
# Its status is that of the fuzzer.
fuzz_one()
{
	local build=$1 seconds=$2 name=$3 kept=fuzz/corpus/$3 found=$1/corpus/$3 status=0
	local log=$build/fuzz-$name.log dictionary=()
	mkdir -p "$kept" "$found"
	if [ "$seconds" = merge ]; then
		"$build/fuzz/$name" -merge=1 "$kept" "$found" 2>&1 | tail -1
		return 0
	fi
	if [ -e "fuzz/$name.dict" ]; then dictionary=(-dict="fuzz/$name.dict"); fi
	"$build/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$build/crashes/$name-" \
		${dictionary[@]+"${dictionary[@]}"} "$found" "$kept" >"$log" 2>&1 || status=1
	{
		echo "fuzz: $name, $seconds s"
		if [ "$status" -ne 0 ]; then
			tail -40 "$log"
			echo "fuzz: $name: FAILED"
		fi
		grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added)' "$log"
	} >"$log.said" || :
	cat "$log.said" # at once: others speak at the same time
	return "$status"
}
export -f fuzz_one

if ! printf '%s\n' "${names[@]}" |
	xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$@"' fuzz_one "$build" "$seconds" {}; then
	echo "fuzz: failed; inputs are in $build/crashes"
	exit 1
fi
