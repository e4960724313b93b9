#!/bin/bash
# SPDX-License-Identifier: MIT
# make soak: hours of load on three bridges, then a quarter as long new seeds of the simulator;
# make soak-sim (soak.sh sim): these alone. SECONDS_IN_ALL=3600.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_IN_ALL:-3600}
case $seconds in '' | *[!0-9]*) echo "soak: SECONDS_IN_ALL is \"$seconds\", not a number" >&2; exit 2 ;; esac
[ "${1:-}" != sim ] || exec python3 tools/soak_sim.py "$seconds"
WEFT=${WEFT:-build/weft} exec python3 tools/soak.py "$seconds"
