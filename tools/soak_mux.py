#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make soak-mux: opens and closes streams and sessions of weft_mux at full rate, for SECONDS_IN_ALL,
in changing patterns, and looks whether anything grows.

Two processes (tests/tools/mux_soak.c) over TCP, a bridge from mux to mux between them for some
patterns, and others that are killed. One cycle is every pattern once; after each pattern everything
has to be as before it. A sample a second goes to build/soak-mux/samples.jsonl, what was left after
each pattern too; at the end, and on Ctrl-C, a plot to memory.svg and a summary to summary.json.

Fails when after a pattern a fiber, a descriptor, a stream or a session is left; when blocks of the
library's memory are more with each cycle; when memory is more in the last quarter of the cycles
than in the first half (judge). The first cycle fills what is kept, and is not looked at. Resident
memory is what malloc keeps, too: heap and blocks are exact.

Under 60 seconds everything is smaller, for tests.
"""
import atexit
import collections
import contextlib
import datetime
import html
import json
import os
import queue
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
from report import cpu_name  # noqa: E402

BUILD = os.environ.get("WEFT_BUILD", "build")
OUT = os.environ.get("SOAK_MUX_OUT", os.path.join(BUILD, "soak-mux"))
TOOL = os.path.join(BUILD, "tests", "mux_soak")
WEFT = os.environ.get("WEFT", os.path.join(BUILD, "weft"))
ONLY = os.environ.get("SOAK_MUX_ONLY", "")  # patterns whose names begin so
FLAVOUR = os.environ.get("WEFT_FLAVOUR", "release")
IS_SANITIZED = FLAVOUR in ("asan", "tsan")  # then resident memory says nothing

SMALL_BELOW = 60   # seconds in all
CYCLES_MIN = 5     # the first one, and a quarter each
PATIENCE = 60      # seconds for a pattern, beside its own time; for what is left to go

# What may be more in the last quarter of the cycles than in the first half.
GROWTH_PERMILLE = 50
GROWTH_KIB = 2048          # or so much
GROWTH_HEAP = 32768        # bytes: threads keep some that are free
GROWTH_BLOCKS = 2          # in the last cycle, beside the first that counts

# name, load, version, to whom, count, milliseconds: for hours; for a test
PATTERNS = (
    ("16 at a time", "opens", 2, "server", (20000, 2000), (10000, 100)),
    ("16 at a time, v1", "opens", 1, "server", (20000, 2000), (5000, 50)),
    ("100,000 idle", "idle", 2, "server", (100000, 1000), (2000, 10)),
    ("5,000 sessions", "sessions", 2, "server", (5000, 1000), (50, 10)),
    ("sessions by turns", "churn", 2, "server", (0, 1500), (20, 50)),
    ("sessions by turns, v1", "churn", 1, "server", (0, 1500), (20, 50)),
    ("a client killed", "flood", 2, "victim", (0, 1000), (0, 50)),
    ("a server killed", "flood", 1, "victim", (0, 1000), (0, 50)),
    ("slow readers", "slow", 2, "server", (0, 1000), (0, 50)),
    ("slow readers, v1", "slow", 1, "server", (0, 1000), (0, 50)),
    ("idle time-outs", "timeouts", 2, "server", (3000, 500), (300, 10)),
    ("drains", "drains", 2, "server", (0, 1000), (0, 50)),
    ("bridge, 16 at a time", "opens", 2, "bridge", (2000, 1500), (200, 50)),
    ("bridge, 1,000 idle", "idle", 2, "bridge", (1000, 500), (100, 10)),
    ("bridge, sessions", "sessions", 2, "bridge", (200, 200), (20, 10)),
)


def say(text):
    print("soak-mux: " + text, file=sys.stderr, flush=True)


class Wrong(Exception):
    """What must not happen."""


# --- processes --------------------------------------------------------------------------

class Process:
    def __init__(self, name, *args):
        self.name = name
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)
        atexit.register(self.process.kill)  # whatever becomes of us
        self.pid = self.process.pid
        self.said = collections.deque(maxlen=4000)
        self.readers = [threading.Thread(target=self.read_errors, daemon=True)]
        self.readers[0].start()

    def read_errors(self):
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def status(self):
        """Resident memory, its highest, page tables: KiB."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as f:
            found = dict(re.findall(r"(Vm\w+):\s+(\d+)", f.read()))
        return {"rss": int(found["VmRSS"]), "peak": int(found["VmHWM"]),
                "pte": int(found["VmPTE"])}

    def forget_peak(self):
        with contextlib.suppress(OSError), \
                open("/proc/%d/clear_refs" % self.pid, "w", encoding="ascii") as f:
            f.write("5")

    def look(self):
        return {**self.status(), "fds": self.fds()}

    def kill(self):
        self.process.kill()
        self.stop()

    def stop(self):
        """Its exit status."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for reader in self.readers:
            reader.join()
        return status


class End(Process):
    """mux_soak, with its commands."""

    def __init__(self, name, *args):
        super().__init__(name, TOOL, *args)
        self.stats, self.events = queue.Queue(), queue.Queue()
        self.lock = threading.Lock()  # of who asks for its stat
        self.readers.append(threading.Thread(target=self.read_lines, daemon=True))
        self.readers[1].start()
        self.ports = self.event("ports", PATIENCE)

    def read_lines(self):
        for line in self.process.stdout:
            said = json.loads(line)
            (self.stats if "stat" in said else self.events).put(said)
        self.stats.put(None)
        self.events.put(None)

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError as e:
            raise Wrong("%s: %s" % (self.name, e)) from e

    def event(self, key, seconds):
        try:
            said = self.events.get(timeout=seconds)
        except queue.Empty:
            raise Wrong("%s: no %s within %d s" % (self.name, key, seconds)) from None
        if not said or key not in said:
            raise Wrong("%s: %s" % (self.name, said["failed"] if said and "failed" in said
                                    else "ended: " + "; ".join(list(self.said)[-20:])))
        return said[key]

    def ask(self, command="stat"):
        with self.lock:
            self.send(command)
            try:
                said = self.stats.get(timeout=PATIENCE)
            except queue.Empty:
                said = None
        if not said:
            raise Wrong("%s: does not answer" % self.name)
        return said["stat"]

    def look(self):
        return {**self.ask(), **super().look()}

    def run(self, load, version, port, count, ms):
        self.send("run %s %d %d %d %d" % (load, version, port, count, ms))


class Bridge(Process):
    def __init__(self, server):
        super().__init__("bridge", WEFT, "bridge", "--max-connections=4000",
                         "listen:mux+tcp://127.0.0.1:0",
                         "mux+tcp://127.0.0.1:%d" % server.ports[1])
        end = time.monotonic() + PATIENCE
        while not self.said and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.01)
        if not self.said or "listening on " not in self.said[0]:
            raise Wrong("the bridge did not start: %s" % "; ".join(self.said))
        self.port = int(self.said[0].rsplit(":", 1)[1])

    def fibers(self):
        """By a dump; the number of its lines is told by the worker."""
        self.said.clear()
        self.process.send_signal(signal.SIGQUIT)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(0.05)
            told = [int(m.group(1)) for m in (re.match(r"weft: worker \d+: (\d+) fibers?", line)
                                              for line in list(self.said)) if m]
            if len(told) == len(os.sched_getaffinity(self.pid)):
                return sum(told)
        raise Wrong("the bridge does not tell its fibers")

    def stop(self):
        self.process.terminate()
        return super().stop()


# --- the soak ---------------------------------------------------------------------------

class Soak:
    def __init__(self, seconds, leak):
        self.seconds = seconds
        self.is_small = seconds < SMALL_BELOW
        self.start = time.monotonic()
        os.makedirs(OUT, exist_ok=True)
        self.log = open(os.path.join(OUT, "samples.jsonl"), "w", encoding="ascii")
        self.log_lock = threading.Lock()
        self.samples = []    # once a second: {"t", "pattern", process: look}
        self.rests = []      # after each pattern: {"t", "cycle", "pattern", process: look}
        self.cycle, self.pattern = 0, "start"
        self.victims = [0, 0]  # of those that are gone: streams, processes
        self.server = End("server", *(["--leak=" + leak] if leak else []))
        self.client = End("client")
        self.bridge = Bridge(self.server)
        self.processes = (self.client, self.server, self.bridge)
        self.base = self.begin()
        self.bridge_fibers = self.bridge.fibers()
        self.done = threading.Event()
        self.is_interrupted = False
        self.sampler = threading.Thread(target=self.sample_on, daemon=True)
        self.sampler.start()

    def now(self):
        return round(time.monotonic() - self.start, 2)

    def keep(self, kind, what):
        with self.log_lock:
            self.log.write(json.dumps({kind: what}) + "\n")
            self.log.flush()

    def look(self):
        return {p.name: p.look() for p in self.processes}

    def begin(self):
        """What each has when the bridge's session is there, and nothing else."""
        end = time.monotonic() + PATIENCE
        while self.server.ask()["sessions"] < 1:
            if time.monotonic() > end:
                raise Wrong("the bridge does not connect")
            time.sleep(0.02)
        return self.look()

    def sample_on(self):
        every = 0.1 if self.is_small else 1
        told = time.monotonic()
        while not self.done.wait(every):
            try:
                sample = {"t": self.now(), "cycle": self.cycle, "pattern": self.pattern,
                          **self.look()}
            except (Wrong, OSError):
                return  # whoever drives it will find out, too
            self.samples.append(sample)
            self.keep("sample", sample)
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                self.tell(sample)

    def tell(self, sample):
        say("%d of %d s, cycle %d, %s: %s" % (
            sample["t"], self.seconds, self.cycle, self.pattern, "; ".join(
                "%s %.1f MiB, %d fds" % (p.name, sample[p.name]["rss"] / 1024,
                                         sample[p.name]["fds"]) +
                (", %d fibers, %d streams of %d" % (
                    sample[p.name]["fibers"], sample[p.name]["streams"],
                    sample[p.name]["opened"]) if "fibers" in sample[p.name] else "")
                for p in self.processes)))

    # --- patterns ---------------------------------------------------------------------

    def kill_one(self, load, version, count, ms):
        """A client that loads the server; or a server that the client loads."""
        victim = End("victim")
        try:
            if version == 2:
                other, port = victim, self.server.ports[1]
            else:
                other, port = self.client, victim.ports[0]
            other.run(load, version, port, count, (PATIENCE + ms // 1000) * 1000)
            other.event("flooding", PATIENCE)
            time.sleep(ms / 1000)
            self.victims[0] += victim.ask()["opened"]
            self.victims[1] += 1
        finally:
            victim.kill()
        if version != 2:
            self.client.event("over", PATIENCE)

    def run_pattern(self, pattern):
        name, load, version, whom, large, small = pattern
        count, ms = small if self.is_small else large
        self.pattern = name
        for p in self.processes:
            p.forget_peak()
        if whom == "victim":
            self.kill_one(load, version, count, ms)
        else:
            port = self.bridge.port if whom == "bridge" else self.server.ports[version - 1]
            self.client.run(load, version, port, count, ms)
            self.client.event("over", PATIENCE + ms / 1000)
        self.rest(name)

    def left(self, now):
        """What is more than at the beginning, or less."""
        found = []
        for p in self.processes:
            for key in ("sessions", "streams", "fibers", "fds"):
                if key in now[p.name] and now[p.name][key] != self.base[p.name][key]:
                    found.append("%s: %d %s instead of %d" % (
                        p.name, now[p.name][key], key, self.base[p.name][key]))
        return found

    def rest(self, name):
        end = time.monotonic() + PATIENCE
        while found := self.left(now := self.look()):
            if time.monotonic() > end:
                raise Wrong("left after \"%s\": %s" % (name, "; ".join(found)))
            time.sleep(0.005)
        rest = {"t": self.now(), "cycle": self.cycle, "pattern": name, **now}
        self.rests.append(rest)
        self.keep("rest", rest)

    def run(self):
        """Cycles until the time is over; what is wrong, as lines."""
        wrong = []
        try:
            while self.cycle < CYCLES_MIN or time.monotonic() < self.start + self.seconds:
                for pattern in PATTERNS:
                    if pattern[0].startswith(ONLY):
                        self.run_pattern(pattern)
                self.cycle += 1
            if (fibers := self.bridge.fibers()) != self.bridge_fibers:
                wrong.append("bridge: %d fibers instead of %d" % (fibers, self.bridge_fibers))
        except Wrong as e:
            wrong.append(str(e))
        except KeyboardInterrupt:
            self.is_interrupted = True
            say("interrupted; what there is of it:")
        return wrong

    def end(self):
        """What is wrong with the ways they ended."""
        self.done.set()
        self.sampler.join()
        wrong = []
        for p in (self.bridge, self.client, self.server):
            if self.is_interrupted:
                p.kill()
            elif status := p.stop():
                wrong.append("%s: ended with status %d: %s" % (
                    p.name, status, "; ".join(list(p.said)[-20:])))
        self.log.close()
        return wrong


# --- judging ----------------------------------------------------------------------------

def growth(key, values):
    """From what to what it grew, when that is more than it may; or None. What is resident goes up and
    down with what malloc and the stacks of fibers keep: the last quarter has to be above all of the
    first half."""
    if key == "blocks":
        before, after, allowed = values[0], values[-1], GROWTH_BLOCKS
    else:
        before = max(values[:(len(values) + 1) // 2])
        after = statistics.median(values[-max(len(values) // 4, 1):])
        allowed = GROWTH_HEAP if key == "heap" else max(before * GROWTH_PERMILLE / 1000,
                                                        GROWTH_KIB)
    return (before, after) if after > before + allowed else None


def judge(rests, looks_at_system):
    """What has grown: a line for each number of each process. rests: as Soak's, without the first
    cycle. looks_at_system: at what the system says, too; that takes long to become steady."""
    keys = ("blocks", "heap") + (("rss", "peak", "pte") if looks_at_system else ())
    series = collections.defaultdict(list)
    for rest in rests:
        for name, look in rest.items():
            for key in keys if isinstance(look, dict) else ():
                if key in look:
                    series[name, key, rest["pattern"]].append(look[key])
    grown = collections.defaultdict(list)
    for (name, key, pattern), values in series.items():
        if len(values) >= CYCLES_MIN - 1 and (found := growth(key, values)):
            grown[name, key].append((found[1] / found[0], pattern, *found))
    wrong = []
    for (name, key), found in grown.items():
        _, pattern, before, after = max(found)
        wrong.append("%s: %s grew after %d patterns, most after \"%s\": from %d to %d %s" % (
            name, key, len(found), pattern, before, after,
            {"blocks": "", "heap": "bytes"}.get(key, "KiB")))
    return wrong


# --- the plot ---------------------------------------------------------------------------

COLOURS = {"client": "#0b6e4f", "server": "#c1440e", "bridge": "#3b6ea5"}
WIDTH, HEIGHT, LEFT, GAP = 900, 150, 70, 50


def line_of(points, last, largest, top, colour, dots):
    places = ["%.1f,%.1f" % (LEFT + (WIDTH - LEFT - 20) * t / last,
                             top + HEIGHT - HEIGHT * v / largest) for t, v in points]
    if dots:
        return ('<path d="%s" stroke="%s" stroke-width="3" stroke-linecap="round"/>' %
                ("".join("M%sh0" % place for place in places), colour))
    return ('<polyline points="%s" fill="none" stroke="%s" stroke-width="0.8"/>' %
            (" ".join(places), colour))


def panel(title, series, last, top, dots):
    largest = max((v for points in series.values() for _, v in points), default=0) or 1
    out = ['<text x="%d" y="%d" font-weight="bold">%s</text>' %
           (LEFT, top - 8, html.escape(title))]
    for part in (0, 0.5, 1):
        y = top + HEIGHT - HEIGHT * part
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>'
                   '<text x="%d" y="%.1f" text-anchor="end">%s</text>' %
                   (LEFT, WIDTH - 20, y, y, LEFT - 6, y + 4, format(round(largest * part), ",")))
    out += [line_of(points, last, largest, top, COLOURS[name], dots)
            for name, points in series.items()]
    return "".join(out)


def series_of(rows, key, factor=1.0):
    return {name: [(row["t"], row[name][key] * factor) for row in rows if key in row[name]]
            for name in COLOURS if rows and key in rows[0][name]}


def plot(path, samples, rests, title):
    last = max([row["t"] for row in samples + rests], default=0) or 1
    panels = (
        ("Resident memory while it runs, MiB", series_of(samples, "rss", 1 / 1024), False),
        ("Resident memory after each pattern, MiB", series_of(rests, "rss", 1 / 1024), True),
        ("Page tables after each pattern, KiB", series_of(rests, "pte"), True),
        ("Blocks of the library's memory after each pattern", series_of(rests, "blocks"), True),
        ("Descriptors", series_of(samples, "fds"), False),
        ("Fibers", series_of(samples, "fibers"), False),
        ("Streams opened so far, thousands", series_of(samples, "opened", 1 / 1000), False),
    )
    out = [panel(name, series, last, 70 + i * (HEIGHT + GAP), dots)
           for i, (name, series, dots) in enumerate(panels)]
    keys = "".join('<tspan fill="%s"> %s </tspan>' % (c, n) for n, c in COLOURS.items())
    height = 70 + len(panels) * (HEIGHT + GAP)
    with open(path, "w", encoding="utf-8") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                'font-family="sans-serif" font-size="11">\n'
                '<rect width="100%%" height="100%%" fill="white"/>\n'
                '<text x="10" y="20" font-size="14">%s</text>\n'
                '<text x="10" y="38">%d s; %s</text>\n%s\n</svg>\n' %
                (WIDTH, height, html.escape(title), last, keys, "\n".join(out)))


def after_patterns(rests):
    """A row for each process and pattern: its numbers, cycle by cycle."""
    rows = {}
    for rest in rests:
        for name in COLOURS:
            row = rows.setdefault((name, rest["pattern"]), {"process": name,
                                                            "after": rest["pattern"]})
            for key in ("rss", "peak", "pte", "fds", "fibers", "blocks", "heap", "opened"):
                if key in rest[name]:
                    row.setdefault(key, []).append(rest[name][key])
    return list(rows.values())


def most_while(samples):
    """What each held at most in each pattern, of what was seen once a second."""
    rows = {}
    for sample in samples:
        for name in COLOURS:
            row = rows.setdefault((name, sample["pattern"]), {"process": name,
                                                              "while": sample["pattern"]})
            for key in ("rss", "fds", "fibers", "sessions", "streams", "mux_own", "mux_read"):
                if key in sample[name]:
                    row[key] = max(row.get(key, 0), sample[name][key])
    return list(rows.values())


def summary(soak, wrong):
    last = soak.rests[-1] if soak.rests else soak.base
    return {"date": datetime.date.today().isoformat(), "cpu": cpu_name(),
            "cores": os.cpu_count(), "seconds": round(soak.now()), "cycles": soak.cycle,
            "note": os.environ.get("NOTE", ""), "wrong": wrong,
            "streams": {p.name: last[p.name]["opened"] for p in (soak.client, soak.server)},
            "killed": soak.victims[1],
            "units": "KiB: rss, peak, pte; bytes: heap, mux_own, mux_read",
            "most": most_while(soak.samples), "rests": after_patterns(soak.rests)}


def write_summary(path, found):
    """JSON, a row of a table a line."""
    def text(value):
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            return json.dumps(value)
        return "[\n  " + ",\n  ".join(json.dumps(row) for row in value) + "]"
    with open(path, "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(' "%s": %s' % (key, text(value))
                                   for key, value in found.items()) + "}\n")


def main():
    if len(sys.argv) not in (2, 3) or not sys.argv[1].isdigit():
        print("usage: soak_mux.py SECONDS [stream:N | block:N]", file=sys.stderr)
        return 2
    soak = Soak(int(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None)
    wrong = soak.run()
    wrong += soak.end()
    wrong += judge([r for r in soak.rests if r["cycle"] > 0],
                   not soak.is_small and not IS_SANITIZED)
    plot(os.path.join(OUT, "memory.svg"), soak.samples, soak.rests,
         "weft: make soak-mux: %s, %d cores" % (cpu_name(), os.cpu_count()))
    found = summary(soak, wrong)
    write_summary(os.path.join(OUT, "summary.json"), found)
    for line in wrong:
        say("FAILED: " + line)
    say("%d cycles in %d s, %d streams, %d processes killed: %s; samples and plot in %s" % (
        soak.cycle, soak.now(), sum(found["streams"].values()), soak.victims[1],
        "something grew, or was left" if wrong else "flat, and nothing left"
        if soak.cycle >= CYCLES_MIN else "nothing left; too short to say what grows", OUT))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
