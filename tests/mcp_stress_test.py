#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=200 not=tsan
"""Messages of 10 MiB, several at once, each way and in each form, exactly at the limit and a byte beyond;
and 1,000 clients at once. Memory is bounded while it lasts, and given back.

What a message of 10 MiB costs while it is under way: the buffer it is read into, which doubles, so at
the last step there are two, of 8 and of 10 MiB; nothing else copies it. Hence COST a message.

WEFT_STRESS_SECONDS=N (make soak-mcp) goes on with large messages and many clients for so long."""
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcpraw import CHILD, INITIALIZE, Conn, OldSession, Session, answer_of, call, request
from weftlib import FLAVOUR, PATIENCE, WEFT, Bridge, Case, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
LIMIT = 10 << 20
COST = 19 << 20
SPARE = 8 << 20     # what is kept of smaller buffers, stacks
CLIENTS = 1000
CLIENT_COST = 80 << 10
SECONDS = int(os.environ.get("WEFT_STRESS_SECONDS", "0"))
IS_EXACT = FLAVOUR in ("release", "debug")  # sanitizers keep what was freed
EVENTS = "text/event-stream, application/json"


def padded(text, size):
    """A message of that size: blanks within it."""
    return text[:-1] + b" " * (size - len(text)) + text[-1:]


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {name: int(value) * 1024
                for name, value in re.findall(r"(VmRSS|VmHWM):\s+(\d+)", file.read())}


class Memory:
    """A process's memory from here on: .peak() and .now() beyond what it has now."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # VmHWM begins anew
        self.before = status_of(pid)["VmRSS"]

    def peak(self):
        return status_of(self.pid)["VmHWM"] - self.before

    def now(self):
        return status_of(self.pid)["VmRSS"] - self.before


class Stress(Case):
    def setUp(self):
        super().setUp()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def bridge(self, *args):
        bridge = Bridge("--log-level=error", *args, LISTEN, "--", CHILD)
        self.enterContext(bridge)
        return bridge

    def session(self, port, **options):
        session = Session(port, **options)
        self.addCleanup(session.close)
        session.begin()
        session.begun()
        return session

    def bounded(self, memory, messages, what):
        peak, now = memory.peak(), memory.now()
        print(f"{what}: peak {peak >> 10} KiB, after it {now >> 10} KiB", file=sys.stderr)
        if IS_EXACT:
            self.assertLess(peak, messages * COST + SPARE, what)
            until(lambda: memory.now() < SPARE, f"{what}: memory to be given back")

    # --- large messages --------------------------------------------------------------------

    def test_messages_at_the_limit_go_through_and_a_byte_more_is_an_error(self):
        for args in ((), ("--session=shared",)):
            bridge = self.bridge(*args)
            session = self.session(bridge.port)
            for _ in range(12):  # so that ids within have more digits than those without
                session.tool("echo", text="x")
            memory = Memory(bridge.pid)
            ask = call(1, "echo", text="y")
            for size, is_over in ((LIMIT, False), (LIMIT + 1, True), (LIMIT - 1, False)):
                status, _, body = session.ask("POST", padded(ask, size))
                if is_over:
                    self.assertEqual(status, 413)
                    self.assertIn("larger than", answer_of(body)["error"]["message"])
                    self.assertEqual(answer_of(body)["id"], 1)
                else:
                    self.assertEqual(answer_of(body)["result"]["content"][0]["text"], "y", size)
            envelope = len(session.ask("POST", call(1, "big", size=0))[2])
            for size, is_over in ((LIMIT, False), (LIMIT + 1, True), (LIMIT + 5000, True)):
                for accept in (None, EVENTS):
                    body = self.large_answer(session, size - envelope, accept)
                    answer = answer_of(body)
                    self.assertEqual(answer["id"], 1)
                    if is_over:
                        self.assertIn("too large", answer["error"]["message"])
                    else:
                        self.assertEqual(len(answer["result"]["content"][0]["text"]),
                                         size - envelope)
                    self.assertEqual(session.tool("echo", text="on"), "on")
            session.end()
            self.bounded(memory, 1, f"10 MiB {args}")
            self.assertEqual(bridge.stop(), 0)

    @staticmethod
    def large_answer(session, size, accept):
        text = session.text("POST", call(1, "big", size=size))
        if accept:
            text = text.replace(b"application/json, text/event-stream", accept.encode())
        session.sock.sendall(text)
        return session.response()[2]

    def together(self, count, work):
        """work(n) in so many threads."""
        failed = []

        def run(n):
            try:
                work(n)
            except BaseException as error:  # pylint: disable=broad-exception-caught
                failed.append(error)
        threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def echo_large(self, session, n, tool="echo"):
        text = f"{n:09d}" * ((LIMIT - 1000) // 9)
        self.assertEqual(session.tool(tool, text=text), text)

    def test_several_large_messages_at_once_both_ways(self):
        for args in ((), ("--session=shared",)):
            bridge = self.bridge(*args)
            sessions = [self.session(bridge.port) for _ in range(4)]
            old = OldSession(bridge.port)
            self.addCleanup(old.close)
            old.begin()
            old.begun()
            self.echo_large(sessions[0], 0)
            memory = Memory(bridge.pid)
            self.together(5, lambda n, s=sessions + [old]: self.echo_large(
                s[n], n, "tell" if n % 2 else "echo"))
            # a request and an answer of each at the same time
            self.bounded(memory, 5, f"5 times 10 MiB both ways {args}")
            self.assertEqual(bridge.stop(), 0)

    def test_large_messages_go_through_stdio_and_http(self):
        server = self.bridge()
        with subprocess.Popen([WEFT, "bridge", "stdio:", server.url], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            def ask(text):
                writer = threading.Thread(target=lambda: (
                    process.stdin.write(text + b"\n"), process.stdin.flush()))
                writer.start()
                while "id" not in (answer := json.loads(process.stdout.readline())):
                    pass
                writer.join()
                return answer
            self.assertIn("result", ask(request(0, "initialize", INITIALIZE)))
            memory = Memory(process.pid)
            self.assertIn("result", ask(padded(call(1, "echo", text="y"), LIMIT)))
            answer = ask(padded(call(2, "echo", text="y"), LIMIT + 1))
            self.assertEqual(answer["id"], 2)
            self.assertIn("too large", answer["error"]["message"])
            for tool in ("echo", "tell"):
                text = "z" * (LIMIT - 1000)
                self.assertEqual(ask(call(3, tool, text=text))["result"]["content"][0]["text"],
                                 text)
            answer = ask(call(4, "big", size=LIMIT))
            self.assertIn("error", answer)
            self.assertIn("result", ask(call(5, "echo", text="still")))
            self.bounded(memory, 2, "10 MiB by stdio: and http:")
            process.stdin.close()
            self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(server.stop(), 0)

    # --- many clients ----------------------------------------------------------------------

    def test_1000_clients_of_one_child_are_served_at_once(self):
        bridge = self.bridge("--session=shared")
        memory = Memory(bridge.pid)
        sessions = [Session(bridge.port) for _ in range(CLIENTS)]
        for session in sessions:
            self.addCleanup(session.close)
            session.begin()
        for session in sessions:
            session.begun()
        for turn in range(3):
            for n, session in enumerate(sessions):
                session.say("POST", call(turn, "echo", text=f"client {n} turn {turn}"))
            for n, session in enumerate(sessions):
                answer = answer_of(session.response()[2])
                self.assertEqual(answer["id"], turn)
                self.assertEqual(answer["result"]["content"][0]["text"],
                                 f"client {n} turn {turn}")
        self.assertEqual(bridge.children(), 1)
        self.many_bounded(memory)
        self.end_all(sessions)
        self.assertEqual(bridge.stop(), 0)

    def test_1000_clients_with_a_child_each_find_as_many_as_there_may_be(self):
        bridge = self.bridge("--max-children=50")
        memory = Memory(bridge.pid)
        sessions = [Session(bridge.port) for _ in range(CLIENTS)]
        served = []
        for session in sessions:
            self.addCleanup(session.close)
            session.begin()
        for session in sessions:
            status, fields, body = session.response()
            answer = answer_of(body)
            if "result" in answer:
                session.session = fields["mcp-session-id"]
                served.append(session)
            else:
                self.assertIn("50 servers run already", answer["error"]["message"], status)
        self.assertEqual(len(served), 50)
        self.assertEqual(bridge.children(), 50)
        for session in served:
            session.say("POST", call(1, "echo", text="x"))
        for session in served:
            self.assertIn("result", answer_of(session.response()[2]))
        self.many_bounded(memory)
        self.end_all(served)
        until(lambda: bridge.children() == 0, "no child")
        # and there is room for others
        self.assertEqual(self.session(bridge.port).tool("echo", text="room"), "room")
        self.assertEqual(bridge.stop(), 0)

    def many_bounded(self, memory):
        peak = memory.peak()
        print(f"{CLIENTS} clients: peak {peak >> 10} KiB", file=sys.stderr)
        if IS_EXACT:
            self.assertLess(peak, CLIENTS * CLIENT_COST + SPARE)

    def end_all(self, sessions):
        for session in sessions:
            session.say("DELETE")
        for session in sessions:
            self.assertEqual(session.response()[0], 204)

    @unittest.skipUnless(SECONDS, "make soak-mcp")
    def test_all_of_it_for_long(self):
        bridge = self.bridge("--session=shared")
        end = time.monotonic() + SECONDS
        rss = []
        while time.monotonic() < end:
            sessions = [self.session(bridge.port) for _ in range(100)]
            self.together(4, lambda n, s=sessions: self.echo_large(s[n], n, ["echo", "tell"][n % 2]))
            for n, session in enumerate(sessions):
                self.assertEqual(session.tool("echo", text=str(n)), str(n))
            self.end_all(sessions)
            for session in sessions:
                session.close()
            rss.append(status_of(bridge.pid)["VmRSS"])
        print(f"{len(rss)} rounds: {rss[0] >> 10} to {rss[-1] >> 10} KiB", file=sys.stderr)
        quarter = len(rss) // 4 + 1
        self.assertLess(max(rss[-quarter:]), max(rss[:quarter]) + SPARE)
        with contextlib.closing(Conn(bridge.port)) as conn:
            conn.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(conn.response()[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
