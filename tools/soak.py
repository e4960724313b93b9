#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hours of load on weft bridge, with every way a session can end; see soak.sh.

Three bridges, tcp to tcp, tcp to a child, unix to tcp. Clients send, close, reset, half-close,
stall, trickle, read slowly; servers reset; clients and children are killed. Every few seconds
memory, descriptors and children are sampled; the samples go to build/soak/*.csv and a plot.
Fails when a bridge grows after its first quarter, or has anything left when all clients are gone.
"""
import collections
import contextlib
import csv
import html
import os
import random
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

import soak_sim

WEFT = os.environ["WEFT"]
OUT = "build/soak"
CLIENTS = 24            # at once, over all bridges
GROWTH_KIB = 8192       # of resident memory, from the first quarter's largest to the last's
LINGER = struct.pack("ii", 1, 0)
CORRUPT = []            # sessions whose bytes came back changed: a line each


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes; now and then resets, or stops reading for a while."""

    def handle(self):
        rng = random.Random()
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                if rng.randrange(400) == 0:
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                    return
                if rng.randrange(200) == 0:
                    time.sleep(rng.random())
                self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass


class Bridge:
    def __init__(self, name, *args):
        self.name = name
        self.process = subprocess.Popen([WEFT, "bridge", *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        line = self.process.stderr.readline().strip()
        if "listening on " not in line:
            raise SystemExit("soak: %s did not start: %s" % (name, line))
        self.url = line.split("listening on ", 1)[1]
        self.said = collections.deque(maxlen=400)
        threading.Thread(target=self.drain, daemon=True).start()
        self.samples = []

    def drain(self):
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def connect(self):
        if self.url.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(20)
            sock.connect(self.url[len("unix:"):])
            return sock
        return socket.create_connection(("127.0.0.1", int(self.url.rsplit(":", 1)[1])), 20)

    def children(self):
        found = []
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            with contextlib.suppress(OSError):
                with open("/proc/%d/task/%s/children" % (self.process.pid, task),
                          encoding="ascii") as f:
                    found += [int(pid) for pid in f.read().split()]
        return found

    def sample(self, at):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
        fds = len(os.listdir("/proc/%d/fd" % self.process.pid))
        self.samples.append((at, rss, fds, len(self.children())))

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


# --- clients ------------------------------------------------------------------------------

def whole(sock, rng):
    data = rng.randbytes(rng.randrange(1, 300000))
    sender = threading.Thread(target=quiet(sock.sendall), args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        piece = sock.recv(65536)
        if not piece:
            break  # the server reset
        got += piece
    sender.join()
    if bytes(got) != data[:len(got)]:
        CORRUPT.append("%d bytes sent, changed within the first %d" % (len(data), len(got)))


def quiet(call):
    def run(*args):
        with contextlib.suppress(OSError):
            call(*args)
    return run


def half(sock, rng):
    sock.sendall(rng.randbytes(rng.randrange(1, 5000)))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def reset(sock, rng):
    sock.sendall(rng.randbytes(rng.randrange(1, 100000)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)


def drop(sock, rng):
    sock.sendall(rng.randbytes(rng.randrange(1, 100000)))


def trickle(sock, rng):
    for _ in range(rng.randrange(1, 60)):
        sock.sendall(b"x")
        time.sleep(0.005)


def stall(sock, rng):
    sock.settimeout(0.5)
    for _ in range(20):
        sock.sendall(rng.randbytes(65536))  # until nobody takes more
    time.sleep(rng.random())


def nothing(sock, rng):
    time.sleep(rng.random() / 10)


WAYS = (whole, whole, whole, half, half, reset, drop, trickle, stall, nothing)


def client(bridges, until, seed, counts):
    rng = random.Random(seed)
    while time.monotonic() < until:
        way = rng.choice(WAYS)
        with contextlib.suppress(OSError):
            with rng.choice(bridges).connect() as sock:
                way(sock, rng)
        counts[way.__name__] = counts.get(way.__name__, 0) + 1


VICTIM = """
import os, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    s.sendall(bytes(65536))
"""


def killer(bridges, until, seed):
    """kill -9: of children, and of clients in the middle."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        time.sleep(rng.random() * 2)
        for bridge in bridges:
            for pid in bridge.children():
                if rng.randrange(8) == 0:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)
        victim = subprocess.Popen([sys.executable, "-c", VICTIM,
                                   bridges[0].url.rsplit(":", 1)[1]],
                                  stderr=subprocess.DEVNULL)
        time.sleep(rng.random())
        victim.kill()
        victim.wait()


# --- results ------------------------------------------------------------------------------

def keep(bridge):
    with open("%s/%s.csv" % (OUT, bridge.name), "w", encoding="ascii", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(("seconds", "rss_kib", "descriptors", "children"))
        writer.writerows(bridge.samples)


def plot(bridges):
    width, height, out = 800, 160, []
    for i, bridge in enumerate(bridges):
        top = 30 + i * (height + 40)
        last = max(s[0] for s in bridge.samples) or 1
        largest = max(s[1] for s in bridge.samples)
        points = " ".join("%.1f,%.1f" % (50 + (width - 70) * s[0] / last,
                                         top + height - height * s[1] / largest)
                          for s in bridge.samples)
        out.append('<text x="50" y="%d">%s: resident memory, 0..%d KiB, %d s</text>'
                   '<polyline points="%s" fill="none" stroke="#0b6e4f"/>' %
                   (top - 8, html.escape(bridge.name), largest, last, points))
    with open("%s/memory.svg" % OUT, "w", encoding="ascii") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                'font-family="sans-serif" font-size="12"><rect width="100%%" height="100%%" '
                'fill="white"/>%s</svg>\n' %
                (width, 40 + len(bridges) * (height + 40), "".join(out)))


def dump(bridge):
    """What it still waits for, into a file: its fibers and its sockets."""
    bridge.said.clear()
    bridge.process.send_signal(signal.SIGQUIT)
    time.sleep(1)
    with open("%s/%s.left" % (OUT, bridge.name), "w", encoding="utf-8") as f:
        f.write("\n".join(bridge.said) + "\n")
        with contextlib.suppress(OSError):
            subprocess.run(["ss", "-tanp"], stdout=f, check=False)
    print("soak: %s: what is left is in %s/%s.left" % (bridge.name, OUT, bridge.name))


def judge(bridge, before):
    """What is wrong with it, as a list of lines."""
    wrong = []
    quarter = max(1, len(bridge.samples) // 4)
    first = max(s[1] for s in bridge.samples[:2 * quarter])
    last = max(s[1] for s in bridge.samples[-quarter:])
    if last > first + GROWTH_KIB:
        wrong.append("memory grew from %d to %d KiB" % (first, last))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        bridge.sample(bridge.samples[-1][0])
        if bridge.samples[-1][2:] == before[2:]:
            return wrong
        time.sleep(0.2)
    dump(bridge)
    wrong.append("left at the end: %d descriptors (%d before), %d children" %
                 (bridge.samples[-1][2], before[2], bridge.samples[-1][3]))
    return wrong


def main():
    seconds = int(sys.argv[1])
    os.makedirs(OUT, exist_ok=True)
    server = Server(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = "tcp://127.0.0.1:%d" % server.server_address[1]
    with tempfile.TemporaryDirectory() as work:
        bridges = [Bridge("tcp-to-tcp", "listen:tcp://127.0.0.1:0", target),
                   Bridge("tcp-to-child", "listen:tcp://127.0.0.1:0", "--", "cat"),
                   Bridge("unix-to-tcp", "listen:unix:%s/sock" % work, target)]
        return run(bridges, seconds)


def run(bridges, seconds):
    start = time.monotonic()
    until = start + seconds
    # once each, so that what is made at the first session is there already
    for bridge in bridges:
        with bridge.connect() as sock:
            half(sock, random.Random(1))
    time.sleep(1)
    for bridge in bridges:
        bridge.sample(0)
    before = [b.samples[0] for b in bridges]
    counts = {}
    threads = [threading.Thread(target=client, args=(bridges, until, n, counts))
               for n in range(CLIENTS)]
    threads.append(threading.Thread(target=killer, args=(bridges, until, 99)))
    for thread in threads:
        thread.start()
    told = start
    while time.monotonic() < until:
        time.sleep(min(2, max(0.1, seconds / 100)))
        now = time.monotonic()
        for bridge in bridges:
            bridge.sample(round(now - start, 1))
        if now - told > 10:
            told = now
            print("soak: %d of %d s, %d sessions; %s" % (
                now - start, seconds, sum(counts.values()),
                ", ".join("%s %d KiB %d fds" % (b.name, b.samples[-1][1], b.samples[-1][2])
                          for b in bridges)), flush=True)
    for thread in threads:
        thread.join()
    for line in CORRUPT:
        print("soak: bytes came back changed: %s" % line)
    failed = bool(CORRUPT)
    for bridge, was in zip(bridges, before):
        wrong = judge(bridge, was)
        status = bridge.stop()
        if status:
            wrong.append("ended with status %d" % status)
        keep(bridge)
        print("soak: %s: %s" % (bridge.name, "; ".join(wrong) or "flat, and nothing left"))
        failed = failed or bool(wrong)
    plot(bridges)
    print("soak: %d sessions: %s; samples and plot in %s" %
          (sum(counts.values()), ", ".join("%s %d" % i for i in sorted(counts.items())), OUT))
    if not soak_sim.campaign(seconds / 4):
        failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
