#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The simulator's campaigns with seeds nobody has tried: soak_sim.py SECONDS [NAME...]

Each campaign that is built has a turn of some hundred seeds, again and again. A seed that fails is
told at once, with the command that repeats it. Ctrl-C ends it, and what it has started.
"""
import os
import random
import re
import signal
import subprocess
import sys
import time

NAMES = ("sim_mux", "sim_bridge", "sim_net", "sim_sync", "sim_wake", "sim_http", "sim_tls",
         "sim_relay", "sim_mcp_server", "sim_mcp_client")
SEEDS = 500             # of a campaign in a turn
SEEDS_LEAST = 20        # in one that has to end soon
FIRST_MAX = 900_000_000
TOLD_MAX = 20           # failing seeds that are told of one turn


def turn(name, first, seeds):
    """What failed of these, as (seed, line)."""
    env = dict(os.environ, WEFT_SIM_SEEDS=str(seeds), WEFT_TEST_SEED=str(first))
    env.pop("WEFT_SIM_SEED", None)
    with subprocess.Popen(["build/tests/" + name], env=env, start_new_session=True, text=True,
                          errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            said = process.communicate()[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode == 0:
        return []
    found = {}
    for line in said.splitlines():
        match = re.search(r"\bseed (\d+)\b", line)
        if match and not line.startswith("(alone"):
            found.setdefault(int(match.group(1)), line.strip())
    return sorted(found.items()) or [(first, "of %d seeds from %d on: %s" % (
        seeds, first, said.strip().rsplit("\n", 1)[-1]))]


def tell(name, failed):
    for seed, line in failed[:TOLD_MAX]:
        print("soak: %s: %s\nsoak: again: WEFT_SIM_SEED=%d build/tests/%s" %
              (name, line, seed, name), flush=True)


def campaign(seconds, names=NAMES):
    """True when all held."""
    names = [n for n in names if os.path.exists("build/tests/" + n)]
    if not names:
        print("soak: no campaign of the simulator is built")
        return False
    first = random.SystemRandom().randrange(FIRST_MAX)
    start, seeds, done, failed = time.monotonic(), SEEDS_LEAST, 0, 0
    print("soak: %s: seeds from %d on, for %d s" % (", ".join(names), first, seconds), flush=True)
    while time.monotonic() - start < seconds:
        for name in names:
            wrong = turn(name, first, seeds)
            tell(name, wrong)
            failed += len(wrong)
            done += seeds
            if time.monotonic() - start >= seconds:
                break
        first += seeds
        print("soak: %d of %d s, %d seeds, %d failed" %
              (time.monotonic() - start, seconds, done, failed), flush=True)
        seeds = SEEDS
    return failed == 0


def main():
    try:
        return 0 if campaign(int(sys.argv[1]), sys.argv[2:] or NAMES) else 1
    except KeyboardInterrupt:
        print("soak: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
