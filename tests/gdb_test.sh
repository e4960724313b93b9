#!/bin/bash
# SPDX-License-Identifier: MIT
# weft-test: not=tsan,coverage,aarch64
# Backtraces through the switch, and the gdb helper's view of fibers that are parked.
set -euo pipefail
if ! command -v gdb >/dev/null; then
	echo "gdb is missing: make setup installs it" >&2
	exit 1
fi
work=$(mktemp -d)
out=$work/out
trap 'rm -rf "$work"' EXIT

expect() { # PATTERN
	grep -qE -- "$1" "$out" && return
	echo "gdb did not show: $1" >&2
	cat "$out" >&2
	exit 1
}

# One worker: when main speaks, the others have parked; and it may take its time until then.
read -r cpu < <(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')

# LSan can't run under a debugger.
export ASAN_OPTIONS=detect_leaks=0
taskset -c "$cpu" gdb -q -batch -nx -ex 'set debuginfod enabled off' -ex 'set breakpoint pending on' \
	-ex 'handle SIGUSR1 SIGUSR2 nostop' -ex 'break puts' -ex run -ex bt \
	-ex "source $WEFT_SRC/tools/gdb/weft-gdb.py" -ex 'weft fibers' -ex 'weft fibers -bt' \
	-ex 'weft bt 999999' --args "$WEFT_EXAMPLES/sleepers" 60 >"$out" 2>&1 </dev/null || true

# a fiber that runs: from its function to the first frame of its stack, and no further
expect '#[0-9]+ .*(in |  )start \(arg='
expect '#[0-9]+ .*fiber_main '
expect '#[0-9]+ .*rt_switch_(start|begin) '
if grep -qE 'Backtrace stopped|corrupt stack|\?\? \(\)' "$out"; then
	echo "the backtrace does not end where the stack does" >&2
	cat "$out" >&2
	exit 1
fi
# those that are parked
expect_parked() {
	expect '^worker [0-9]+ .* parked +chan recv +receiver$'
	expect '^worker [0-9]+ .* parked +sleep +sleeper$'
	expect '^worker [0-9]+ .* (running|parked) .* main$'
	expect '#[0-9]+ .* in deepest \(\)'
	expect '#[0-9]+ .* in wait_for_message \(\)'
	expect '#[0-9]+ .* in sleep_long \(\)'
	expect '^3 fibers$'
}
expect_parked
expect 'no fiber 999999'

# the same from a core that the kernel wrote; that of a sanitizer's address space is huge
pattern=$(cat /proc/sys/kernel/core_pattern)
if [[ $pattern == [/\|]* || $pattern == */* || ${WEFT_FLAVOUR:-} == asan ]]; then
	echo "no look at a core: core_pattern is \"$pattern\", flavour ${WEFT_FLAVOUR:-unknown}"
	exit 0
fi
(
	cd "$work"
	ulimit -c unlimited || exit 0
	"$WEFT_EXAMPLES/sleepers" 1000 >asleep &
	until [ -s asleep ]; do sleep 0.01; done
	kill -ABRT $!
	wait $! || true
) 2>/dev/null
core=$(find "$work" -name 'core*')
if [ -z "$core" ]; then
	echo "no look at a core: none was written"
	exit 0
fi
gdb -q -batch -nx -ex 'set debuginfod enabled off' \
	-ex "source $WEFT_SRC/tools/gdb/weft-gdb.py" -ex 'weft fibers -bt' \
	"$WEFT_EXAMPLES/sleepers" "$core" >"$out" 2>&1 </dev/null || true
expect_parked
