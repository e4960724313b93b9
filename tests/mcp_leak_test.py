#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=200 not=tsan
"""2,000 sessions of MCP clients that end in every way there is, with a child each and with one for all,
over Streamable HTTP and HTTP+SSE: no child, no descriptor, no fiber, no memory is left. And bridges
that are ended, or killed, in the middle of it: no child is."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcpraw import CHILD, Conn, OldSession, Session, answer_of, call, hold, request
from weftlib import FLAVOUR, PATIENCE, WEFT, Bridge, Case, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
SLOW = FLAVOUR not in ("release", "debug")
IDLE = "2s" if SLOW else "1s"
BATCH = 20
SESSIONS = {"per": 1000, "shared": 600, "sse per": 300, "sse shared": 100}
if SLOW:
    SESSIONS = {name: count // 4 for name, count in SESSIONS.items()}
KILLED = 10  # sessions of a client that is killed

# Holds sessions with streams, to be killed.
VICTIM = """
import sys
sys.path.insert(0, sys.argv[1])
from mcpraw import Session, OldSession, call
port, count = int(sys.argv[2]), int(sys.argv[3])
held = [OldSession(port) if i % 3 == 0 else Session(port) for i in range(count)]
for session in held:
    session.begin()
for i, session in enumerate(held):
    session.begun()
    if i % 3 == 0:
        session.say(call(1, "hold"))
    elif i % 3 == 1:
        session.listen()
    else:
        session.say("POST", call(1, "hold"))
print("ready", flush=True)
sys.stdin.read()
"""


def children_of(pid):
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found |= {int(n) for n in file.read().split()}
    return found


def is_gone(pid):
    """Or a zombie, that somebody else is to reap."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Leaks(Case):
    def bridge(self, *args, idle=IDLE):
        bridge = Bridge("--log-level=error", f"--idle-timeout={idle}", "--max-children=2000",
                        *args, LISTEN, "--", CHILD)
        self.enterContext(bridge)
        return bridge

    # --- ways to end -----------------------------------------------------------------------

    def delete(self, session):
        session.end()
        session.close()

    def delete_in_flight(self, session):
        session.say("POST", call(1, "hold"))
        session.end()
        status, _, body = session.response()
        self.assertIn("error", answer_of(body), status)
        session.close()

    def delete_with_stream(self, session):
        session.listen()
        session.end()
        while session.chunk():
            pass
        session.close()

    def leave(self, session):
        session.close()

    def leave_in_flight(self, session):
        session.say("POST", call(1, "hold"))
        session.close()

    def reset_in_flight(self, session):
        session.say("POST", call(1, "hold"))
        session.reset()

    def leave_stream(self, session):
        session.listen()
        session.close()

    def leave_in_the_middle_of_a_request(self, session):
        session.sock.sendall(session.text("POST", call(1, "echo", text="x" * 5000))[:3000])
        session.reset()

    def leave_unread(self, session):
        session.say("POST", call(1, "flood", count=100))
        session.reset()

    def kill_child(self, session):
        pid = int(session.tool("pid"))
        session.say("POST", hold(2))
        _, fields = session.head()
        self.assertIn(b"notifications/progress", session.chunk())
        os.kill(pid, signal.SIGKILL)
        body = session.body(fields)
        self.assertEqual(answer_of(body)["error"]["code"], -32000, body)
        self.delete(session)

    WAYS = [delete, delete_in_flight, delete_with_stream, leave, leave_in_flight,
            reset_in_flight, leave_stream, leave_in_the_middle_of_a_request, leave_unread]

    def old_leave(self, session):
        session.close()

    def old_reset(self, session):
        session.reset()

    def old_in_flight(self, session):
        session.say(call(1, "hold"))
        session.reset()

    def old_unread(self, session):
        session.say(call(1, "flood", count=100))
        session.close()

    def old_kill_child(self, session):
        pid = int(session.tool("pid"))
        session.say(hold(2))
        self.assertIn(b"notifications/progress", session.event())
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(answer_of(session.event())["error"]["code"], -32000)
        session.close()

    OLD_WAYS = [old_leave, old_reset, old_in_flight, old_unread]

    # --- all of them -----------------------------------------------------------------------

    def batch(self, bridge, make, ways, rng, count):
        sessions = [make(bridge.port) for _ in range(count)]
        for session in sessions:
            session.begin()
        for session in sessions:
            session.begun()
        rng.shuffle(sessions)
        for i, session in enumerate(sessions):
            ways[i % len(ways)](self, session)

    def run_all(self, bridge, make, ways, count, rng):
        done = 0
        while done < count:
            n = min(BATCH, count - done)
            rng.shuffle(ways)
            self.batch(bridge, make, ways, rng, n)
            done += n

    def kill_client(self, bridge):
        victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM, os.path.join(os.path.dirname(__file__), "support"),
             str(bridge.port), str(KILLED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(victim.stdout.readline(), b"ready\n")
        victim.kill()
        victim.wait()
        victim.stdin.close()
        victim.stdout.close()

    def counts(self, bridge):
        return bridge.fds(), bridge.fibers(), bridge.children()

    def quiet(self, bridge):
        """Its counts once nothing changes any more."""
        seen = [None]

        def is_same():
            now = self.counts(bridge)
            if now == seen[0]:
                return now
            seen[0] = now
            time.sleep(0.1)
            return None
        return until(is_same, "the bridge to come to rest")

    def is_back(self, bridge, before, rss, children):
        want = (before[0], before[1], children)
        end = time.monotonic() + PATIENCE
        # no more than before, which may have been counted when not all had come to rest
        while bridge.children() != children or bridge.fds() > before[0] or (
                now := self.counts(bridge))[2] != children or now[1] > want[1]:
            if time.monotonic() > end:
                now = self.counts(bridge)
                self.fail(f"fds, fibers, children: {now}, wanted {want}")
            time.sleep(0.02)
        spare = 1 << 30 if SLOW else 12 << 20  # sanitizers keep what was freed
        self.assertLess(bridge.rss() - rss, spare, "memory")

    def check(self, *args, make, ways, count, also, children=0):
        seed = int(os.environ.get("WEFT_TEST_SEED", time.time_ns() & 0xffffffff))
        print(f"WEFT_TEST_SEED={seed}", file=sys.stderr)
        rng = random.Random(seed)
        bridge = self.bridge(*args)
        start = time.monotonic()
        # what is made once has been made
        self.batch(bridge, make, ways[:1], rng, BATCH)
        until(lambda: bridge.children() == children, "no child is left of the first")
        before = self.quiet(bridge)
        # half of them: by then memory is as large as it gets
        self.run_all(bridge, make, list(ways), count // 2, rng)
        self.is_back(bridge, before, bridge.rss(), children)
        rss = bridge.rss()
        self.run_all(bridge, make, list(ways), count - count // 2, rng)
        for _ in range(5):
            self.batch(bridge, make, [also], rng, 1)
        self.kill_client(bridge)
        self.is_back(bridge, before, rss, children)
        print(f"{count} sessions {args}: {time.monotonic() - start:.1f} s, "
              f"{(bridge.rss() - rss) >> 10} KiB more than after half of them", file=sys.stderr)
        with contextlib.closing(Conn(bridge.port)) as conn:
            conn.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(conn.response()[0], 200)
        self.assertEqual(bridge.stop(), 0)

    def test_sessions_with_a_child_each_leave_nothing(self):
        self.check(make=Session, ways=self.WAYS, count=SESSIONS["per"], also=Leaks.kill_child)

    def test_sessions_with_one_child_leave_nothing_but_that(self):
        self.check("--session=shared", make=Session, ways=self.WAYS, count=SESSIONS["shared"],
                   also=Leaks.kill_child, children=1)

    def test_old_sessions_with_a_child_each_leave_nothing(self):
        self.check(make=OldSession, ways=self.OLD_WAYS, count=SESSIONS["sse per"],
                   also=Leaks.old_kill_child)

    def test_old_sessions_with_one_child_leave_nothing_but_that(self):
        self.check("--session=shared", make=OldSession, ways=self.OLD_WAYS,
                   count=SESSIONS["sse shared"], also=Leaks.old_kill_child, children=1)

    # --- the bridge ends -------------------------------------------------------------------

    def end_bridge(self, number, status, *args):
        bridge = self.bridge("--drain-timeout=200ms", *args, idle="1h")
        held = [OldSession(bridge.port) if i % 4 == 0 else Session(bridge.port)
                for i in range(24)]
        for session in held:
            session.begin()
        for i, session in enumerate(held):
            session.begun()
            if i % 4 == 0:
                session.say(call(1, "hold"))
            elif i % 4 == 1:
                session.listen()
            elif i % 4 == 2:
                session.say("POST", call(1, "hold"))
        children = children_of(bridge.pid)
        self.assertEqual(len(children), 1 if args else 24)
        self.assertEqual(bridge.stop(number), status)
        until(lambda: all(is_gone(pid) for pid in children), "no child is left")
        for session in held:
            session.close()

    def test_a_bridge_that_is_ended_leaves_no_child(self):
        self.end_bridge(signal.SIGTERM, 0)
        self.end_bridge(signal.SIGTERM, 0, "--session=shared")

    def test_a_bridge_that_is_killed_leaves_no_child(self):
        self.end_bridge(signal.SIGKILL, -signal.SIGKILL)
        self.end_bridge(signal.SIGKILL, -signal.SIGKILL, "--session=shared")

    def test_a_stdio_bridge_leaves_no_child_however_it_ends(self):
        for number in (signal.SIGKILL, signal.SIGTERM, None):
            process = subprocess.Popen([WEFT, "bridge", "stdio:", "--", CHILD],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            process.stdin.write(request(1, "ping", {}) + b"\n")
            process.stdin.flush()
            self.assertIn(b"result", process.stdout.readline())
            children = children_of(process.pid)
            self.assertEqual(len(children), 1)
            if number:
                process.send_signal(number)
            process.stdin.close()
            process.wait(PATIENCE)
            process.stdout.close()
            until(lambda: all(is_gone(pid) for pid in children), "no child is left")


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
