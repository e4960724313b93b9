# SPDX-License-Identifier: MIT
"""What suites are made of: peers that are built here, programs that print "row value unit",
rows, and running them in turn."""
import contextlib
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, "build")
WEFT = os.path.join(BUILD, "bench")
PEERS = os.path.join(WEFT, "peers")
CPUS = sorted(os.sched_getaffinity(0))
ONE = str(CPUS[-1])                       # what is measured
OTHER = str(CPUS[0])                      # what loads it
BOTH = ",".join(str(c) for c in CPUS[:2])


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- building peers -----------------------------------------------------------------------

def version(*command):
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)*", out.stdout + out.stderr)
    return found.group(0) if found else "?"


def package(name):
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True,
                         text=True, check=False)
    return out.stdout.split("-")[0] or "?"


def build_c(name, *flags, built=None):
    out = os.path.join(PEERS, built or name)
    done = subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-I", HERE, "-o", out,
                           os.path.join(HERE, "peers", name + ".c"), *flags, "-lpthread"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        say("bench: %s does not build: %s" % (name, done.stderr.strip().splitlines()[0]))
        return None
    return out


def build_go(name):
    if not shutil.which("go"):
        say("bench: %s is left out: no go (make setup-bench)" % name)
        return None
    out = os.path.join(PEERS, name)
    env = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="",
               GOCACHE=os.path.join(BUILD, "bench", "go-cache"))
    done = subprocess.run(["go", "build", "-o", out, "."], env=env, capture_output=True,
                          text=True, check=False, cwd=os.path.join(HERE, "peers", name))
    if done.returncode:
        say("bench: %s does not build: %s" % (name, done.stderr.strip()))
        return None
    return out


class Peers:
    """Name with version -> program, for those that are there."""

    def __init__(self):
        os.makedirs(PEERS, exist_ok=True)
        self.cc = "gcc " + version("cc", "-dumpfullversion")
        self.go = "go " + version("go", "version") if shutil.which("go") else "go"
        self._go, self._c = {}, {}
        self.compilers = {"gcc": version("cc", "-dumpfullversion")}
        if shutil.which("go"):
            self.compilers["go"] = version("go", "version")

    def c(self, name, *flags, built=None):
        """Built once; None when it does not build: that is said then."""
        built = built or name
        if built not in self._c:
            self._c[built] = build_c(name, *flags, built=built)
        return self._c[built]

    def go_program(self, name):
        if name not in self._go:
            self._go[name] = build_go(name)
        return self._go[name]

    def add_go(self, programs):
        program = self.go_program("go_sync")
        if program:
            programs[self.go] = [program]


# --- programs that print "row value unit" -------------------------------------------------

def pinned(cpus, *command):
    return ["taskset", "-c", cpus, *command]


def figures(printed):
    found = {}
    for line in printed.splitlines():
        words = line.split()
        if len(words) == 3:
            with contextlib.suppress(ValueError):
                found[words[0]] = (float(words[1]), words[2])
    return found


def lines(command, quick, timeout=180):
    """{row: (value, unit)}; empty when the program has no such row, or hangs in it."""
    env = dict(os.environ)
    if quick:
        env["BENCH_QUICK"] = "1"
    try:
        out = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout,
                             check=False)
    except subprocess.TimeoutExpired:
        say("bench: not over after %d s, left out: %s" % (timeout, " ".join(command)))
        return {}
    if out.returncode == 2 and "usage:" in out.stderr:
        say("bench: has no such row: %s" % " ".join(command))
        return {}
    if out.returncode:
        raise SystemExit("bench: %s failed: %s" % (" ".join(command), out.stderr.strip()))
    return figures(out.stdout)


def weft(name):
    return [os.path.join(WEFT, name)]


class Aim:
    """Of one of the figures that a row prints. of: how the names of the peers begin that it is
    compared with; met(ratio to the best of them, weft's figure)."""

    def __init__(self, goal, of, met=None):
        self.goal, self.of, self.met = goal, of, met


class Row:
    """One row: how weft and each peer are run, and what is aimed at."""

    def __init__(self, name, cpus, programs, args=None, goal=None, target=None, of=None,
                 limit=None):
        """of: how the names of the peers begin that the goal speaks of; limit: with a goal,
        met when the ratio is at most this."""
        self.name, self.cpus, self.programs, self.args = name, cpus, programs, args
        self.goal, self.target, self.of, self.limit = goal, target, of, limit

    def among(self, peers):
        """Those of the peers that the goal speaks of."""
        return {k: v for k, v in peers.items() if not self.of or k.startswith(self.of)}

    def aim(self, name):
        """An Aim, where the row's figures have one each."""
        return None

    def measure(self, who, quick):
        command = self.programs[who]
        args = [self.name] if self.args is None else self.args
        return lines(pinned(self.cpus, *command, *args), quick)

    def places(self, name, who):
        """Where a figure that a program printed is shown: [(row, label)]."""
        return [(name, who)]

    def after(self, who, quick):
        """What is found out once, after the rounds: as measure."""
        return {}

    def is_beside(self, name):
        """Said beside another row, not drawn."""
        return False

    def rank(self, name):
        """Sorts what it prints."""
        return 0

    def later(self, name, middle):
        """A later milestone's aim, and how far it is."""
        return None


def run_rows(rows, rounds, quick, progress):
    """{row name: {who: ([values], unit)}} and the Row it came from."""
    samples, origin = {}, {}

    def add(row, who, found):
        for name, (value, unit) in found.items():
            for shown, label in row.places(name, who):
                samples.setdefault(shown, {}).setdefault(label, ([], unit))[0].append(value)
                origin[shown] = row
    for row in rows:
        for number in range(rounds):
            for who in row.programs:
                progress(row.name, who, number)
                add(row, who, row.measure(who, quick))
        for who in row.programs:
            add(row, who, row.after(who, quick))
    names = sorted(samples, key=lambda n: (rows.index(origin[n]), origin[n].rank(n)))
    return {name: samples[name] for name in names}, origin
