#!/bin/bash
# SPDX-License-Identifier: MIT
# Every check that runs nothing: tools/lint.sh BUILD_DIR (configured, for its
# compile_commands.json). All of them run, then the ones that failed are named.
set -uo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/lint.sh BUILD_DIR}
jobs=$(nproc)
failed=()

step()
{
	local name=$1 start=$SECONDS
	shift
	if ! "$@"; then
		failed+=("$name")
		echo "lint: $name: FAILED ($((SECONDS - start)) s)"
	else
		echo "lint: $name: ok ($((SECONDS - start)) s)"
	fi
}

layout()
{
	if ! { clang-format-14 --version || clang-format --version; } 2>/dev/null | grep -q 'version 14\.'; then
		echo "lint: layout: NOT CHECKED, clang-format 14 is not installed"
		return 0
	fi
	tools/format.sh --check
}

# Files of the library and the command that the build compiles, tests left out.
sources()
{
	local folders=(src)
	[ ! -d cli ] || folders+=(cli)
	find "${folders[@]}" -name '*.c' ! -name '*_test.c' ! -name '*_tool.c' | sort
}

tidy_one()
{
	local log
	log=$(clang-tidy --quiet -p "$1" "$2" 2>&1)
	local status=$?
	if [ "$status" -ne 0 ]; then
		printf '%s\n' "$log" | grep -v '^[0-9]* warnings\? generated\.$'
	fi
	return "$status"
}
export -f tidy_one

# What the build leaves out has no flags to be looked at with.
built()
{
	local source
	while read -r source; do
		if grep -qF "/$source\"" "$build/compile_commands.json"; then
			printf '%s\n' "$source"
		fi
	done
}

tidy()
{
	sources | built | xargs -r -n 1 -P "$jobs" bash -c 'tidy_one "$0" "$1"' "$build"
}

# autoVariables: waiters live on the stack of who waits, and are linked from elsewhere.
cppchecked()
{
	mkdir -p "$build/cppcheck"
	sources | cppcheck --quiet --file-list=- -j "$jobs" --cppcheck-build-dir="$build/cppcheck" \
		--enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--std=c11 -D__x86_64__ -D__linux__ -D__GNUC__=12 -I include -I src \
		--suppress=missingInclude --suppress=missingIncludeSystem \
		--suppress=autoVariables --suppress=normalCheckLevelMaxBranches --suppress=unmatchedSuppression
}

# Null dereferences are left to the others: what container_of yields passes for NULL here.
analyze_one()
{
	gcc -std=c17 -O1 -I include -I src -fanalyzer -Wno-analyzer-null-dereference -Werror \
		-c -o /dev/null "$1"
}
export -f analyze_one

analyzed()
{
	sources | xargs -r -n 1 -P "$jobs" bash -c 'analyze_one "$0"'
}

manual()
{
	local pages
	[ -d man ] || return 0
	pages=$(find man -name '*.[1-9]')
	[ -z "$pages" ] || printf '%s\n' "$pages" | xargs mandoc -T lint -W warning
}

step layers tools/lint-layers.py
step atomics tools/lint-atomics.py
step tree tools/lint-tree.py
step layout layout
step manual manual
step cppcheck cppchecked
step gcc-analyzer analyzed
step clang-tidy tidy

if [ "${#failed[@]}" -gt 0 ]; then
	echo "lint: failed: ${failed[*]}"
	exit 1
fi
echo "lint: everything passed"
