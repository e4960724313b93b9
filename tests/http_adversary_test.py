#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""weft's HTTP server and those who mean it ill: slow in every way, many, cut off, and with
requests that two readers would read differently. Each ends when it must, memory has a bound,
and whoever behaves is served meanwhile."""
import contextlib
import os
import resource
import select
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from peerlib import (MIB, Certificates, WeftClient, WeftServer, expected, http_get, pattern,
                     tls_flags)
from weftlib import FLAVOUR, PATIENCE, connect, is_reset, read_all, until

KIB = 1024
# Bytes a connection may take, whatever it does, beside what the kernel holds for it. A sanitizer
# has redzones, shadows and a history of its own.
INSTRUMENTED = FLAVOUR in ("asan", "tsan", "coverage")
IDLE_BYTES = (100 if INSTRUMENTED else 16) * KIB
BUSY_BYTES = (200 if INSTRUMENTED else 48) * KIB
SPARE = (16 if FLAVOUR == "tsan" else 4) * MIB  # of all: pages come as they are touched
CROWD = 200 if FLAVOUR == "tsan" else 2000
LIMIT = 0.4   # seconds, of each time-out here
LATE = 8.0    # what a slow machine may add; still less than any default
FLAGS = ("--header-timeout", "400", "--idle-timeout", "400", "--write-timeout", "400",
         "--body-grace", "400", "--body-rate", "1000")
PATIENT = ("--header-timeout", "60000", "--idle-timeout", "60000", "--write-timeout", "60000",
           "--body-grace", "60000")
ENV = {"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=4"}
HEAD = b"POST /digest HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n"


def trickle(sock, piece, begun):
    """Sends piece again and again, slowly, until the server has something to say or is gone:
    what it said, and how many seconds after begun, when its time had not begun yet."""
    sock.settimeout(0.05)
    heard = b""
    while time.monotonic() - begun < PATIENCE:
        try:
            sock.sendall(piece)
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            part = sock.recv(65536)
        except socket.timeout:
            continue
        except ConnectionResetError:
            part = b""
        heard += part
        if not part:
            return heard, time.monotonic() - begun
    raise AssertionError(f"still there after {PATIENCE} s; it said {heard[:200]}")


def silence(sock, begun=0.0):
    """Waits for the end: what was said before, and how many seconds after begun."""
    sock.settimeout(PATIENCE)
    try:
        return read_all(sock), time.monotonic() - begun
    except ConnectionResetError:
        return b"", time.monotonic() - begun


class Watched(unittest.TestCase):
    """A server that has let go of everything when the block ends."""

    @contextlib.contextmanager
    def server(self, *flags):
        with WeftServer(*flags, env=ENV) as server:
            with contextlib.ExitStack() as stack:  # what each worker makes once is made
                for _ in range(8):
                    sock = stack.enter_context(connect(server.port))
                    sock.sendall(GET)
                    self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 "))
            until(lambda: server.stats()["now"] == 1, "their end")
            before = server.stats()
            descriptors = server.fds()
            yield server
            self.served(server)

            def back():
                now = server.stats()
                return now["fibers"] <= before["fibers"] and now["now"] == 1
            until(back, "all connections and fibers gone")
            until(lambda: server.fds() <= descriptors, "all descriptors closed")

    def served(self, server):
        self.assertEqual(http_get(server, "/bytes/10"), pattern(10).decode("latin-1"))

    def ended(self, seconds, begins=LIMIT):
        self.assertGreater(seconds, begins * 0.9)
        self.assertLess(seconds, begins + LATE)


class Slow(Watched):
    def test_a_head_that_trickles_in_gets_408(self):
        with self.server(*FLAGS) as server:
            for begin, piece in ((b"GET / HTTP/1.1\r\n", b"A: b\r\n"), (b"", b"G"),
                                 (b"GET / HTTP/1.1\r\nA: ", b"b")):
                begun = time.monotonic()
                with self.subTest(begin=begin, piece=piece), connect(server.port) as sock:
                    sock.sendall(begin)
                    heard, seconds = trickle(sock, piece, begun)
                    self.assertIn(b" 408 ", heard)
                    self.ended(seconds)
            self.assertGreaterEqual(server.stats()["timeouts"], 3)

    def test_empty_lines_that_trickle_in_come_to_an_end(self):
        with self.server(*FLAGS) as server, connect(server.port) as sock:
            _, seconds = trickle(sock, b"\r\n", time.monotonic())
            self.assertLess(seconds, LIMIT + LATE)

    def test_a_connection_that_says_nothing_is_closed(self):
        with self.server(*FLAGS) as server:
            begun = time.monotonic()
            with connect(server.port) as sock:
                _, seconds = silence(sock, begun)
            self.ended(seconds)

    def test_a_connection_that_says_no_more_is_closed(self):
        with self.server(*FLAGS) as server, connect(server.port) as sock:
            begun = time.monotonic()
            sock.sendall(GET)
            heard, seconds = silence(sock, begun)
            self.assertTrue(heard.startswith(b"HTTP/1.1 200 "), heard)
            self.assertEqual(heard.count(b"HTTP/1.1"), 1)
            self.ended(seconds)

    def test_a_second_head_that_trickles_in_gets_408(self):
        with self.server(*FLAGS, "--idle-timeout", "60000") as server, \
                connect(server.port) as sock:
            sock.sendall(GET)
            self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 "))
            begun = time.monotonic()
            sock.sendall(b"GET / HTTP/1.1\r\n")
            heard, seconds = trickle(sock, b"A: b\r\n", begun)
            self.assertIn(b" 408 ", heard)
            self.ended(seconds)

    def test_a_body_that_trickles_in_gets_408(self):
        with self.server(*FLAGS, "--header-timeout", "60000") as server:
            for head, piece in ((b"Content-Length: 1000000\r\n\r\n", b"x"),
                                (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
                                (b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b"y"),
                                (b"Transfer-Encoding: chunked\r\n\r\n1;", b"e"),
                                (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"T: r\r\n")):
                with self.subTest(head=head), connect(server.port) as sock:
                    begun = time.monotonic()
                    sock.sendall(HEAD + head)
                    heard, seconds = trickle(sock, piece, begun)
                    self.assertIn(b" 408 ", heard)
                    self.ended(seconds)

    def test_a_body_that_stops_gets_408(self):
        with self.server(*FLAGS, "--header-timeout", "60000") as server, \
                connect(server.port) as sock:
            begun = time.monotonic()
            sock.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + pattern(1000))
            heard, seconds = silence(sock, begun)
            self.assertIn(b" 408 ", heard)
            self.ended(seconds)

    def test_a_body_at_a_steady_pace_is_let_come(self):
        with self.server(*FLAGS) as server, connect(server.port) as sock:
            size = 40000
            head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size
            for at in range(0, size, 1000):  # for 0.8 s and more, 50000 bytes a second
                sock.sendall((b"" if at else head) + pattern(size)[at:at + 1000])
                select.select([sock], [], [], 0.02)
            self.assertIn(expected(size).encode(), read_all(sock))

    def test_who_does_not_read_an_answer_is_reset(self):
        with self.server(*FLAGS) as server, connect(server.port, rcvbuf=4096) as sock:
            begun = time.monotonic()
            sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: server.stats()["now"] == 1, "the connection's end")
            self.ended(time.monotonic() - begun)
            self.assertTrue(is_reset(sock))

    def test_who_reads_an_answer_byte_by_byte_is_reset(self):
        with self.server(*FLAGS) as server, connect(server.port, rcvbuf=4096) as sock:
            begun = time.monotonic()
            sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")

            def gone():
                with contextlib.suppress(ConnectionResetError):
                    sock.recv(1)
                    return server.stats()["now"] == 1
                return True
            until(gone, "the connection's end")
            self.ended(time.monotonic() - begun)

    def test_who_reads_an_answer_below_the_least_rate_is_reset(self):
        limit = 2  # seconds; the socket moves again and again within them
        with self.server("--write-timeout", str(limit * 1000), "--body-rate", "1000000000") as \
                server, connect(server.port) as sock:
            begun = time.monotonic()
            sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            with self.assertRaises(ConnectionResetError):
                while time.monotonic() < begun + PATIENCE:
                    sock.recv(65536)
                    select.select([], [], [], 0.02)
            self.ended(time.monotonic() - begun, limit)

    def test_a_tls_handshake_that_does_not_come_is_given_up(self):
        with tempfile.TemporaryDirectory() as folder, \
                WeftServer(*tls_flags(Certificates(folder)), *FLAGS, env=ENV) as server:
            for begin in (b"", b"\x16\x03\x01\x02\x00"):
                begun = time.monotonic()
                with connect(server.port) as sock:
                    sock.sendall(begin)
                    _, seconds = silence(sock, begun)
                    self.ended(seconds)


class Many(Watched):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def crowd(self, server, count, begin, bytes_each, answers=False, rcvbuf=None):
        """So many connections that begin so: what they cost, all of them."""
        with contextlib.ExitStack() as stack:
            before = server.rss()
            socks = []
            for _ in range(count):
                sock = stack.enter_context(connect(server.port, rcvbuf=rcvbuf))
                sock.sendall(begin)
                socks.append(sock)
            if answers:
                for sock in socks:
                    self.assertTrue(sock.recv(65536).startswith(b"HTTP/1.1 200 "))
            until(lambda: server.stats()["now"] == count + 1, f"{count} connections")
            self.served(server)
            cost = server.rss() - before
            self.assertLess(cost, count * bytes_each + SPARE)
        until(lambda: server.stats()["now"] == 1, "that all have gone")

    def test_a_crowd_with_one_byte_each_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD, b"G", IDLE_BYTES)

    def test_a_crowd_that_says_nothing_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD, b"", IDLE_BYTES)

    def test_a_crowd_that_keeps_connections_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD, GET, IDLE_BYTES, answers=True)

    def test_a_crowd_in_the_midst_of_bodies_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD // 4, HEAD + b"Content-Length: 1000000\r\n\r\nxyz",
                       BUSY_BYTES)

    def test_a_crowd_that_reads_no_answers_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD // 4, b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
                       BUSY_BYTES, rcvbuf=4096)

    def test_a_crowd_that_pipelines_and_reads_nothing_takes_little_memory(self):
        with self.server(*PATIENT) as server:
            self.crowd(server, CROWD // 4, b"GET /bytes/60000 HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
                       BUSY_BYTES, rcvbuf=4096)

    def test_a_crowd_is_gone_when_its_time_is_up(self):
        with self.server(*FLAGS) as server, contextlib.ExitStack() as stack:
            socks = [stack.enter_context(connect(server.port)) for _ in range(CROWD)]
            for sock in socks:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    sock.sendall(b"G")
            for sock in socks:
                silence(sock)

    def is_kept(self, server, stack, kept):
        """One more that is served, of 20. The last to ask for stats may be in its place still."""
        sock = stack.enter_context(connect(server.port))
        sock.sendall(GET)
        if sock.recv(65536).startswith(b"HTTP/1.1 200 "):
            kept.append(sock)
        else:
            sock.close()
        return len(kept) == 20

    def test_over_the_limit_503_is_said(self):
        with self.server(*PATIENT, "--connections-max", "20") as server, \
                contextlib.ExitStack() as stack:
            # the connection that asked whether it listens may be there for a moment still
            until(lambda: server.stats()["now"] == 1, "a server without connections")
            kept = []
            until(lambda: self.is_kept(server, stack, kept), "20 connections")
            for _ in range(50):
                with connect(server.port) as sock:
                    self.assertIn(b" 503 ", read_all(sock))
            for sock in kept:
                sock.close()
            until(lambda: "requests=" in http_get(server, "/stats"), "room again")
            self.assertGreaterEqual(server.stats()["refused"], 50)


def smuggled(lines, body=b"", line=b"POST /digest HTTP/1.1", host=b"Host: a\r\n"):
    return line + b"\r\n" + host + lines + b"\r\n" + body


HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# Each is 400 and the end: nobody may find a second request in it.
SMUGGLING = {
    "length and chunks": smuggled(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunks and length": smuggled(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"),
    "lengths that differ": smuggled(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
    "lengths that differ in a list": smuggled(b"Content-Length: 5, 6\r\n", b"hello!"),
    "a length with a sign": smuggled(b"Content-Length: +5\r\n", b"hello"),
    "a length below zero": smuggled(b"Content-Length: -1\r\n"),
    "a length in hexadecimal": smuggled(b"Content-Length: 0x5\r\n", b"hello"),
    "a length with a blank": smuggled(b"Content-Length: 1 0\r\n", b"hello12345"),
    "an empty length": smuggled(b"Content-Length: \r\n"),
    "a length beyond 64 bits": smuggled(b"Content-Length: 18446744073709551621\r\n", b"hello"),
    "a blank before the colon": smuggled(b"Content-Length : 5\r\n", b"hello"),
    "chunks with a blank before the colon": smuggled(b"Transfer-Encoding : chunked\r\n",
                                                     b"0\r\n\r\n"),
    "a coding that is not the last": smuggled(b"Transfer-Encoding: chunked, identity\r\n",
                                              b"0\r\n\r\n"),
    "chunks twice": smuggled(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "chunks in two fields": smuggled(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "chunks in quotes": smuggled(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "chunks behind a tab that is none": smuggled(b"Transfer-Encoding: \x0bchunked\r\n",
                                                 b"0\r\n\r\n"),
    "xchunked": smuggled(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "identity": smuggled(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello"),
    "a folded field": smuggled(b"A: b\r\n c\r\n"),
    "a folded coding": smuggled(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "a fold at the very beginning": smuggled(b"", host=b" A: b\r\nHost: a\r\n"),
    "a bare CR in a value": smuggled(b"A: b\rTransfer-Encoding: chunked\r\n"),
    "a bare CR as a line's end": smuggled(b"A: b\rB: c\r\n"),
    "a NUL in a value": smuggled(b"A: b\0c\r\n"),
    "a NUL in a name": smuggled(b"A\0: b\r\n"),
    "a name without a colon": smuggled(b"Transfer-Encoding\r\n"),
    "an empty name": smuggled(b": b\r\n"),
    "a blank in a name": smuggled(b"A b: c\r\n"),
    "no host": smuggled(b"", host=b""),
    "two hosts": smuggled(b"Host: b\r\n"),
    "a host that is none": smuggled(b"", host=b"Host: a/b@c\r\n"),
    "a version that is none": smuggled(b"", line=b"GET / HTTP/1.1x"),
    "a blank too many": smuggled(b"", line=b"GET  / HTTP/1.1"),
    "no version": smuggled(b"", line=b"GET /"),
    "a method that is none": smuggled(b"", line=b"G(T / HTTP/1.1"),
    "a control character in the target": smuggled(b"", line=b"GET /\x01 HTTP/1.1"),
    "a chunk's size with a sign": smuggled(CHUNKED, b"+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size of 0x": smuggled(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with a blank before": smuggled(CHUNKED, b" 5\r\nhello\r\n0\r\n\r\n"),
    "an empty chunk's size": smuggled(CHUNKED, b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size beyond 64 bits": smuggled(CHUNKED, b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": smuggled(CHUNKED, b"5\r\nhello!\r\n0\r\n\r\n"),
    "a chunk that ends in a bare LF": smuggled(CHUNKED, b"5\r\nhello\n0\r\n\r\n"),
    "a chunk's line that ends in a bare CR": smuggled(CHUNKED, b"5\rhello\r\n0\r\n\r\n"),
    "a bare CR in a chunk's extension": smuggled(CHUNKED, b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "a bare LF in a chunk's extension": smuggled(CHUNKED, b"5;a\nhello\r\n0\r\n\r\n"),
    "a folded trailer": smuggled(CHUNKED, b"0\r\nA: b\r\n c\r\n\r\n"),
    "a trailer with a NUL": smuggled(CHUNKED, b"0\r\nA: \0\r\n\r\n"),
    "bytes from the middle of nowhere": bytes(range(128, 256)) * 4 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 32 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


# Refused as firmly, for another reason.
STATUS = {"a length beyond 64 bits": b"413", "a chunk's size beyond 64 bits": b"413",
          "HTTP/2": b"505"}


class Crooked(Watched):
    def test_each_smuggling_shape_is_refused_and_ends_the_connection(self):
        with self.server(*PATIENT) as server:
            for name, request in SMUGGLING.items():
                for cut in (len(request), 1, len(request) // 2):
                    with self.subTest(name, cut=cut), connect(server.port) as sock:
                        sock.sendall(request[:cut])
                        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                            sock.sendall(request[cut:] + HIDDEN)
                        heard, _ = silence(sock)
                        codes = [line.split(b" ")[1] for line in heard.split(b"\r\n")
                                 if line.startswith(b"HTTP/1.")]
                        self.assertEqual(codes, [STATUS.get(name, b"400")], heard[:300])

    def test_what_is_too_large_is_refused_with_the_limits_name(self):
        with self.server(*PATIENT, "--header-size-max", "4096", "--header-count-max", "10",
                         "--body-size-max", "10000") as server:
            limited = b"POST /limited HTTP/1.1\r\nHost: a\r\n"
            for status, request in (
                    (b"431", smuggled(b"A: " + b"b" * 5000 + b"\r\n")),
                    (b"431", smuggled(b"A: b\r\n" * 11)),
                    (b"414", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
                    (b"413", limited + b"Content-Length: 10001\r\n\r\n"),
                    (b"413", limited + CHUNKED + b"\r\n2711\r\n" + b"x" * 10001)):
                with connect(server.port) as sock:
                    sock.sendall(request)
                    heard, _ = silence(sock)
                    self.assertTrue(heard.startswith(b"HTTP/1.1 " + status + b" "), heard[:100])

    def test_an_endless_head_is_cut_at_the_limit(self):
        with self.server(*PATIENT, "--header-size-max", "65536") as server:
            for begin, piece in ((b"GET /", b"a" * 1000), (b"GET / HTTP/1.1\r\nA: ", b"b" * 1000),
                                 (b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 100),
                                 (HEAD + CHUNKED + b"\r\n0\r\n", b"A: b\r\n" * 100),
                                 (HEAD + CHUNKED + b"\r\n1;", b"e" * 1000)):
                with self.subTest(begin), connect(server.port) as sock:
                    sent = len(begin)
                    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                        sock.sendall(begin)
                        while sent < 50 * MIB:
                            sent += sock.send(piece)
                    # what the kernels' buffers take comes on top
                    self.assertLess(sent, 20 * MIB)

    def test_a_half_closed_request_is_answered(self):
        with self.server(*PATIENT) as server, connect(server.port) as sock:
            sock.sendall(HEAD + b"Content-Length: 5\r\n\r\nhello")
            sock.shutdown(socket.SHUT_WR)
            self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 200 "))

    def test_a_body_that_is_cut_off_is_no_request(self):
        with self.server(*PATIENT) as server:
            for head in (b"Content-Length: 10\r\n\r\nhello", CHUNKED + b"\r\n5\r\nhel"):
                with connect(server.port) as sock:
                    sock.sendall(HEAD + head)
                    sock.shutdown(socket.SHUT_WR)
                    self.assertNotIn(b" 200 ", silence(sock)[0])

    def test_clients_that_are_killed_in_the_midst_leave_nothing(self):
        with self.server(*PATIENT) as server:
            for line in (("POST", "/digest", f"size={1024 * MIB}"),
                         ("POST", "/echo", f"chunked={1024 * MIB}"), ("GET", "/endless")):
                client = WeftClient()
                with contextlib.closing(client.process.stdin):
                    client.say("\t".join((line[0], server.base + line[1], *line[2:])))
                    until(lambda: server.stats()["now"] == 2, "the client's connection")
                    client.kill()
                until(lambda: server.stats()["now"] == 1, "the connection's end")
                client.process.stdout.close()
                client.process.stderr.close()

    def test_a_listener_to_events_that_goes_is_noticed(self):
        with self.server(*PATIENT) as server:
            for reset in (False, True):
                with connect(server.port) as sock:
                    sock.sendall(b"GET /events/live HTTP/1.1\r\nHost: a\r\n\r\n")
                    heard = b""
                    while b"number 1" not in heard:
                        heard += sock.recv(65536)
                    if reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            until(lambda: server.stats()["gone"] == 2, "that both have gone")

    def test_a_stop_does_not_wait_for_who_does_not_end(self):
        with WeftServer("--stop-timeout", "300", *PATIENT, env=ENV) as server, \
                connect(server.port) as idle, connect(server.port) as half, \
                connect(server.port, rcvbuf=4096) as deaf:
            idle.sendall(GET)
            self.assertTrue(idle.recv(65536).startswith(b"HTTP/1.1 200 "))
            half.sendall(HEAD + b"Content-Length: 5\r\n\r\nhe")
            deaf.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: server.stats()["now"] == 4, "all three")
            begun = time.monotonic()
            self.assertEqual(server.end(), 0, server.story())
            self.assertLess(time.monotonic() - begun, LATE)
            self.assertIn(" now=0 ", server.lines[-1])


if __name__ == "__main__":
    unittest.main()
