#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""Tunnels as their users meet them: two weft processes, many sessions over one connection,
and what becomes of those when a process is killed, speaks another version, or is no weft."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from weftlib import (AT_ONCE, FLAVOUR, PATIENCE, WEFT, Bridge, Case, Server, connect, echo,
                     free_port, is_listening, is_refused, is_reset, read_all, reset, run, until)

CLIENTS = 50 if FLAVOUR == "tsan" else 200


def sha256(data):
    return hashlib.sha256(data).digest()


def round_trip(sock, data):
    """Sends all, ends the stream, and reads what comes back to its end."""
    def send():
        with contextlib.suppress(OSError):  # the reading side will tell
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        return read_all(sock)
    finally:
        sender.join()


def flood(sock):
    """Sends without end; the first byte that comes is answered by it."""
    block = b"z" * 65536
    while True:
        sock.sendall(block)


def greet(sock):
    """Says a byte, then echoes: whoever got it knows that TO is open."""
    sock.sendall(b"!")
    echo(sock)


def to_url(bridge):
    """What TO listens on."""
    bridge.await_line("TO is listening on ")
    return next(line for line in bridge.lines if "TO is listening" in line).split()[-1]


class Tunnels(Case):
    def tunnel(self, to, *near, options="", flags=(), far=()):
        """near and far end, both ready."""
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        version = re.search(r"v=\d", options)
        far = stack.enter_context(
            Bridge("listen:mux+tcp://:0" + (f"?{version[0]}" if version else ""), to, *flags, *far))
        near = stack.enter_context(
            Bridge("listen:tcp://:0", far.url + (f"?{options}" if options else ""), *flags, *near))
        return near, far

    def works(self, port, size=100_000):
        data = os.urandom(size)
        with connect(port) as sock:
            self.assertEqual(sha256(round_trip(sock, data)), sha256(data))

    def works_again(self, port):
        """As long as there is no mux session yet, sessions may be reset."""
        def attempt():
            try:
                with connect(port) as sock:
                    return round_trip(sock, b"again") == b"again"
            except OSError:
                return False
        until(attempt, "sessions work again")

    def ends(self, *bridges):
        for bridge in bridges:
            self.assertEqual(bridge.stop(), 0, bridge.lines)


class Arguments(Case):
    def test_bad_options_are_one_line_and_status_2(self):
        for endpoint, *parts in (
                ("mux+tcp://:1?v=3", '"v"', '"3"', "1 or 2"), ("mux+tcp://:1?v=", '"v"'),
                ("mux+tcp://:1?sessions=0", "sessions", "1..64"),
                ("mux+tcp://:1?sessions=65", "sessions", "1..64"),
                ("mux+unix:/x?sessions=many", "many"), ("mux+tcp://:1?vv=1", '"vv"', "sessions"),
                ("mux+tcp://:1?keepalive=1s", "keepalive"), ("mux+tcp://:1?mode=0600", "mode"),
                ("mux+tcp://h", "port is missing"), ("mux+tcp://h:99999", "99999"),
                ("mux+unix:", "path is missing"), ("mux+unix:/a%zz", "%"),
                ("mux+tls://h:1?mode=0600", "mode")):
            for args in (["stdio:", endpoint], [endpoint, "stdio:"]):
                with self.subTest(args=args):
                    status, out, err = run("bridge", *args)
                    self.assertEqual((status, out), (2, b""))
                    self.assert_one_line(err, *parts)
        for args, *parts in (
                (["listen:mux+tcp://:0?sessions=2", "tcp://:1"], "sessions", "does not go"),
                (["listen:mux+tcp://0.0.0.0:0", "--", "cat"], "--insecure", "cat"),
                (["tcp://:1?v=1", "stdio:"], '"v"')):
            with self.subTest(args=args):
                status, out, err = run("bridge", *args)
                self.assertEqual((status, out), (2, b""))
                self.assert_one_line(err, *parts)

    def test_the_help_names_them(self):
        out = run("bridge", "--help")[1].decode()
        for part in ("listen:mux+tcp://", "mux+unix:/path", "v=1|2", "sessions=1..64"):
            self.assertIn(part, out)


class Forward(Tunnels):
    def test_bytes_travel_both_ways_in_either_version(self):
        data = os.urandom(5_000_000)
        for options in ("", "v=1", "v=2", "v=1&sessions=3", "nodelay=0&keepalive=0"):
            with self.subTest(options=options), Server(echo) as server:
                near, far = self.tunnel(server.url, options=options)
                with near.connect() as sock:
                    self.assertEqual(sha256(round_trip(sock, data)), sha256(data))
                self.ends(near, far)
                self.assertEqual((len(near.lines), len(far.lines)), (1, 1),
                                 near.lines + far.lines)

    def test_the_first_line_is_what_the_other_end_takes(self):
        with Server(echo) as server:
            near, far = self.tunnel(server.url)
            self.assertRegex(far.lines[0],
                             r"^weft: listening on mux\+tcp://127\.0\.0\.1:[1-9]\d*$")
            self.assertRegex(near.lines[0], r"^weft: listening on tcp://127\.0\.0\.1:[1-9]\d*$")

    def test_either_side_may_end_its_stream_first(self):
        got = []

        def handler(sock):
            sock.sendall(b"greeting")
            sock.shutdown(socket.SHUT_WR)
            got.append(read_all(sock))
        for options in ("v=1", "v=2"):
            with self.subTest(options=options), Server(handler) as server:
                got.clear()
                near, _ = self.tunnel(server.url, options=options)
                with near.connect() as sock:
                    self.assertEqual(read_all(sock), b"greeting")
                    sock.sendall(b"still here")
                    sock.shutdown(socket.SHUT_WR)
                    until(lambda: got, "the server's end")
                self.assertEqual(got, [b"still here"])

    def test_clients_at_once_are_each_their_own(self):
        with Server(greet) as server:
            near, far = self.tunnel(server.url, flags=["--log-level=debug"])
            near.await_line("is up")
            far.await_line("is up")
            fds = near.fds(), far.fds()
            fibers = near.fibers(), far.fibers()
            socks = [near.connect() for _ in range(CLIENTS)]
            for i, sock in enumerate(socks):
                self.assertEqual(sock.recv(1), b"!")
                sock.sendall(b"%d" % i * 1000)
            # one descriptor for all at the mux's side
            self.assertLessEqual(near.fds(), fds[0] + CLIENTS + 2)
            for i, sock in enumerate(socks):
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"%d" % i * 1000)
                sock.close()
            until(lambda: near.fibers() <= fibers[0] and far.fibers() <= fibers[1],
                  "the sessions' fibers are gone")
            until(lambda: near.fds() <= fds[0] + 2 and far.fds() <= fds[1] + 2, "no descriptor left")
            self.ends(near, far)

    def test_sessions_are_shared_out(self):
        with Server(greet) as server:
            near, far = self.tunnel(server.url, options="sessions=3", flags=["--log-level=debug"])
            until(lambda: sum("is up" in line for line in far.lines) == 3, "three mux sessions")
            until(lambda: sum("is up" in line for line in near.lines) == 3, "at both ends")
            socks = [near.connect() for _ in range(9)]
            for sock in socks:
                self.assertEqual(sock.recv(1), b"!")
            begun = re.compile(r"from \S*?tcp://127\.0\.0\.1:(\d+)\D+(\d+): begun")

            def peers_of_sessions():
                found = [begun.search(line) for line in list(far.lines)]
                return [match.group(1) for match in found if match]
            until(lambda: len(peers_of_sessions()) >= 9, "lines of nine sessions")
            peers = peers_of_sessions()
            self.assertEqual(len(peers), 9)
            self.assertEqual(sorted(peers.count(peer) for peer in set(peers)), [3, 3, 3])
            for sock in socks:
                sock.close()
            self.ends(near, far)

    def test_mux_over_unix_sockets(self):
        path = self.path("mux?")
        url = "mux+unix:" + path.replace("?", "%3F")
        data = os.urandom(1_000_000)
        with Server(echo) as server, Bridge(f"listen:{url}?mode=0600", server.url) as far, \
                Bridge("listen:unix:" + self.path("near"), url + "?sessions=2") as near:
            self.assertEqual(far.url, "mux+unix:" + path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(self.path("near"))
                self.assertEqual(sha256(round_trip(sock, data)), sha256(data))
            self.ends(near, far)
            self.assertEqual(os.listdir(self.folder), [])

    def test_stdio_is_one_stream(self):
        data = os.urandom(300_000)
        with Server(echo) as server, Bridge("listen:mux+tcp://:0", server.url) as far:
            for options in ("", "?sessions=3"):
                status, out, err = run("bridge", "stdio:", far.url + options, stdin=data)
                self.assertEqual((status, err), (0, ""))
                self.assertEqual(sha256(out), sha256(data))
            self.ends(far)

    def test_stdio_takes_one_stream(self):
        with Bridge("listen:mux+tcp://:0", "stdio:") as far, \
                Bridge("listen:tcp://:0", far.url) as near:
            with near.connect() as first:
                first.sendall(b"into stdout")
                until(lambda: far.out == b"into stdout", "the bytes")
                with near.connect() as second:
                    self.assertEqual(second.recv(1), b"")
                first.shutdown(socket.SHUT_WR)
                self.assertEqual(first.recv(1), b"")
            self.assertEqual(far.wait(), 0, far.lines)
            self.ends(near)

    def test_stdio_waits_for_who_comes(self):
        child = subprocess.Popen([WEFT, "bridge", "stdio:", "listen:mux+tcp://:0"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.addCleanup(child.kill)
        url = child.stderr.readline().decode().split()[-1]
        with Server(echo) as server, Bridge(url, server.url, ready=False) as behind:
            self.assertEqual(child.communicate(b"hello", PATIENCE)[0], b"hello")
            self.assertEqual(child.returncode, 0)
            behind.stop()

    def test_a_child_at_the_far_end(self):
        near, far = self.tunnel("exec:sh -c 'echo $$; exec cat'")
        with near.connect() as sock:
            pid = sock.recv(100)
            self.assertTrue(int(pid))
            self.assertEqual(far.children(), 1)
            self.assertEqual(round_trip(sock, b"words"), b"words")
        until(lambda: far.children() == 0, "no child left")
        self.ends(near, far)

    def test_tunnels_may_be_chained(self):
        with Server(echo) as server:
            near, _ = self.tunnel(server.url)
            with Bridge("listen:mux+tcp://:0?v=1", near.url) as second, \
                    Bridge("listen:tcp://:0", second.url + "?v=1") as first:
                self.works(first.port)


class Reverse(Tunnels):
    def test_the_end_behind_dials_and_serves(self):
        for options in ("", "v=1", "sessions=3"):
            version = "?v=1" if options == "v=1" else ""
            with self.subTest(options=options), Server(echo) as server, \
                    Bridge("listen:tcp://:0", "listen:mux+tcp://:0" + version) as front:
                url = to_url(front)
                self.assertRegex(url, r"^mux\+tcp://127\.0\.0\.1:[1-9]\d*$")
                with Bridge(f"{url}?{options}" if options else url, server.url,
                            ready=False) as behind:
                    behind.await_line("connected to")
                    self.assertEqual(behind.lines[0], f"weft: connected to {url}")
                    self.works(front.port, 3_000_000)
                    socks = [front.connect() for _ in range(20)]
                    for i, sock in enumerate(socks):
                        sock.sendall(b"%d" % i)
                        self.assertEqual(sock.recv(10), b"%d" % i)
                        sock.close()
                    self.ends(behind, front)

    def test_it_dials_again_for_as_long_as_it_runs(self):
        port = free_port()
        with Server(echo) as server, contextlib.ExitStack() as stack:
            def front():
                return stack.enter_context(
                    Bridge("listen:tcp://:0", f"listen:mux+tcp://127.0.0.1:{port}"))
            first = front()
            behind = stack.enter_context(
                Bridge(f"mux+tcp://127.0.0.1:{port}", server.url, ready=False))
            self.works(first.port)
            first.stop(signal.SIGKILL)
            behind.await_line("dialling again")
            self.works(front().port)
            self.ends(behind)

    def test_the_one_in_front_takes_the_next_that_comes(self):
        with Server(echo) as server, Bridge("listen:tcp://:0", "listen:mux+tcp://:0") as front:
            url = to_url(front)
            for _ in range(2):
                with Bridge(url, server.url, ready=False) as behind:
                    self.works_again(front.port)
                    behind.stop(signal.SIGKILL)
            self.ends(front)

    def test_a_first_dial_that_fails_is_status_1(self):
        port = free_port()
        start = time.monotonic()
        status, out, err = run("bridge", f"mux+tcp://127.0.0.1:{port}", "exec:cat")
        self.assertEqual((status, out), (1, b""))
        self.assert_one_line(err, f":{port}", "refused")
        status, _, err = run("bridge", "mux+unix:" + self.path("none"), "exec:cat")
        self.assertEqual(status, 1)
        self.assert_one_line(err, self.path("none"))
        self.assertLess(time.monotonic() - start, AT_ONCE)

    def test_without_anybody_behind_sessions_wait_as_long_as_they_may(self):
        with Bridge("--connect-timeout=300ms", "listen:tcp://:0", "listen:mux+tcp://:0") as front:
            start = time.monotonic()
            with front.connect() as sock:
                self.assertTrue(is_reset(sock))
            self.assertGreaterEqual(time.monotonic() - start, 0.29)
            front.await_line("no mux session")
            self.ends(front)


class Trouble(Tunnels):
    def setUp(self):
        super().setUp()
        self.are_held = threading.Event()

    def test_a_to_that_does_not_open_ends_the_stream(self):
        near, far = self.tunnel(f"tcp://127.0.0.1:{free_port()}")
        for _ in range(2):
            with near.connect() as sock:
                self.assertEqual(read_all(sock), b"")
        far.await_line("refused")
        self.ends(near, far)

    def test_without_a_far_end_sessions_are_reset_and_nothing_ends(self):
        port = free_port()
        with Bridge("--connect-timeout=300ms", "listen:tcp://:0",
                    f"mux+tcp://127.0.0.1:{port}") as near:
            near.await_line("trying again")
            with near.connect() as sock:
                self.assertTrue(is_reset(sock))
            near.await_line("no mux session")
            lines = [line for line in near.lines[1:] if "trying again" in line]
            self.assertEqual(len(lines), 1, near.lines)
            self.assertIn("refused", lines[0])
            with Server(echo) as server, \
                    Bridge(f"listen:mux+tcp://127.0.0.1:{port}", server.url):
                self.works_again(near.port)
            self.ends(near)

    def test_a_session_waits_for_the_far_end_to_come(self):
        port = free_port()
        with Server(echo) as server, \
                Bridge("listen:tcp://:0", f"mux+tcp://127.0.0.1:{port}") as near:
            near.await_line("trying again")
            with near.connect() as sock:
                sock.sendall(b"early")
                with Bridge(f"listen:mux+tcp://127.0.0.1:{port}", server.url):
                    self.assertEqual(sock.recv(5), b"early")

    def test_stdio_does_not_wait(self):
        port = free_port()
        start = time.monotonic()
        status, out, err = run("bridge", "stdio:", f"mux+tcp://127.0.0.1:{port}")
        self.assertEqual((status, out), (1, b""))
        self.assert_one_line(err, f":{port}", "refused")
        self.assertLess(time.monotonic() - start, AT_ONCE)

    def test_garbage_ends_one_mux_session_only(self):
        with Server(greet) as server:
            near, far = self.tunnel(server.url)
            with near.connect() as held:
                self.assertEqual(held.recv(1), b"!")
                for i, garbage in enumerate((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100,
                                             b"\2\x63" + b"\0" * 6, os.urandom(70000)), 1):
                    with far.connect() as sock:
                        with contextlib.suppress(ConnectionError):
                            sock.sendall(garbage)
                        with contextlib.suppress(ConnectionError):
                            read_all(sock)
                    until(lambda n=i: len(far.lines) > n, f"line {i}, {far.lines}")
                held.sendall(b"alive")
                self.assertEqual(held.recv(5), b"alive")
            self.assertEqual(len(far.lines), 5, far.lines)
            for line in far.lines[1:]:
                self.assertRegex(line, r"^weft: mux session with tcp://127\.0\.0\.1:\d+: .*\?v=1")
            self.ends(near, far)

    def test_another_version_is_told_at_both_ends(self):
        for ours, theirs in (("1", "2"), ("2", "1")):
            with self.subTest(near=ours, far=theirs), Server(echo) as server, \
                    Bridge(f"listen:mux+tcp://:0?v={theirs}", server.url) as far, \
                    Bridge("listen:tcp://:0", f"{far.url}?v={ours}") as near:
                self.assertTrue(is_refused(near.port))
                far.await_line(f"?v={ours}")
                near.await_line(f"?v={theirs}")
                self.assertTrue(far.has_line("version"), far.lines)
                with Bridge("listen:tcp://:0", f"{far.url}?v={theirs}") as better:
                    self.works(better.port)
                self.ends(near, far)

    def test_another_version_in_a_reverse_tunnel(self):
        with Server(echo) as server, \
                Bridge("listen:tcp://:0", "listen:mux+tcp://:0?v=1") as front:
            url = to_url(front)
            with Bridge(url, server.url, ready=False) as behind:
                behind.await_line("connected to")
                self.assertTrue(is_refused(front.port))
                behind.await_line("?v=1")
                front.await_line("?v=2")
                self.ends(behind, front)

    def hold(self, near, count):
        """So many clients that have a byte each; more comes without end, which nobody reads: of
        that a mux session takes only so much."""
        socks = [near.connect() for _ in range(count)]
        for sock in socks:
            sock.sendall(b"go")
            self.assertEqual(sock.recv(1), b"z")
        self.are_held.set()
        self.assertEqual(socks[0].recv(1), b"z")
        return socks

    def flood_held(self, sock):
        sock.sendall(b"z")
        self.are_held.wait(PATIENCE)
        flood(sock)

    def test_kill_9_of_the_far_end_mid_transfer(self):
        port = free_port()
        with Server(self.flood_held) as server, contextlib.ExitStack() as stack:
            def far():
                return stack.enter_context(
                    Bridge(f"listen:mux+tcp://127.0.0.1:{port}", server.url))
            first = far()
            near = stack.enter_context(
                Bridge("listen:tcp://:0", f"mux+tcp://127.0.0.1:{port}?sessions=2"))
            socks = self.hold(near, 10)
            first.stop(signal.SIGKILL)
            for sock in socks:
                self.assertTrue(is_reset(sock))
                sock.close()
            near.await_line("dialling again")
            far()
            server.handler = echo
            self.works_again(near.port)
            self.works(near.port)
            self.assertEqual(len(self.hold_echo(near)), 3)
            self.ends(near)

    def hold_echo(self, near):
        names = []
        for i in range(3):
            with near.connect() as sock:
                sock.sendall(b"%d" % i)
                names.append(sock.recv(1))
        return names

    def test_kill_9_of_the_near_end_mid_transfer(self):
        ended = []

        def handler(sock):
            try:
                self.flood_held(sock)
            except OSError as error:
                ended.append(error)
                raise
        with Server(handler) as server, \
                Bridge("listen:mux+tcp://:0", server.url) as far:
            fds = far.fds()
            with Bridge("listen:tcp://:0", far.url) as near:
                socks = self.hold(near, 10)
                near.stop(signal.SIGKILL)
                until(lambda: len(ended) == 10, "all of TO's connections end")
                for sock in socks:
                    sock.close()
            for error in ended:
                self.assertIsInstance(error, (ConnectionResetError, BrokenPipeError))
            until(lambda: far.fds() <= fds + 2, "no descriptor left")
            server.handler = echo
            with Bridge("listen:tcp://:0", far.url) as near:
                self.works(near.port)
            self.ends(far)

    def test_a_to_that_is_reset_ends_the_stream(self):
        with Server(lambda s: (s.recv(1), reset(s))) as server:
            near, far = self.tunnel(server.url)
            with near.connect() as sock:
                sock.sendall(b"x")
                self.assertEqual(read_all(sock), b"")
            far.await_line("reset")
            self.ends(near, far)

    def test_a_client_that_resets_ends_its_stream_only(self):
        ends = []

        def handler(sock):
            sock.sendall(b"!")
            ends.append(read_all(sock))
            sock.close()
        with Server(handler) as server:
            near, far = self.tunnel(server.url)
            held = near.connect()
            self.assertEqual(held.recv(1), b"!")
            sock = near.connect()
            self.assertEqual(sock.recv(1), b"!")
            reset(sock)
            until(lambda: ends == [b""], "the server's end")
            held.sendall(b"alive")
            held.shutdown(socket.SHUT_WR)
            until(lambda: b"alive" in ends, "the other lives")
            held.close()
            self.ends(near, far)

    def test_streams_over_the_limit_are_refused(self):
        with Server(greet) as server:
            near, far = self.tunnel(server.url, far=["--max-connections=2"])
            held = [near.connect() for _ in range(2)]
            for sock in held:
                self.assertEqual(sock.recv(1), b"!")
            for _ in range(3):
                with near.connect() as sock:
                    self.assertEqual(sock.recv(1), b"")
            far.await_line("ECAPACITY")
            held.pop().close()

            def admitted():
                with near.connect() as sock:
                    return sock.recv(1) == b"!"
            until(admitted, "a place is free again")
            held.pop().close()
            self.ends(near, far)

    def test_a_client_that_never_reads_does_not_hold_up_others(self):
        with Server(lambda s: flood(s) if s.recv(1) == b"f" else echo(s)) as server:
            near, far = self.tunnel(server.url)
            stalled = [near.connect(rcvbuf=4096) for _ in range(5)]
            for sock in stalled:
                sock.sendall(b"f")
                self.assertEqual(sock.recv(1), b"z")
            data = os.urandom(1_000_000)
            with near.connect() as sock:
                sock.sendall(b"e")
                self.assertEqual(sha256(round_trip(sock, data)), sha256(data))
            for sock in stalled:
                sock.close()
            self.ends(near, far)


class Warnings(Tunnels):
    def test_a_mux_that_leaves_loopback_is_warned_about_once(self):
        with Server(echo) as server, Bridge("listen:mux+tcp://0.0.0.0:0", server.url) as far:
            far.await_line("neither encrypted nor authenticated")
            self.assertIn("0.0.0.0", far.lines[1])
            with Bridge("listen:tcp://:0", f"mux+tcp://0.0.0.0:{far.port}?sessions=3") as near:
                near.await_line("neither encrypted nor authenticated")
                self.works(near.port)
                self.ends(near)
                self.assertEqual(len(near.lines), 2, near.lines)
            self.ends(far)
            self.assertEqual(len(far.lines), 2, far.lines)

    def test_events_are_json_when_asked(self):
        with Server(echo) as server, \
                Bridge("--log-format=json", "--log-level=debug", "listen:mux+tcp://:0",
                       server.url) as far:
            with far.connect() as sock:
                sock.sendall(b"garbage, garbage")
                with contextlib.suppress(ConnectionError):
                    read_all(sock)
            far.await_line("WEFT_EPROTO")
            with Bridge("listen:tcp://:0", far.url) as near:
                self.works(near.port)
                self.ends(near)
            self.ends(far)
            lines = [json.loads(line) for line in far.lines[1:]]
            bad = [line for line in lines if line.get("error") == "WEFT_EPROTO"]
            self.assertEqual([line["level"] for line in bad], ["warn"])
            self.assertTrue([line for line in lines if line.get("session") == 1 and
                             line["bytes_in"] == 100_000 and "#" in line["peer"]], lines)


class Drain(Tunnels):
    def start(self, **kwargs):
        server = Server(greet)
        server.__enter__()
        self.addCleanup(server.__exit__)
        near, far = self.tunnel(server.url, **kwargs)
        sock = near.connect()
        self.addCleanup(sock.close)
        self.assertEqual(sock.recv(1), b"!")
        return near, far, sock

    def finish(self, sock):
        sock.sendall(b"still")
        self.assertEqual(sock.recv(5), b"still")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(sock.recv(1), b"")

    def test_the_near_end_drains(self):
        near, far, sock = self.start()
        near.send(signal.SIGTERM)
        until(lambda: not is_listening(near.port), "no more accepted")
        self.finish(sock)
        self.assertEqual(near.wait(), 0)
        self.assertEqual(len(near.lines), 1)
        self.ends(far)

    def test_the_far_end_drains(self):
        near, far, sock = self.start()
        far.send(signal.SIGTERM)
        until(lambda: not is_listening(far.port), "no more accepted")
        with near.connect() as late:
            self.assertEqual(late.recv(1), b"")
        self.finish(sock)
        self.assertEqual(far.wait(), 0)
        self.assertEqual(len(far.lines), 1)
        self.ends(near)

    def test_a_reverse_tunnel_drains(self):
        with Server(greet) as server, Bridge("listen:tcp://:0", "listen:mux+tcp://:0") as front:
            with Bridge(to_url(front), server.url, ready=False) as behind:
                with front.connect() as sock:
                    self.assertEqual(sock.recv(1), b"!")
                    behind.send(signal.SIGTERM)
                    self.finish(sock)
                    self.assertEqual(behind.wait(), 0)
            self.ends(front)

    def test_what_the_drain_cuts_is_reset_at_the_other_end(self):
        for end in ("near", "far"):
            with self.subTest(end=end):
                near, far, sock = self.start(flags=["--drain-timeout=200ms"])
                cut = near if end == "near" else far
                cut.send(signal.SIGTERM)
                self.assertTrue(is_reset(sock))
                self.assertEqual(cut.wait(), 0)
                self.assertIn("1 session was cut", cut.lines[-1])

    def test_what_is_cut_never_looks_complete_to_the_server(self):
        ends = []

        def handler(sock):
            sock.sendall(b"!")
            ends.append(is_reset(sock))
        with Server(handler) as server:
            near, far = self.tunnel(server.url, "--drain-timeout=0s")
            with near.connect() as sock:
                self.assertEqual(sock.recv(1), b"!")
                sock.sendall(b"half of it")
                self.assertEqual(near.stop(), 0)
                until(lambda: ends, "the server's end")
            self.assertEqual(ends, [True])
            self.ends(far)

    def test_a_second_signal_ends_at_once(self):
        for end in (0, 1):
            bridge = self.start(flags=["--drain-timeout=60s"])[end]
            bridge.send(signal.SIGTERM)
            until(lambda b=bridge: not is_listening(b.port), "the drain")
            self.assertEqual(bridge.stop(signal.SIGTERM), 128 + signal.SIGTERM)

    def test_an_idle_tunnel_ends_at_once(self):
        with Server(echo) as server:
            near, far = self.tunnel(server.url, options="sessions=2",
                                    flags=["--drain-timeout=60s"])
            self.works(near.port)
            start = time.monotonic()
            self.ends(near, far)
            self.assertLess(time.monotonic() - start, AT_ONCE)

    def test_dialling_in_vain_ends_at_once(self):
        with Bridge("--drain-timeout=60s", "listen:tcp://:0",
                    f"mux+tcp://127.0.0.1:{free_port()}?sessions=4") as near:
            near.await_line("trying again")
            start = time.monotonic()
            self.ends(near)
            self.assertLess(time.monotonic() - start, AT_ONCE)


class Tools(Tunnels):
    def git(self, *args):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
               "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}
        return subprocess.run(["git", *args], check=True, capture_output=True, timeout=60, env=env)

    @unittest.skipUnless(shutil.which("git"), "no git")
    def test_git_clones_and_pushes_through_a_tunnel(self):
        repo = self.path("repo")
        self.git("init", "-q", repo)
        with open(os.path.join(repo, "blob"), "wb") as file:
            file.write(os.urandom(3_000_000))
        self.git("-C", repo, "add", ".")
        self.git("-C", repo, "commit", "-qm", "one")
        self.git("clone", "-q", "--bare", repo, self.path("bare"))
        near, far = self.tunnel(
            "exec:git daemon --inetd --export-all --enable=receive-pack "
            f"--base-path={self.folder} {self.folder}", far=["--env=GIT_CONFIG_GLOBAL=/dev/null"])
        self.git("clone", "-q", f"git://127.0.0.1:{near.port}/bare", self.path("clone"))
        with open(self.path("clone/more"), "wb") as file:
            file.write(os.urandom(2_000_000))
        self.git("-C", self.path("clone"), "add", ".")
        self.git("-C", self.path("clone"), "commit", "-qm", "two")
        self.git("-C", self.path("clone"), "push", "-q")
        self.ends(near, far)
        heads = {self.git("-C", self.path(name), "rev-parse", "HEAD").stdout
                 for name in ("bare", "clone")}
        self.assertEqual(len(heads), 1)
        self.assertEqual((len(near.lines), len(far.lines)), (1, 1), near.lines + far.lines)

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_fetches_through_a_tunnel(self):
        with open(self.path("page"), "wb") as file:
            file.write(os.urandom(2_000_000))
        server = subprocess.Popen([os.path.join(os.environ["WEFT_EXAMPLES"], "file_server"),
                                   self.folder], stderr=subprocess.PIPE)
        try:
            direct = server.stderr.readline().decode().split()[-1]
            near, far = self.tunnel(direct)
            url = f"http://127.0.0.1:{near.port}/page"
            done = subprocess.run(["curl", "-sf", "-Z", *[arg for i in range(8) for arg in (
                "-o", self.path(f"got{i}"), url)]], timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 0)
            with open(self.path("page"), "rb") as file:
                page = file.read()
            for i in range(8):
                with open(self.path(f"got{i}"), "rb") as file:
                    self.assertEqual(file.read(), page)
            self.ends(near, far)
        finally:
            server.kill()
            server.wait()
            server.stderr.close()

    @unittest.skipUnless(shutil.which("ssh") and os.path.exists("/usr/sbin/sshd"), "no sshd")
    def test_ssh_through_a_tunnel(self):
        key, host_key = self.path("key"), self.path("host_key")
        for path in (key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with open(self.path("sshd_config"), "w", encoding="ascii") as file:
            file.write(f"HostKey {host_key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n"
                       f"UsePAM no\nPidFile none\nPermitRootLogin yes\n")
        ssh = ["ssh", "-F", "/dev/null", "-i", key, "-o", "StrictHostKeyChecking=no", "-o",
               "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
        near, far = self.tunnel("exec:/usr/sbin/sshd -i -e -f " + self.path("sshd_config"))
        for proxy in (["-p", str(near.port), "127.0.0.1"],
                      ["-o", f"ProxyCommand={WEFT} bridge stdio: {far.url}", "weft-test"]):
            probe = subprocess.run([*ssh, *proxy, "cat; exit 7"], input=b"over ssh" * 100000,
                                   capture_output=True, timeout=60, check=False)
            if probe.returncode == 255:
                self.skipTest("sshd does not let this user in: " + probe.stderr.decode()[:200])
            self.assertEqual(probe.returncode, 7, probe.stderr)
            self.assertEqual(probe.stdout, b"over ssh" * 100000)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
