# SPDX-License-Identifier: MIT
"""The suites of what fibers and threads share: wakes, channels, select, broadcast, map, cell,
token, once, buffer pool; and how their peers in Rust are built."""
import glob
import os
import re
import shutil
import subprocess

from measure import BOTH, CPUS, HERE, ONE, WEFT, Row, package, say, version, weft

REGISTRY = "/usr/share/cargo/registry"
CRATES = {"ahash": "librust-ahash-dev", "arc-swap": "librust-arc-swap-dev",
          "async-channel": "librust-async-channel-dev",
          "crossbeam-channel": "librust-crossbeam-channel-dev",
          "dashmap": "librust-dashmap-dev", "flume": "librust-flume-dev",
          "once_cell": "librust-once-cell-dev", "tokio": "librust-tokio-dev",
          "tokio-util": "librust-tokio-util-dev"}


class Rust:
    """The programs of peers/rust_sync, of the crates that are installed. CARGO and RUSTC choose
    other compilers than Debian's."""

    def __init__(self):
        self.cargo = os.environ.get("CARGO", "/usr/bin/cargo")
        self.rustc = os.environ.get("RUSTC", "/usr/bin/rustc")
        self.versions, self.folder = {}, None
        if not shutil.which(self.cargo) or not shutil.which(self.rustc):
            say("bench: peers in Rust are left out: no cargo (make setup-bench)")
            return
        for crate, debian in CRATES.items():
            found = [d for d in glob.glob("%s/%s-*" % (REGISTRY, crate))
                     if re.fullmatch(re.escape(crate) + r"-\d[^-]*", os.path.basename(d))]
            if found:
                self.versions[crate] = os.path.basename(sorted(found)[-1])[len(crate) + 1:]
            else:
                say("bench: %s is left out: no %s (make setup-bench)" % (crate, debian))
        self.versions["std"] = version(self.rustc, "--version")
        self.build()

    def build(self):
        """In a copy, so that no lock file and no target folder come into the tree."""
        source = os.path.join(HERE, "peers", "rust_sync")
        work = os.path.join(WEFT, "rust_sync")
        shutil.copytree(source, work, dirs_exist_ok=True)
        with open(os.path.join(source, "Cargo.toml"), encoding="utf-8") as f:
            manifest = [line for line in f if not re.match(r"[\w-]+ = \{", line)
                        or line.split()[0] in self.versions]
        with open(os.path.join(work, "Cargo.toml"), "w", encoding="utf-8") as f:
            f.writelines(manifest)
        features = " ".join(c for c in CRATES if c in self.versions)
        done = subprocess.run([self.cargo, "build", "--release", "--offline", "--features",
                               features, "--target-dir", os.path.join(work, "target")],
                              cwd=work, env=dict(os.environ, RUSTC=self.rustc),
                              capture_output=True, text=True, check=False)
        if done.returncode:
            say("bench: peers in Rust do not build: %s" % done.stderr.strip()[-2000:])
            return
        self.folder = os.path.join(work, "target", "release")

    def name(self, crate):
        return ("Rust std " if crate == "std" else crate + " ") + self.versions[crate]

    def add(self, programs, program, *crates):
        """Their labels and commands, of those there are."""
        for crate in crates:
            if self.folder and crate in self.versions:
                programs[self.name(crate)] = [os.path.join(self.folder, program), crate]


def suite_wake(p):
    return wake_rows(p, "")


class Wake(Row):
    """Among other rows: the program's own names do not say what they are of."""

    def places(self, name, who):
        return [("wake-" + name, who)]


def wake_rows(p, prefix):
    go, threads = p.go_program("go_wake"), p.c("thread_wake")
    rows = []
    for name in ("fibers-hot", "fibers-asleep", "thread-hot", "thread-asleep", "chan-hot"):
        programs = {"weft": weft("wake")}
        if go:
            programs[p.go + ", a thread each"] = [go, "locked"]
            programs[p.go + ", one scheduler"] = [go, "free"]
        if threads and name != "chan-hot":
            programs["futex"] = [threads, "futex"]
            programs["eventfd"] = [threads, "eventfd"]
        rows.append((Wake if prefix else Row)(prefix + name, BOTH, programs, args=[name]))
    return rows


# --- channels -----------------------------------------------------------------------------

def chan_rows(p, rust):
    threads = p.c("thread_chan")
    rows = []
    for where in ("1w", "2w", "threads"):
        for capacity in ("cap0", "cap1", "cap64", "cap1024", "unbounded"):
            for shape in ("spsc", "mpsc4", "mpmc4"):
                row = Row("%s-%s-%s" % (shape, capacity, where), ONE if where == "1w" else BOTH,
                          chan_programs(p, rust, threads, (where, capacity, shape)))
                if where == "threads":
                    row.goal = "no slower than flume, crossbeam, std"
                    row.of = ("flume", "crossbeam", "Rust std")
                elif where == "1w":
                    row.goal = "no slower than Go, tokio's current-thread"
                row.limit = 1
                rows.append(row)
    return rows


def chan_programs(p, rust, threads, cell):
    """Who can do it: a program that has no such row would say so in each round."""
    where, capacity, shape = cell
    programs = {"weft": weft("chan")}
    if where == "threads":
        rust.add(programs, "chan", "flume", "crossbeam-channel")
        if shape != "mpmc4":
            rust.add(programs, "chan", "std")
    else:
        if shape != "mpmc4" and capacity != "cap0":
            rust.add(programs, "chan", "tokio")
        if "tokio" in rust.versions:
            rust.add(programs, "chan", "flume")
            if capacity != "cap0":
                rust.add(programs, "chan", "async-channel")
    if capacity != "unbounded":
        p.add_go(programs)
    if threads and where == "threads" and capacity not in ("cap0", "unbounded"):
        programs["mutex and condition variables"] = [threads]
    if (where, shape) == ("threads", "spsc") and capacity in ("cap64", "cap1024"):
        ck = p.c("ck_chan", "-lck")
        if ck:
            programs["ck_ring " + package("libck-dev")] = [ck]
    return programs


def select_rows(p, rust):
    """Reported: no goal."""
    rows = []
    for where in ("1w", "2w", "threads"):
        for capacity in ("cap1", "cap64"):
            for many in ("select2", "select8"):
                programs = {"weft": weft("select")}
                if where == "threads":
                    rust.add(programs, "select", "flume", "crossbeam-channel")
                elif "tokio" in rust.versions:
                    rust.add(programs, "select", "tokio", "flume", "async-channel")
                p.add_go(programs)
                rows.append(Row("%s-%s-%s" % (many, capacity, where),
                                ONE if where == "1w" else BOTH, programs))
    return rows


def broadcast_rows(p, rust):
    """Reported: no goal. Go and crossbeam send to a channel for each receiver."""
    rows = []
    for where in ("1w", "2w", "threads"):
        for many in (1, 8, 64):
            programs = {"weft": weft("broadcast")}
            rust.add(programs, "broadcast", "crossbeam-channel" if where == "threads" else "tokio")
            p.add_go(programs)
            rows.append(Row("broadcast%d-%s" % (many, where), ONE if where == "1w" else BOTH,
                            programs))
    return rows


# --- shared state -------------------------------------------------------------------------

def map_rows(p, rust):
    """The others of C and Go with two threads only, where the table is large: filling it takes
    longer than the row."""
    lock, ck = p.c("thread_map"), p.c("ck_map", "-lck")
    urcu = p.c("urcu_map", "-lurcu", "-lurcu-cds")
    rows = []
    threads = [1, 2] + [n for n in (4, 8, 16, 32) if n <= len(CPUS)]
    for size in ("1Ki", "1Mi"):
        for count in threads:
            for mix in ("100", "95", "50", "churn"):
                if mix == "churn" and count == 1:
                    continue
                programs = {"weft": weft("map"), "weft, fibers": weft("map") + ["fibers"]}
                if "ahash" in rust.versions:
                    rust.add(programs, "map", "dashmap")
                if size == "1Ki" or count == 2:
                    p.add_go(programs)
                    others = {"liburcu " + package("liburcu-dev"): urcu,
                              "ck_ht " + package("libck-dev"): ck, "rwlock and a table": lock}
                    programs.update((k, [v]) for k, v in others.items() if v)
                row = Row("map-%s-%s-%dt" % (mix, size, count),
                          ",".join(str(c) for c in CPUS[:count]), programs, of="dashmap")
                if count == 2 and mix != "churn":
                    row.goal, row.limit = "twice as fast as DashMap", 0.5
                rows.append(row)
    return rows


def cell_rows(p, rust):
    lock, urcu = p.c("thread_cell"), p.c("urcu_cell", "-lurcu")
    qsbr = p.c("urcu_cell", "-DWITH_QSBR", "-lurcu-qsbr", built="urcu_cell_qsbr")
    rows = []
    for kind in ("guarded", "full", "cached", "guarded-writer", "full-writer", "guarded-2r",
                 "full-2r"):
        for where in ("fiber", "thread"):
            programs = {"weft": weft("cell")}
            rust.add(programs, "cell", "arc-swap")
            if kind != "cached":
                p.add_go(programs)
            if kind.startswith("guarded"):
                if urcu:
                    programs["liburcu %s, memb" % package("liburcu-dev")] = [urcu]
                if qsbr:
                    programs["liburcu %s, qsbr" % package("liburcu-dev")] = [qsbr]
                if lock:
                    programs["rwlock"] = [lock]
            row = Row("cell-%s-%s" % (kind, where), BOTH, programs, of="arc-swap")
            if kind.startswith("guarded"):
                row.goal, row.limit = "4 times as fast as ArcSwap's load", 0.25
            rows.append(row)
    return rows


def token_rows(p, rust):
    c = p.c("thread_cell")
    token = {"weft": weft("token")}
    rust.add(token, "token", "tokio-util")
    once = {"weft": weft("token")}
    rust.add(once, "token", "once_cell", "tokio", "std")
    for programs, name in ((token, "atomic flag"), (once, "pthread_once")):
        p.add_go(programs)
        if c:
            programs[name] = [c]
    return [Row("token-check", ONE, token, goal="8 times as fast as tokio's", of="tokio-util",
                limit=0.125),
            Row("once-get", ONE, once, goal="equal to OnceCell within 5 %", of="once_cell",
                limit=1.05)]


def pool_rows(p):
    """Beside glibc's malloc. Reported: no goal."""
    plain = p.c("malloc_pool")
    rows = []
    names = ["pool-%d-%s" % (size, how) for size in (64, 4096, 65536)
             for how in ("1t", "2t", "handover")]
    for name in [*names, "pool-memory"]:
        programs = {"weft": weft("pool")}
        if plain:
            programs["malloc, glibc " + package("libc6")] = [plain]
        rows.append(Row(name, ONE if name.endswith("1t") else BOTH, programs))
    return rows


def suite_sync(p):
    rust = Rust()
    if rust.folder:
        p.compilers["rustc"] = version(rust.rustc, "--version")
    return (chan_rows(p, rust) + select_rows(p, rust) + broadcast_rows(p, rust) +
            wake_rows(p, "wake-") + map_rows(p, rust) + cell_rows(p, rust) + token_rows(p, rust) +
            pool_rows(p))
