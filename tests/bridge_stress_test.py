#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=300 serial heavy not=tsan
"""Many sessions: 5,000 at once, each with bytes of its own that are checked by digest, and
as many through a tunnel; 2,000 that end in every way there is; after each the bridge is as
it was. Client, bridges and server are processes, for each has its own descriptor limit."""
import asyncio
import contextlib
import errno
import hashlib
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from weftlib import FLAVOUR, PATIENCE, Bridge, Case, until

SESSIONS = 5000
ENDED = 2000
BATCH = 100   # of the 2,000: alive at once
SPARE = 100   # descriptors beside those of sessions
PAYLOAD = 20000
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

# Sends back SHA-256 of all it got, then all of it again, and closes; or misbehaves, as the
# first byte asks.
SERVER = r"""
import asyncio, hashlib, resource, socket, struct, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
def abort(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
async def handle(reader, writer):
    try:
        how = await reader.readexactly(1)
        if how == b"r":
            abort(writer)
        elif how == b"c":
            writer.close()
        elif how == b"h":
            writer.write(b"half")
            writer.write_eof()
            await reader.read()
            writer.close()
        elif how == b"f":
            while True:
                writer.write(b"z" * 65536)
                await writer.drain()
        else:
            data = await reader.read()
            writer.write(hashlib.sha256(data).digest() + data)
            await writer.drain()
            writer.close()
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=8192, limit=1 << 17)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

# Holds sessions in the middle of a transfer, to be killed.
VICTIM = r"""
import socket, sys
socks = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
for sock in socks:
    sock.sendall(b"f")
for sock in socks:
    sock.recv(1000)
print("ready", flush=True)
while True:
    for sock in socks:
        sock.recv(65536)
"""


def is_within(now, want):
    """None is more: what was wanted may have been counted before all had come to rest."""
    return all(n <= w for n, w in zip(now, want))


def raise_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))


class Stress(Case):
    def setUp(self):
        super().setUp()
        raise_limit()
        self.server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
        self.addCleanup(self.end_server)
        self.port = int(self.server.stdout.readline())

    def end_server(self):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()

    def baseline(self, bridge, port=None):
        """After a few sessions: what is made once has been made."""
        asyncio.run(self.checked_sessions(port or bridge.port, 50))
        self.settle(bridge, None)
        return bridge.fds(), bridge.fibers(), bridge.children(), bridge.rss()

    def settle(self, bridge, want):
        """Waits until the numbers are no more than wanted, or no longer change."""
        last = None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            now = bridge.fds(), bridge.fibers(), bridge.children()
            if now == last if want is None else is_within(now, want):
                return now
            last = now
            time.sleep(0.05)
        return last

    def back_at(self, bridge, before, rss_spare):
        now = self.settle(bridge, before[:3])
        self.assertTrue(is_within(now, before), f"fds, fibers, children: {now}, before {before}")
        until(lambda: bridge.rss() - before[3] < rss_spare,
              f"RSS within {rss_spare >> 20} MiB of {before[3] >> 20} MiB")

    async def checked_session(self, port, number, all_open, gate):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 17)
        data = hashlib.shake_128(b"%d" % number).digest(PAYLOAD)
        writer.write(b"e" + data[:PAYLOAD // 2])
        await writer.drain()
        all_open(1)
        await gate.wait()
        writer.write(data[PAYLOAD // 2:])
        writer.write_eof()
        back = await reader.readexactly(32 + PAYLOAD)
        assert back[:32] == hashlib.sha256(data).digest(), "the server got other bytes"
        assert back[32:] == data, "other bytes came back"
        assert await reader.read(1) == b""
        writer.close()
        await writer.wait_closed()

    async def checked_sessions(self, port, count, when_open=None):
        gate = asyncio.Event()
        opened = 0

        def all_open(n):
            nonlocal opened
            opened += n
            if opened == count:
                if when_open:
                    when_open()
                gate.set()
        limit = asyncio.Semaphore(500)  # of connects under way, for the listen queue

        async def one(number):
            async with limit:
                task = asyncio.create_task(self.checked_session(port, number, all_open, gate))
                await asyncio.sleep(0)
            await task
        await asyncio.gather(*(one(n) for n in range(count)))

    def test_5000_sessions_at_once_are_each_their_own(self):
        # The bridge has two descriptors a session; clients and server one each.
        count = min(SESSIONS, (HARD - SPARE) // 2)
        if count < SESSIONS:
            print(f"only {count} sessions: the hard limit is {HARD} descriptors", file=sys.stderr)
        with Bridge("listen:tcp://:0", f"tcp://127.0.0.1:{self.port}") as bridge:
            before = self.baseline(bridge)
            rss = []

            def when_open():
                until(lambda: bridge.fds() >= before[0] + 2 * count, "both ends of all are open")
                rss.append(bridge.rss())
            start = time.monotonic()
            asyncio.run(self.checked_sessions(bridge.port, count, when_open))
            print(f"{count} sessions in {time.monotonic() - start:.1f} s, "
                  f"{(rss[0] - before[3]) / count / 1024:.1f} KiB each", file=sys.stderr)
            self.back_at(bridge, before, self.rss_spare(count))
            self.assertEqual(bridge.stop(), 0)
            self.assertEqual(len([line for line in bridge.lines if "session" in line and
                                  "fiber" not in line]), 0, bridge.lines[-5:])

    def test_5000_sessions_at_once_through_a_tunnel(self):
        count = min(SESSIONS, HARD - SPARE)
        if count < SESSIONS:
            print(f"only {count} sessions: the hard limit is {HARD} descriptors", file=sys.stderr)
        with Bridge("listen:mux+tcp://:0", f"tcp://127.0.0.1:{self.port}") as far, \
                Bridge("listen:tcp://:0", far.url) as near:
            before = self.baseline(near), self.baseline(far, near.port)
            rss = []

            def when_open():
                for bridge, was in zip((near, far), before):
                    until(lambda b=bridge, w=was: b.fds() >= w[0] + count, "one end of all is open")
                    rss.append(bridge.rss())
            start = time.monotonic()
            asyncio.run(self.checked_sessions(near.port, count, when_open))
            print(f"{count} sessions in {time.monotonic() - start:.1f} s through a tunnel, "
                  f"{(rss[0] - before[0][3]) / count / 1024:.1f} KiB each at the near end, "
                  f"{(rss[1] - before[1][3]) / count / 1024:.1f} at the far end", file=sys.stderr)
            for bridge, was in zip((near, far), before):
                self.back_at(bridge, was, self.rss_spare(count))
            for bridge in (near, far):
                self.assertEqual(bridge.stop(), 0)
                self.assertEqual(len([line for line in bridge.lines if "session" in line and
                                      "fiber" not in line]), 0, bridge.lines[-5:])

    def rss_spare(self, count):
        """Kept for reuse: stacks, pooled buffers, the allocator's own; with a sanitizer its
        quarantine and shadow as well."""
        return (48 << 20) + count * (16 << 10) if FLAVOUR in ("release", "debug") else 1 << 30

    @staticmethod
    def half_close(sock):
        """The bridge may have reset the session by then, which is one of the ways."""
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            raise ConnectionResetError from error

    def end_one(self, sock, way, rng):
        """Brings one session to its end; the way decides who does what."""
        linger = struct.pack("ii", 1, 0)
        if way == "close":
            sock.close()
        elif way == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.close()
        elif way == "half":
            sock.sendall(b"e" + b"x" * rng.randrange(5000))
            self.half_close(sock)
            while sock.recv(65536):
                pass
            sock.close()
        elif way in ("r", "c", "h"):
            sock.sendall(way.encode() + b"y" * rng.randrange(2000))
            if rng.randrange(2):
                self.half_close(sock)
            while sock.recv(65536):
                pass
            sock.close()
        else:
            sock.sendall(b"f")
            sock.recv(rng.randrange(1, 200000))
            if rng.randrange(2):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.close()

    def end_batch(self, port, rng):
        ways = ["close", "reset", "half", "r", "c", "h", "middle"]
        socks = []
        for _ in range(BATCH):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            socks.append(sock)
        rng.shuffle(socks)
        for i, sock in enumerate(socks):
            with contextlib.suppress(ConnectionError):
                self.end_one(sock, ways[i % len(ways)], rng)
            sock.close()

    def kill_client(self, port):
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(port), "20"],
                                  stdout=subprocess.PIPE)
        self.assertEqual(victim.stdout.readline(), b"ready\n")
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()

    def test_2000_sessions_that_end_in_every_way_leave_nothing(self):
        seed = int(os.environ.get("WEFT_TEST_SEED", time.time_ns() & 0xffffffff))
        print(f"WEFT_TEST_SEED={seed}", file=sys.stderr)
        rng = random.Random(seed)
        with Bridge("--log-level=error", "listen:tcp://:0",
                    f"tcp://127.0.0.1:{self.port}") as bridge:
            before = self.baseline(bridge)
            for _ in range(ENDED // BATCH):
                self.end_batch(bridge.port, rng)
            for _ in range(3):
                self.kill_client(bridge.port)
            self.back_at(bridge, before, self.rss_spare(BATCH))
            # kill -9 of the server, under a client in the middle of things
            socks = [bridge.connect() for _ in range(20)]
            for sock in socks:
                sock.sendall(b"f")
                self.assertEqual(sock.recv(1), b"z")
            self.server.kill()
            for sock in socks:
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):
                        pass
                sock.close()
            self.back_at(bridge, before, self.rss_spare(BATCH))
            self.assertEqual(bridge.stop(), 0)

    def test_sessions_with_children_leave_nothing(self):
        rng = random.Random(7)
        with Bridge("--log-level=error", "--max-children=50", "listen:tcp://:0",
                    "exec:sh -c 'head -c 1 >/dev/null; exec cat'") as bridge:
            before = bridge.fds(), bridge.fibers(), 0, bridge.rss()
            for _ in range(10):
                socks = [bridge.connect() for _ in range(20)]
                for i, sock in enumerate(socks):
                    with contextlib.suppress(ConnectionError):
                        self.end_one(sock, ["close", "reset", "half"][i % 3], rng)
                    sock.close()
                until(lambda: bridge.children() == 0, "no child left")
            fds, fibers, children = self.settle(bridge, before[:3])
            # The pool of threads for blocking work and the like may have come to be.
            self.assertLessEqual(fds, before[0] + 2)
            self.assertLessEqual(fibers, before[1])
            self.assertEqual(children, 0)
            self.assertEqual(bridge.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
