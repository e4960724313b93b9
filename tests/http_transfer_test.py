#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240 not=tsan
"""weft http's transfers: files, terminals, event streams, redirects, codings, proxies, TLS,
signals."""
import gzip
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
import threading
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from weftlib import PATIENCE, WEFT, Case, free_port, until
from webserver import (HAS_OPENSSL, ConnectProxy, Running, Web, certificate, environment, http,
                       response)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def answer_with(data):
    return lambda request, sock: data


class Terminal:
    """weft http with a pty as some of its descriptors; .shown is what came there."""

    def __init__(self, *args, streams=("stdout", "stderr"), **variables):
        self.main, side = pty.openpty()
        kwargs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        kwargs.update({name: side for name in streams})
        self.process = subprocess.Popen([WEFT, "http", *args], stdin=subprocess.DEVNULL,
                                        env=environment(**{"TERM": "xterm", **variables}), **kwargs)
        os.close(side)
        self.shown = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            while (data := os.read(self.main, 65536)):
                self.shown += data
        except OSError:
            pass  # EIO: the other end is closed

    def wait(self):
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        os.close(self.main)


def sleeps(weft):
    """Whether all of its threads wait for something."""
    folder = f"/proc/{weft.process.pid}/task"
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/stat", encoding="ascii") as file:
            if file.read().rsplit(")", 1)[1].split()[0] != "S":
                return False
    return True


class Files(Case):
    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_into_a_file(self):
        data = os.urandom(3_000_000)
        with Web(answer_with(response(data))) as web:
            self.assertEqual(http("-o", self.path("f"), web.url), (0, b"", ""))
            self.assertTrue(self.content("f") == data)
            web.answer = answer_with(response(b"short"))
            self.assertEqual(http("--output=" + self.path("f"), web.url), (0, b"", ""))
            self.assertEqual(self.content("f"), b"short")

    def test_a_file_is_not_touched_before_there_is_something_to_put_there(self):
        with open(self.path("f"), "wb") as file:
            file.write(b"precious")
        self.assertEqual(http("-o", self.path("f"), f"http://127.0.0.1:{free_port()}/")[0], 1)
        with Web(answer_with(response(b"x", status="500 No"))) as web:
            self.assertEqual(http("-f", "-o", self.path("f"), web.url)[0], 1)
        self.assertEqual(self.content("f"), b"precious")

    def test_a_file_that_can_not_be_made(self):
        with Web(answer_with(response(b"x"))) as web:
            for name, why in ((self.folder, "directory"), ("/nosuch/x", "No such file")):
                status, _, err = http("-o", name, web.url)
                self.assertEqual(status, 1)
                self.assert_one_line(err, name, why)

    def test_a_fifo_that_nobody_opens_can_be_interrupted(self):
        for name in ("fifo", "other"):
            os.mkfifo(self.path(name))
        with Web(answer_with(response(b"x"))) as web:
            # time enough for the answer
            late = self.enterContext(Running("--max-time=2s", "-o", self.path("other"), web.url))
            until(lambda: web.requests, "its request")
            web.requests.clear()
            with Running("-o", self.path("fifo"), web.url) as weft:
                until(lambda: web.requests, "the request")
                weft.interrupt()
                self.assertEqual((weft.wait(), weft.err), (130, b""))
            for flag in ("-H", "-d", "--json"):
                with Running(flag, "@" + self.path("fifo"), web.url) as weft:
                    until(lambda weft=weft: sleeps(weft), "the open")
                    weft.interrupt()
                    self.assertEqual(weft.wait(), -signal.SIGINT)
            self.assertEqual(late.wait(), 1)
            self.assert_one_line(late.err.decode(), self.path("other"), "timed out")

    def test_a_fifo_that_is_read(self):
        os.mkfifo(self.path("fifo"))
        got = []
        reader = threading.Thread(target=lambda: got.append(self.content("fifo")), daemon=True)
        reader.start()
        with Web(answer_with(response(b"hello"))) as web:
            self.assertEqual(http("-o", self.path("fifo"), web.url), (0, b"", ""))
        reader.join(PATIENCE)
        self.assertEqual(got, [b"hello"])

    def test_a_full_disk(self):
        with Web(answer_with(response(b"x" * 100_000))) as web:
            status, _, err = http("-o", "/dev/full", web.url)
            self.assertEqual(status, 1)
            self.assert_one_line(err, "/dev/full", "No space left")
            with open("/dev/full", "wb") as full:
                with Running(web.url, stdout=full) as weft:
                    self.assertEqual(weft.wait(), 1)
                    self.assertIn("No space left", weft.err.decode())

    def test_time_is_up_while_nobody_reads(self):
        with Web(answer_with(response(b"x" * 5_000_000))) as web:
            reader, writer = os.pipe()
            with Running("--max-time=1500ms", web.url, stdout=writer) as weft:
                os.close(writer)
                self.assertEqual(weft.wait(), 1)
                self.assert_one_line(weft.err.decode(), "standard output", "timed out")
            os.close(reader)

    def test_a_closed_standard_output_is_an_error_where_it_is_needed(self):
        with Web(answer_with(response(b"x"))) as web:
            for args, status in ((web.url, 1), (f"{web.url} -o {self.path('f')}", 0),
                                 (f"{web.url} 2>&-", 1), ("--help", 1)):
                done = subprocess.run(["bash", "-c", f'"{WEFT}" http {args} >&-'],
                                      capture_output=True, check=False, timeout=PATIENCE,
                                      env=environment())
                self.assertEqual(done.returncode, status, done.stderr)
                if status and "2>&-" not in args:
                    self.assert_one_line(done.stderr.decode(), "write standard output")
        self.assertEqual(self.content("f"), b"x")

    def test_nobody_reads_any_more(self):
        def endless(_request, sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(b"more\n" * 1000)

        with Web(endless) as web:
            command = f'"{WEFT}" http {web.url} | head -n 1; echo "${{PIPESTATUS[0]}}"'
            done = subprocess.run(["bash", "-c", command], capture_output=True, check=False,
                                  timeout=PATIENCE, env=environment())
            self.assertEqual((done.stdout, done.stderr), (b"more\n0\n", b""))


class Terminals(Case):
    def test_a_bar_says_how_far_it_is(self):
        half = threading.Event()

        def answer(_request, sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2048000\r\n\r\n" + b"x" * 1024000)
            half.wait(PATIENCE)
            return b"x" * 1024000

        with Web(answer) as web, Terminal("-o", self.path("f"), web.url,
                                          streams=("stderr",)) as terminal:
            until(lambda: b"50%  [" in terminal.shown, f"half of it: {terminal.shown}")
            until(lambda: b"1.0 MiB of 2.0 MiB" in terminal.shown, "how much")
            half.set()
            self.assertEqual(terminal.wait(), 0)
            last = terminal.shown.decode().rstrip("\r\n").split("\r")[-1]
            self.assertRegex(last, r"^100%  \[=+\]  2\.0 MiB  [\d.]+ [KMG]?i?B/s  in 0:\d\d")
            self.assertTrue(terminal.shown.endswith(b"\r\n"))

    def test_a_bar_without_a_known_end(self):
        chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        with Web(answer_with(chunk)) as web, Terminal("-o", self.path("f"), web.url,
                                                      streams=("stderr",)) as terminal:
            self.assertEqual(terminal.wait(), 0)
            self.assertIn(b"5 B", terminal.shown)

    def shown(self, web, *args):
        """What a terminal has shown at last, line by line."""
        with Terminal("-o", self.path("f"), *args, web.url, streams=("stderr",)) as terminal:
            status = terminal.wait()
            self.assertRegex(terminal.shown, rb"\r[^\r\n]*0 B")
        lines = terminal.shown.decode().replace("\r\n", "\n").split("\n")
        return status, [line.split("\r")[-1].replace("\x1b[K", "") for line in lines]

    def test_what_is_said_stands_beside_no_bar(self):
        with Web(answer_with(response(b"x" * 2048))) as web:
            status, lines = self.shown(web, "-v")
            self.assertEqual(status, 0)
            self.assertRegex(lines[-3], r"^100%  .* in 0:\d\d$")
            self.assertRegex(lines[-2], r"^\* times: ")
        with Web(answer_with(response(b"x" * 2048)[:-1024])) as web:
            web.closes = True
            status, lines = self.shown(web)
            self.assertEqual(status, 1)
            self.assertRegex(lines[-3], "^ 50%  ")
            self.assertRegex(lines[-2], r"^weft: http GET .*after 1024 bytes")
        with Web(answer_with(HEAD + b"retry: 1\nid: 1\ndata: x\n\n")) as web:
            def answer(request, _sock):
                return (b"HTTP/1.1 204 No Content\r\n\r\n" if request["Last-Event-ID"]
                        else HEAD + b"retry: 1\nid: 1\ndata: x\n\n")
            web.answer, web.closes = answer, True
            status, lines = self.shown(web, "--sse", "-v")
            self.assertEqual(status, 0)
            self.assertTrue(any(line.startswith("weft: event stream") for line in lines), lines)
            self.assertIn("> Last-Event-ID: 1", lines)

    def test_the_head_is_not_counted(self):
        with Web(answer_with(response(b"x" * 2048, X="y" * 4096)[:-1024])) as web:
            web.closes = True
            status, lines = self.shown(web, "-i")
            self.assertEqual(status, 1)
            self.assertRegex(lines[-3], "^ 50%  ")

    def test_no_bar_on_a_terminal_that_can_not_draw_one(self):
        with Web(answer_with(response(b"x"))) as web:
            with Terminal("-o", self.path("f"), web.url, streams=("stderr",),
                          TERM="dumb") as terminal:
                self.assertEqual((terminal.wait(), terminal.shown), (0, b""))

    def test_no_bar_where_nobody_looks(self):
        with Web(answer_with(response(b"x"))) as web:
            self.assertEqual(http("-o", self.path("f"), web.url), (0, b"", ""))
            with Terminal(web.url) as terminal:
                self.assertEqual(terminal.wait(), 0)
                self.assertEqual(terminal.shown, b"x")

    def test_a_terminal_is_not_garbled_unasked(self):
        with Web(answer_with(response(b"a\0b"))) as web:
            with Terminal(web.url) as terminal:
                self.assertEqual(terminal.wait(), 1)
                self.assertNotIn(b"\0", terminal.shown)
                self.assertIn(b"-o -", terminal.shown)
            with Terminal("-o", "-", web.url) as terminal:
                self.assertEqual(terminal.wait(), 0)
                self.assertIn(b"a\0b", terminal.shown)
            self.assertEqual(http(web.url), (0, b"a\0b", ""))


class Events(Case):
    def prompt(self, *args):
        """Each event is sent only after the one before has been shown."""
        go = [threading.Event() for _ in range(4)]

        def answer(_request, sock):
            sock.sendall(HEAD)
            for i, event in enumerate(go):
                sock.sendall(b"data: %d\n\n" % i)
                event.wait(PATIENCE)
            return None

        with Web(answer) as web:
            web.closes = True
            with Running(*args, web.url) as weft:
                for i, event in enumerate(go):
                    weft.await_out(b"data: %d\n\n" % i)
                    event.set()
                if not args:
                    self.assertEqual(weft.wait(), 0)

    def test_events_are_shown_as_they_come(self):
        self.prompt()

    def test_events_of_a_reconnecting_client_too(self):
        self.prompt("--sse")

    def test_a_stream_that_is_lost_is_found_again(self):
        def answer(request, _sock):
            number = int(request["Last-Event-ID"] or 0) + 1
            if number == 4:
                return b"HTTP/1.1 204 No Content\r\n\r\n"
            return HEAD + b"retry: 1\nid: %d\nevent: e\ndata: a\ndata: %d\n\n" % (number, number)

        with Web(answer) as web:
            web.closes = True
            status, out, err = http("--sse", web.url)
        self.assertEqual(status, 0)
        self.assertEqual(out.decode(), "".join(
            f"event: e\nid: {i}\ndata: a\ndata: {i}\n\n" for i in (1, 2, 3)))
        lines = err.splitlines()
        self.assertEqual(len(lines), 3, err)
        for line in lines:
            self.assertRegex(line, "^weft: event stream http.*: lost, next attempt in .*"
                             "the server ended it$")
        self.assertEqual([r["Accept"] for r in web.requests], ["text/event-stream"] * 4)

    def test_what_is_no_stream_of_events(self):
        with Web(answer_with(response(b"<p>", Content_Type="text/html"))) as web:
            status, out, err = http("--sse", web.url)
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, web.url, "text/html")
            web.answer = answer_with(response(status="404 x"))
            self.assert_one_line(http("--sse", web.url)[2], "404 (Not Found)")


class Signals(Case):
    def endless(self, _request, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        return None

    def test_an_interrupt_keeps_what_came_and_says_so(self):
        with Web(self.endless) as web:
            for number in (signal.SIGINT, signal.SIGTERM):
                with Running("-o", self.path("f"), web.url) as weft:
                    until(lambda: os.path.exists(self.path("f")) and
                          os.path.getsize(self.path("f")) == 5, "five bytes")
                    weft.interrupt(number)
                    self.assertEqual(weft.wait(), 128 + number)
                    self.assert_one_line(weft.err.decode(), "interrupted", self.path("f"), "5 bytes")
                os.unlink(self.path("f"))

    def test_an_interrupt_ends_a_wait_at_once(self):
        with Web(lambda request, sock: None) as web:
            for args in ([], ["--sse"], ["-v"]):
                before = len(web.requests)
                with Running(*args, web.url) as weft:
                    until(lambda before=before: len(web.requests) > before, "the request")
                    weft.interrupt()
                    self.assertEqual(weft.wait(), 130)
                    if not args:
                        self.assertEqual(weft.err, b"")

    def test_an_interrupt_ends_a_stream_of_events(self):
        with Web(answer_with(HEAD + b"data: x\n\n")) as web:
            for args in ([], ["--sse"]):
                with Running(*args, web.url) as weft:
                    weft.await_out(b"data: x\n\n")
                    weft.interrupt()
                    self.assertEqual(weft.wait(), 130)
                    self.assertEqual(weft.err, b"")

    def test_an_interrupt_while_nobody_reads_our_output(self):
        with Web(answer_with(response(b"x" * 5_000_000))) as web:
            reader, writer = os.pipe()
            with Running(web.url, stdout=writer) as weft:
                os.close(writer)
                self.assertEqual(os.read(reader, 1), b"x")
                weft.interrupt()
                self.assertEqual(weft.wait(), 130)
            os.close(reader)


class Redirects(Case):
    def setUp(self):
        super().setUp()
        with open(self.path("secrets"), "w", encoding="ascii") as file:
            file.write("X-Api-Key: k\nAuthorization: Bearer t\n")

    def answer(self, request, _sock):
        if request.target == "/end":
            return response(f"{request.method} {request['X-Api-Key']} {request['Authorization']} "
                            f"{request['X-Own']} ".encode() + request.bytes)
        status, _, where = request.target[1:].partition("/")
        base = self.other.url if where == "other" else ""
        return response(b"moved", status=status + " x", Location=base + "/end")

    def test_redirects(self):
        with Web(self.answer) as web, Web(self.answer) as self.other:
            self.assertEqual(http(web.url + "/302/here"), (0, b"moved", ""))
            flags = ["-L", "-H", "@" + self.path("secrets"), "-H", "X-Own: o"]
            for path, args, expected in (
                    ("/302/here", [], b"GET k Bearer t o "),
                    ("/302/other", [], b"GET None None o "),
                    ("/307/other", ["-d", "abc"], b"POST None None o abc"),
                    ("/308/here", ["-d", "@" + self.path("secrets")],
                     b"POST k Bearer t o X-Api-Key: k\nAuthorization: Bearer t\n"),
                    ("/302/here", ["-d", "abc"], b"GET k Bearer t o ")):
                with self.subTest(path=path, args=args):
                    self.assertEqual(http(*flags, *args, web.url + path), (0, expected, ""))
            status, _, err = http("-L", "-d", "-", web.url + "/307/here", stdin=b"abc")
            self.assertEqual(status, 1)
            self.assert_one_line(err, "307", "again")

    def test_each_hop_is_shown(self):
        with Web(self.answer) as web:
            _, _, err = http("-v", "-L", web.url + "/302/here")
            for line in ("> GET /302/here HTTP/1.1", "< HTTP/1.1 302 x", "> GET /end HTTP/1.1",
                         f"* redirect to {web.url}/end", "< HTTP/1.1 200 OK"):
                self.assertIn(line, err.split("\n"))

    def test_redirects_without_end(self):
        def answer(request, _sock):
            return response(status="302 x", Location=f"/{int(request.target[1:] or 0) + 1}")
        with Web(answer) as web:
            for args, count in ((["-L"], 10), (["-L", "--max-redirects=3"], 3)):
                del web.requests[:]
                status, _, err = http(*args, web.url)
                self.assertEqual(status, 1)
                self.assert_one_line(err, f"more than {count} redirects")
                self.assertEqual(len(web.requests), count + 1)
            web.answer = answer_with(response(status="302 x", Location="/"))
            self.assert_one_line(http("-L", web.url)[2], "loop")
            web.answer = answer_with(response(status="302 x", Location="file:///etc/passwd"))
            self.assert_one_line(http("-L", web.url)[2], "file:///etc/passwd")


class Codings(Case):
    def test_compressed(self):
        plain = b"hello, " * 1000
        codings = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}

        def answer(request, _sock):
            coding = request.target[1:]
            if not request["Accept-Encoding"]:
                return response(b"plain")
            return response(codings[coding], Content_Encoding=coding)

        with Web(answer) as web:
            for coding in codings:
                self.assertEqual(http("--compressed", f"{web.url}/{coding}"), (0, plain, ""))
            self.assertEqual(web.requests[0]["Accept-Encoding"], "gzip, deflate")
            self.assertEqual(http(web.url + "/gzip"), (0, b"plain", ""))
            # whoever asks for it by hand gets it as it is
            for flags in ([], ["--compressed"]):
                self.assertEqual(http(*flags, "-HAccept-Encoding: gzip", web.url + "/gzip"),
                                 (0, codings["gzip"], ""))

    def test_where_there_is_nothing_to_undo(self):
        def answer(request, _sock):
            status, coding = request.target[1:].split("/")
            data = response(b"" if status != "200" else b"hello", status + " x",
                            Content_Encoding=coding)
            return data[:-5] if request.method == "HEAD" else data

        with Web(answer) as web:
            for path in ("200/identity", "200/", "204/gzip", "304/gzip", "404/gzip"):
                out = b"hello" if path.startswith("200") else b""
                self.assertEqual(http("--compressed", f"{web.url}/{path}"), (0, out, ""))
            status, out, err = http("--compressed", "-I", web.url + "/200/gzip")
            self.assertEqual((status, err), (0, ""))
            self.assertIn(b"Content-Encoding: gzip\r\n", out)

    def test_a_coding_that_nobody_asked_for(self):
        with Web(answer_with(response(b"x", Content_Encoding="br"))) as web:
            status, out, err = http("--compressed", web.url)
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, web.url, "br")

    def test_a_bomb_is_refused(self):
        bomb = gzip.compress(bytes(50_000_000))
        with Web(answer_with(response(bomb, Content_Encoding="gzip"))) as web:
            status, out, err = http("--compressed", web.url)
            self.assertEqual(status, 1)
            self.assertLess(len(out), 200 * len(bomb) + (1 << 20))
            self.assert_one_line(err, web.url, "times larger")

    def test_what_is_cut_or_corrupt(self):
        data = gzip.compress(b"hello")
        for bad, why in ((data[:-4], "cut short"), (data[:-8] + b"12345678", "check"),
                         (b"no gzip at all", "header"), (data + b"x", "behind")):
            with Web(answer_with(response(bad, Content_Encoding="gzip"))) as web:
                status, _, err = http("--compressed", web.url)
                self.assertEqual(status, 1)
                self.assert_one_line(err, web.url, why)


class Proxies(Case):
    def answer(self, request, _sock):
        return response(f"{request.target} {request['Proxy-Authorization']}".encode())

    def test_the_environment(self):
        with Web(self.answer) as proxy, Web(self.answer) as web:
            with_user = proxy.url.replace("http://", "http://u:p@")
            for variables, args, expected in (
                    ({"http_proxy": with_user}, [], f"{web.url}/ Basic dTpw"),
                    ({"all_proxy": proxy.url}, [], f"{web.url}/ None"),
                    ({"http_proxy": with_user}, ["--no-proxy"], "/ None"),
                    ({"http_proxy": with_user, "no_proxy": "127.0.0.0/8"}, [], "/ None"),
                    ({"HTTP_PROXY": proxy.url}, [], "/ None"),
                    ({}, ["--proxy", proxy.url], f"{web.url}/ None"),
                    ({"http_proxy": "http://127.0.0.1:1"}, ["-x", proxy.url], f"{web.url}/ None")):
                with self.subTest(variables=variables, args=args):
                    self.assertEqual(http(*args, web.url, **variables), (0, expected.encode(), ""))

    def test_a_proxy_that_does_not_answer(self):
        port = free_port()
        status, _, err = http("http://example.test/", http_proxy=f"http://u:s3cret@127.0.0.1:{port}")
        self.assertEqual(status, 1)
        self.assert_one_line(err, "http://example.test/", f":{port}", "refused")
        self.assertNotIn("s3cret", err)
        status, _, err = http("http://example.test/", http_proxy="socks5://u:s3cret@127.0.0.1:1")
        self.assertEqual(status, 1)
        self.assert_one_line(err, "socks5")
        self.assertNotIn("s3cret", err)

    def test_a_tunnel_that_is_refused(self):
        for reply, why in ((b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "407"),
                           (b"HTTP/1.1 502 Bad\r\n\r\n", "502 (Bad Gateway)"),
                           (b"HTTP/1.1 200 OK\r\n\r\nx", "bytes follow"), (b"x", "")):
            with ConnectProxy(refuse=reply) as proxy:
                status, _, err = http("https://example.test/", https_proxy=proxy.url)
                self.assertEqual(status, 1)
                self.assert_one_line(err, "example.test:443", proxy.url.replace("http://", ""), why)
                self.assertEqual(proxy.requests[0].line, "CONNECT example.test:443 HTTP/1.1")


@unittest.skipUnless(HAS_OPENSSL, "no openssl")
class Tls(Case):
    def setUp(self):
        super().setUp()
        self.cert, self.key = certificate(self.folder, "server")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, self.key)

    def web(self):
        web = Web(answer_with(response(b"hello")), context=self.context)
        web.closes = True
        return web

    def test_who_is_trusted(self):
        with self.web() as web:
            status, out, err = http(web.url)
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, web.url, "self-signed")
            self.assertEqual(http("--cacert", self.cert, web.url), (0, b"hello", ""))
            self.assertEqual(http("--insecure", web.url), (0, b"hello", ""))
            for flag in ("--cacert", "--cert"):
                status, _, err = http(flag, self.path("none"), web.url)
                self.assertEqual(status, 1)
                self.assert_one_line(err, f"{flag}: {self.path('none')}", "no such file")

    def test_what_is_agreed_on_is_shown(self):
        with self.web() as web:
            for args, verified in ((["--cacert", self.cert], "verified"),
                                   (["--insecure"], "NOT VERIFIED")):
                _, _, err = http("-v", *args, web.url)
                self.assertRegex(err, rf"(?m)^\* TLS: TLSv1\.\d, \w+.*{verified}, .*CN=server.* "
                                 r"sha256:[0-9a-f]{64}$")
                self.assertRegex(err, r"TLS [1-9][\d.]* ms|TLS 0\.[1-9] ms")

    def test_a_clients_certificate(self):
        cert, key = certificate(self.folder, "client")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(cert)
        with open(self.path("both"), "wb") as both:
            for name in (cert, key):
                with open(name, "rb") as file:
                    both.write(file.read())
        with self.web() as web:
            known = ["--cacert", self.cert]
            self.assertEqual(http(*known, "--cert", cert, "--key", key, web.url),
                             (0, b"hello", ""))
            self.assertEqual(http(*known, "--cert", self.path("both"), web.url), (0, b"hello", ""))
            status, _, err = http(*known, web.url)
            self.assertEqual(status, 1)
            self.assert_one_line(err, web.url, "certificate")

    def test_through_a_tunnel(self):
        with self.web() as web, ConnectProxy() as proxy:
            url = proxy.url.replace("http://", "http://u:p@")
            self.assertEqual(http("--cacert", self.cert, web.url, HTTPS_PROXY=url),
                             (0, b"hello", ""))
            request = proxy.requests[0]
            self.assertEqual(request.line, f"CONNECT 127.0.0.1:{web.port} HTTP/1.1")
            self.assertEqual(request["Proxy-Authorization"], "Basic dTpw")

    def test_a_redirect_that_gives_up_tls_is_refused(self):
        with self.web() as web, Web(answer_with(response(b"clear"))) as clear:
            web.answer = answer_with(response(status="302 x", Location=clear.url + "/"))
            status, _, err = http("-L", "--cacert", self.cert, web.url)
            self.assertEqual(status, 1)
            self.assert_one_line(err, clear.url, "without TLS")
            self.assertEqual(len(clear.requests), 0)


class OurServer(Case):
    """Against weft's own server: examples/http_server.c."""

    def setUp(self):
        super().setUp()
        program = os.path.join(os.environ.get("WEFT_EXAMPLES", ""), "http_server")
        if not os.access(program, os.X_OK):
            self.skipTest("no " + program)
        self.server = subprocess.Popen([program, "tcp://127.0.0.1:0"], stdout=subprocess.PIPE,
                                       text=True)
        self.addCleanup(self.stop)
        line = self.server.stdout.readline()
        self.url = "http://" + re.search(r"tcp://(\S+)", line).group(1)

    def stop(self):
        self.server.kill()
        self.server.wait(PATIENCE)
        self.server.stdout.close()

    def test_a_greeting_an_echo_and_a_clock(self):
        self.assertEqual(http(self.url + "/hello/you"), (0, b"hello, you\n", ""))
        data = os.urandom(1_000_000)
        status, out, err = http("-d", "-", self.url + "/echo", stdin=data)
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out == data)
        for args in ([], ["--sse"]):
            with Running(*args, self.url + "/clock") as weft:
                weft.await_out(b"event: tick\ndata: 1\n\n")
                weft.interrupt()
                self.assertEqual(weft.wait(), 130)


if __name__ == "__main__":
    unittest.main()
