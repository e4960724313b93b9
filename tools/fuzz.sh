#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs every fuzzer of a build for so many seconds: tools/fuzz.sh BUILD_DIR SECONDS [NAME...]
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
failed=()
for name in "${names[@]}"; do
	kept=fuzz/corpus/$name
	found=$build/corpus/$name
	mkdir -p "$kept" "$found"
	if [ "$seconds" = merge ]; then
		"$build/fuzz/$name" -merge=1 "$kept" "$found" 2>&1 | tail -1
		continue
	fi
	echo "fuzz: $name, $seconds s"
	dictionary=()
	if [ -e "fuzz/$name.dict" ]; then dictionary=(-dict="fuzz/$name.dict"); fi
	log=$build/fuzz-$name.log
	if ! "$build/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$build/crashes/$name-" \
		${dictionary[@]+"${dictionary[@]}"} "$found" "$kept" >"$log" 2>&1; then
		tail -40 "$log"
		failed+=("$name")
	fi
	grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added)' "$log" || :
done
if [ "${#failed[@]}" -gt 0 ]; then
	echo "fuzz: failed: ${failed[*]}; inputs are in $build/crashes"
	exit 1
fi
