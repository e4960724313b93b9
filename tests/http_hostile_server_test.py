#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""weft's HTTP client and servers that mean it ill, or die: what does not end, does not come,
is not HTTP, or says more than it should. Each is an error that tells which, memory has a
bound, and no connection that has seen such a thing is used again."""
import contextlib
import gzip
import os
import select
import socket
import sys
import threading
import time
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from peerlib import MIB, WeftClient, WeftServer
from weftlib import FLAVOUR, PATIENCE, Server, reset, until

LATE = 8.0  # seconds that a slow machine may add; less than any default
INSTRUMENTED = FLAVOUR in ("asan", "tsan", "coverage")
MEMORY = (64 if INSTRUMENTED else 16) * MIB
ENV = {"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=4"}
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def take_request(file):
    """One request's head, or nothing at the end."""
    head = b""
    while (line := file.readline()) not in (b"\r\n", b""):
        head += line
    return head if line else b""


class Scripted(Server):
    """Answers the n-th request that comes by answers[n] (the last one from then on): bytes,
    which are sent, or functions, called with the socket. .heads are the requests."""

    def __init__(self, *answers, hold=False):
        self.answers = answers
        self.hold = hold  # the connection stays open behind an answer
        self.heads = []
        self.lock = threading.Lock()
        super().__init__(self.talk)
        self.base = f"http://127.0.0.1:{self.port}"

    def talk(self, sock):
        with sock, sock.makefile("rb") as file:
            while head := take_request(file):
                with self.lock:
                    answer = self.answers[min(len(self.heads), len(self.answers) - 1)]
                    self.heads.append(head)
                if callable(answer):
                    answer(sock)
                    return
                sock.sendall(answer)
                if not self.hold:
                    return


def flood(piece, begin=b""):
    """Sends piece without end; .sent says how much went, once it has ended."""
    def run(sock):
        sock.sendall(begin)
        while True:
            run.sent += sock.send(piece)
    run.sent = 0
    return run


def drip(piece, begin=b""):
    """The same, now and then."""
    def run(sock):
        sock.sendall(begin)
        sock.settimeout(0.05)
        while True:
            sock.sendall(piece)
            with contextlib.suppress(socket.timeout):
                if not sock.recv(1):
                    return
    return run


def silent(sock):
    sock.recv(1)


def deaf(sock):
    """Reads nothing until the client gives up."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    poll.poll(PATIENCE * 1000)


def has_ended_at_the_client(port):
    """No connection to this port of ours is open: each end has come through the kernel."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        lines = [line.split() for line in list(file)[1:]]
    return not any(int(fields[2].split(":")[1], 16) == port and fields[3] == "01"
                   for fields in lines)


class Hostile(unittest.TestCase):
    def ask(self, answer, *words, flags=(), method="GET", hold=False):
        """What the client says of one such answer; it is well afterwards."""
        with Scripted(answer, hold=hold) as server, WeftClient(*flags, env=ENV) as client:
            told = client.ask(method, server.base + "/", *words)
            if told["error"]:
                self.assertEqual(client.ask("STATS", "")["idle"], 0, told)
                until(lambda: client.ask("STATS", "")["connections"] == 0, "its end")
            return told

    def refused(self, answer, error, *words, **kwargs):
        told = self.ask(answer, *words, **kwargs)
        self.assertEqual(told["error"], error, told)
        self.assertTrue(told["detail"], told)
        return told

    def test_what_is_no_response_is_an_error_of_the_protocol(self):
        answers = {
            "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2": b"\0\0\x12\4\0\0\0\0\0" + b"\0" * 18,
            "no version": b"200 OK\r\n\r\n",
            "a version that is none": b"HTTP/1.x 200 OK\r\n\r\n",
            "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
            "a status that is none": b"HTTP/1.1 2x0 OK\r\n\r\n",
            "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
            "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
            "random bytes": bytes(range(128, 256)) * 20,
            "a folded field": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            "a bare CR": OK + b"A: b\rContent-Length: 0\r\n\r\n",
            "a NUL": OK + b"A: \0\r\nContent-Length: 0\r\n\r\n",
            "a blank before the colon": OK + b"Content-Length : 0\r\n\r\n",
            "a field without a colon": OK + b"Content-Length\r\n\r\n",
            "lengths that differ": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "a length with a sign": OK + b"Content-Length: +1\r\n\r\na",
            "a length below zero": OK + b"Content-Length: -1\r\n\r\na",
            "a length beyond 64 bits": OK + b"Content-Length: 99999999999999999999\r\n\r\na",
            "length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
                                      b"\r\n0\r\n\r\n",
            "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                                         b"Connection: upgrade\r\n\r\n",
            "a chunk's size that is none": CHUNKED + b"x\r\n",
            "a chunk's size with a sign": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
            "a chunk's size beyond 64 bits": CHUNKED + b"1ffffffffffffffff\r\na",
            "a chunk that is longer than it says": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
            "a trailer that is none": CHUNKED + b"0\r\n\0\r\n\r\n",
        }
        for name, answer in answers.items():
            with self.subTest(name):
                self.refused(answer, "WEFT_EPROTO")

    def test_what_ends_too_early_is_a_reset(self):
        answers = {
            "nothing": b"",
            "half a status line": b"HTTP/1.1 20",
            "half a head": OK + b"Content-Length: 5\r\n",
            "100 alone": b"HTTP/1.1 100 Continue\r\n\r\n",
            "half a body": OK + b"Content-Length: 5\r\n\r\nab",
            "no body": OK + b"Content-Length: 5\r\n\r\n",
            "half a chunk": CHUNKED + b"5\r\nab",
            "no last chunk": CHUNKED + b"2\r\nab\r\n",
            "half a last chunk": CHUNKED + b"2\r\nab\r\n0\r\n",
            "half a trailer": CHUNKED + b"0\r\nA: b",
        }
        for name, answer in answers.items():
            with self.subTest(name):
                self.refused(answer, "WEFT_ERESET")
                self.refused(lambda sock, answer=answer: (sock.sendall(answer), reset(sock)),
                             "WEFT_ERESET")

    def test_a_body_that_only_the_end_delimits_is_whole(self):
        told = self.ask(OK + b"\r\nall of it", "text")
        self.assertEqual((told["error"], told["text"]), ("", "all of it"))

    def test_bytes_behind_a_response_end_the_connection(self):
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        answers = {
            "length": (OK + b"Content-Length: 2\r\n\r\nab", "ab"),
            "none": (OK + b"Content-Length: 0\r\n\r\n", ""),
            "chunks": (CHUNKED + b"2\r\nab\r\n0\r\n\r\n", "ab"),
            "204": (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        }
        for name, (answer, text) in answers.items():
            with self.subTest(name), Scripted(answer + extra, OK + b"Content-Length: 4\r\n\r\ngood",
                                              hold=True) as server, \
                    WeftClient(env=ENV) as client:
                told = client.ask("GET", server.base + "/", "text")
                self.assertEqual((told["error"], told["text"]), ("", text), told)
                told = client.ask("GET", server.base + "/", "text")
                self.assertEqual((told["error"], told["text"]), ("", "good"), told)
                self.assertEqual(server.accepted, 2)
        with Scripted(OK + b"Content-Length: 5\r\n\r\nhello" + extra,
                      OK + b"Content-Length: 4\r\n\r\ngood", hold=True) as server, \
                WeftClient(env=ENV) as client:  # a body that HEAD must not have
            self.assertEqual(client.ask("HEAD", server.base + "/")["size"], 0)
            told = client.ask("GET", server.base + "/", "text")
            self.assertEqual((told["error"], told["text"], server.accepted), ("", "good", 2), told)

    def test_heads_without_end_are_cut_at_the_limit(self):
        with WeftClient(env=ENV) as client:
            before = client.rss()
            for begin, piece in ((b"", b"H" * 1000), (OK + b"A: ", b"b" * 1000),
                                 (OK, b"A: b\r\n" * 100), (CHUNKED + b"0\r\n", b"A: b\r\n" * 100),
                                 (CHUNKED, b"0" * 1000), (CHUNKED + b"1;", b"e" * 1000)):
                endless = flood(piece, begin)
                with self.subTest(begin=begin), Scripted(endless) as server:
                    told = client.ask("GET", server.base + "/")
                    self.assertIn(told["error"], ("WEFT_EMSGSIZE", "WEFT_EPROTO"), told)
                self.assertLess(endless.sent, 20 * MIB)
            self.assertLess(client.rss() - before, MEMORY)

    def test_interim_responses_without_end_are_cut(self):
        for piece in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
                      b"HTTP/1.1 199 X\r\n\r\n"):
            endless = flood(piece)
            told = self.ask(endless)
            self.assertIn(told["error"], ("WEFT_EMSGSIZE", "WEFT_EPROTO"), told)
            self.assertLess(endless.sent, 20 * MIB)

    def test_a_body_over_the_limit_is_cut(self):
        for begin, piece in ((OK + b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65536),
                             (CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
                             (OK + b"\r\n", b"x" * 65536)):
            self.refused(flood(piece, begin), "WEFT_EMSGSIZE", flags=("--body-size-max", "100000"))

    def test_a_body_that_unpacks_without_end_is_cut(self):
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = packer.compress(bytes(64 * MIB)) + packer.flush()
        head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        told = self.refused(head + bomb, "WEFT_EMSGSIZE", "decode")
        self.assertLess(told["size"], 32 * MIB)
        self.refused(head + bomb, "WEFT_EMSGSIZE", "decode", flags=("--body-size-max", "100000"))

    def test_a_packed_body_that_is_corrupt_or_cut_is_an_error(self):
        whole = gzip.compress(os.urandom(100000))
        broken = bytearray(whole)
        broken[50000] ^= 1
        for name, body in {"cut": whole[:-100], "without its sum": whole[:-8],
                           "garbage": b"x" * 100, "broken": bytes(broken)}.items():
            with self.subTest(name):
                self.refused(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
                             % len(body) + body, "WEFT_EPROTO", "decode")

    def test_what_does_not_come_ends_with_the_time_for_it(self):
        cases = (
            ("no head", silent, ("--head-timeout", "300"), ()),
            ("a head that drips", drip(b"A: b\r\n", OK), ("--head-timeout", "300"), ()),
            ("100 that drips", drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
             ("--head-timeout", "300", "--interim-max", "100000"), ()),
            ("a body that stops",
             lambda sock: (sock.sendall(OK + b"Content-Length: 9\r\n\r\na"), silent(sock)),
             ("--stall-timeout", "300"), ()),
            ("a request's body that is not taken", deaf, ("--stall-timeout", "300"),
             ("size=1000000000",)),
            ("the deadline", silent, (), ("timeout=300",)),
            ("the deadline, in the body", drip(b"x", OK + b"Content-Length: 99999\r\n\r\n"), (),
             ("timeout=300",)),
        )
        for name, answer, flags, words in cases:
            with self.subTest(name):
                begun = time.monotonic()
                told = self.refused(answer, "WEFT_ETIMEDOUT", *words, flags=flags,
                                    method="POST" if "size" in str(words) else "GET")
                self.assertGreater(time.monotonic() - begun, 0.25, told)
                self.assertLess(time.monotonic() - begun, LATE, told)

    def test_a_body_waits_for_100_only_so_long(self):
        def late(sock):
            with sock.makefile("rb") as file:
                body = file.read(5)
            sock.sendall(OK + b"Content-Length: 5\r\n\r\n" + bytes(len(body)))
        told = self.ask(late, "size=5", "expect", flags=("--expect-timeout", "200"), method="POST")
        self.assertEqual((told["error"], told["status"], told["sent"]), ("", 200, 5))

    def test_a_kept_connection_that_died_costs_an_idempotent_request_nothing(self):
        good = OK + b"Content-Length: 2\r\n\r\nok"
        deaths = {"closed": lambda sock: None, "reset": reset}
        for name, death in deaths.items():
            with self.subTest(name), Scripted(good, death, good, hold=True) as server, \
                    WeftClient(env=ENV) as client:
                self.assertEqual(client.ask("GET", server.base + "/1")["error"], "")
                told = client.ask("GET", server.base + "/2")
                self.assertEqual((told["error"], told["retries"]), ("", 1), told)
                self.assertEqual([head.split()[1] for head in server.heads],
                                 [b"/1", b"/2", b"/2"])

    def test_a_request_that_is_not_idempotent_is_never_sent_twice(self):
        good = OK + b"Content-Length: 2\r\n\r\nok"
        for death in (lambda sock: None, reset):
            with Scripted(good, death, good, hold=True) as server, WeftClient(env=ENV) as client:
                self.assertEqual(client.ask("GET", server.base + "/1")["error"], "")
                told = client.ask("POST", server.base + "/2", "size=5")
                self.assertEqual(told["error"], "WEFT_ERESET", told)
                self.assertEqual([head.split()[1] for head in server.heads], [b"/1", b"/2"])

    def test_one_that_died_on_a_new_connection_is_not_sent_again(self):
        with Scripted(reset, hold=True) as server, WeftClient(env=ENV) as client:
            self.assertEqual(client.ask("GET", server.base + "/")["error"], "WEFT_ERESET")
            self.assertEqual(len(server.heads), 1)

    def test_one_that_died_after_its_first_byte_is_not_sent_again(self):
        good = OK + b"Content-Length: 2\r\n\r\nok"
        with Scripted(good, lambda sock: sock.sendall(b"H"), good, hold=True) as server, \
                WeftClient(env=ENV) as client:
            client.ask("GET", server.base + "/1")
            self.assertEqual(client.ask("GET", server.base + "/2")["error"], "WEFT_ERESET")
            self.assertEqual(len(server.heads), 2)

    def test_a_connection_that_was_closed_while_idle_is_found_out(self):
        def close_behind(sock):
            sock.sendall(OK + b"Content-Length: 2\r\n\r\nok")
        with Scripted(close_behind) as server, WeftClient(env=ENV) as client:
            for _ in range(10):  # POST: at most once each, so it must not meet the dead one
                told = client.ask("GET", server.base + "/")
                self.assertEqual(told["error"], "")
                until(lambda: has_ended_at_the_client(server.port), "the server's close")
                told = client.ask("POST", server.base + "/", "size=5")
                self.assertEqual(told["error"], "", told)

    def test_a_server_that_is_killed_in_the_midst_is_a_reset(self):
        for method, path, *words in (("GET", "/endless"),
                                     ("POST", "/digest", f"size={1024 * MIB}"),
                                     ("POST", "/echo", f"chunked={1024 * MIB}")):
            with self.subTest(path), WeftClient(env=ENV) as client:
                server, answers = WeftServer(env=ENV), []

                def ask(url=server.base + path, method=method, words=words, client=client,
                        answers=answers):
                    answers.append(client.ask(method, url, *words))
                asker = threading.Thread(target=ask)
                try:
                    asker.start()
                    until(lambda server=server: server.stats()["now"] == 2, "the request")
                    server.kill()
                    asker.join(PATIENCE)
                finally:
                    with contextlib.suppress(AssertionError):
                        server.__exit__(None, None, None)
                self.assertEqual(answers[0]["error"], "WEFT_ERESET", answers)
                self.assertEqual(client.ask("STATS", "")["idle"], 0)

    def test_events_that_do_not_end_have_a_bound(self):
        with WeftClient(env=ENV) as client:
            before = client.rss()
            head = OK + b"Content-Type: text/event-stream\r\n\r\n"
            for begin, piece in ((b"data: ", b"x" * 65536), (b"", b"data: xxxxxxxxxx\n" * 4096),
                                 (b"id: ", b"7" * 65536), (b": ", b"c" * 65536)):
                with self.subTest(begin=begin), Scripted(flood(piece, head + begin)) as server:
                    told = client.ask("EVENTS", server.base + "/", "timeout=2000")
                    self.assertIn(told["error"], ("WEFT_EMSGSIZE", "WEFT_ETIMEDOUT"), told)
            self.assertLess(client.rss() - before, MEMORY + 40 * MIB)


if __name__ == "__main__":
    unittest.main()
