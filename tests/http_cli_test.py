#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""weft http as its users meet it: arguments, what is sent, what is shown, exit statuses."""
import concurrent.futures
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from weftlib import PATIENCE, WEFT, Case, Server, free_port, reset, run
from webserver import Running, Web, http, response


def echo(request, _sock):
    """All of the request, in the body."""
    lines = [request.line] + [f"{name}: {value}" for name, value in request.fields]
    return response("\n".join(lines).encode() + b"\n\n" + request.bytes)


def answer_with(data):
    return lambda request, sock: data


class Arguments(Case):
    def usage(self, args, *parts):
        status, out, err = http(*args)
        self.assertEqual(status, 2, (args, err))
        self.assertEqual(out, b"")
        self.assert_one_line(err, *parts)

    def test_bad_arguments_are_one_line_and_status_2(self):
        with Web(answer_with(response())) as web:
            url = web.url
            cases = [
                ([], "URL is missing"),
                (["example.org/x"], "http://example.org/x"),
                (["https:/h/x"], "https://h/x?"),
                (["//h/x"], "mean http://h/x?"),
                ([""], "no URL, such as"),
                (["http:"], "no URL, such as"),
                (["ftp://example.org"], "ftp://example.org"),
                (["http://"], "no host"),
                (["http://h:70000/"], "65535"),
                (["http://a b/"], "http://a b/"),
                (["http://u:secret@h/"], "-H @FILE"),
                ([url, url], "too many"),
                ([url, "--", "x"], "--"),
                (["--frobnicate", url], "--frobnicate"),
                (["--max-tme=1s", url], "--max-time"),
                (["-q", url], "-q"),
                (["-vq", url], "-q"),
                ([url, "-X"], "--request", "missing"),
                (["-X", "G T", url], "G T"),
                (["-X", "", url], "-X"),
                (["-H", "no colon", url], "-H"),
                (["-H", "A: b\r\nX: y", url], "-H"),
                (["-H", ": b", url], "-H"),
                (["-H", "Content-Length: 3", url], "Content-Length"),
                (["-H", "Transfer-Encoding: chunked", url], "Transfer-Encoding"),
                (["-d", "a", "-d", "b", url], "-d"),
                (["-d", "a", "--json", "b", url], "--json"),
                (["-I", "-d", "a", url], "-I"),
                (["-I", "-X", "GET", url], "-I"),
                (["--max-time=5", url], "--max-time", '"5"'),
                (["--max-size=1XB", url], "1XB"),
                (["--max-size=0", url], '"0"'),
                (["--max-redirects=51", url], "50"),
                (["--proxy", "http://u:secret@h", url], "arguments"),
                (["--proxy", "", url], "--no-proxy"),
                (["--proxy=h:1", "--no-proxy", url], "--no-proxy"),
                (["--proxy=h:1", "--unix-socket=/x", url], "--unix-socket"),
                (["--proxy=socks5://h:1", url], "--proxy", "socks5"),
                (["--key=k", url], "--cert"),
                (["-o", "", url], "-o", "empty"),
                (["--unix-socket=", url], "--unix-socket", "empty"),
                (["--cacert=", url], "--cacert", "empty"),
                (["--cert=", url], "--cert", "empty"),
                (["--cert=c", "--key=", url], "--key", "empty"),
                (["-H", "@", url], "-H @", "missing"),
                (["-d", "@", url], "-d @", "missing"),
                (["--json", "@", url], "--json @", "missing"),
                (["-d", "-", "-H", "@-", url], "-H @-", "already"),
                (["-H", "@-", "-H", "@-", url], "-H @-", "already"),
                (["--cacert=c", "--insecure", url], "--insecure"),
                (["--sse", "-d", "x", url], "--sse"),
                (["--sse", "-I", url], "--sse"),
                (["--sse", "-i", url], "--sse"),
                (["--sse", "-X", "GET", url], "--sse"),
            ]
            for args, *parts in cases:
                with self.subTest(args=args):
                    self.usage(args, *parts)
                    self.assertNotIn("secret", http(*args)[2])
            self.assertEqual(web.accepted, 0)

    def test_help(self):
        for args in (["http", "--help"], ["help", "http"], ["http", "-v", "-h"]):
            status, out, err = run(*args)
            self.assertEqual((status, err), (0, ""))
            self.assertIn(b"--compressed", out)

    def test_help_that_can_not_be_written_is_an_error(self):
        for args in (["http", "--help"], ["bridge", "--help"], ["help", "http"], ["--version"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([WEFT, *args], stdout=full, stderr=subprocess.PIPE,
                                      timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 1)
            self.assert_one_line(done.stderr.decode(), "standard output", "No space left")

    def test_letters_stand_together_and_beside_their_values(self):
        with Web(echo) as web:
            for args in (["-XPUT", "-iH", "A: b", web.url], [web.url, "-iXPUT", "-HA: b"]):
                status, out, err = http(*args)
                self.assertEqual((status, err), (0, ""))
                self.assertIn(b"PUT / HTTP/1.1\n", out)
                self.assertIn(b"\nA: b\n", out)
                self.assertTrue(out.startswith(b"HTTP/1.1 200 OK\r\n"))


class Sending(Case):
    def sent(self, *args, stdin=b"", path="/"):
        with Web(echo) as web:
            status, out, err = http(*args, web.url + path, stdin=stdin)
            self.assertEqual((status, err), (0, ""), out)
            head, _, body = out.partition(b"\n\n")
            self.assertEqual(len(web.requests), 1)
            return web.requests[0], head.decode(), body

    def test_a_plain_get(self):
        request, _, body = self.sent(path="/a?b=c#d")
        self.assertEqual(request.line, "GET /a?b=c HTTP/1.1")
        self.assertEqual(body, b"")
        self.assertRegex(request["Host"], r"^127\.0\.0\.1:\d+$")
        self.assertRegex(request["User-Agent"], r"^weft/")
        self.assertEqual(request["Accept"], "*/*")
        self.assertIsNone(request["Content-Length"])
        self.assertIsNone(request["Accept-Encoding"])

    def test_fields_replace_those_that_weft_sends(self):
        request, _, _ = self.sent("-H", "User-Agent: x", "-H", "accept: text/html", "-H", "Host: y",
                                  "-H", "X:", "-H", "A: 1", "-H", "A: 2")
        self.assertEqual(request["User-Agent"], "x")
        self.assertEqual(request["Accept"], "text/html")
        self.assertEqual(request["Host"], "y")
        self.assertEqual(request["X"] or "", "")
        self.assertEqual(request["A"], "1, 2")

    def test_fields_of_a_file(self):
        with open(self.path("f"), "w", encoding="ascii") as file:
            file.write("# a comment\nAuthorization: Bearer s3cret\r\n\nX-Key: k\n")
        request, _, _ = self.sent("-H", "@" + self.path("f"))
        self.assertEqual(request["Authorization"], "Bearer s3cret")
        self.assertEqual(request["X-Key"], "k")

    def test_fields_from_standard_input(self):
        request, _, _ = self.sent("-H", "@-", stdin=b"X-Key: k\nA: b\n")
        self.assertEqual((request["X-Key"], request["A"]), ("k", "b"))

    def test_a_bad_file_of_fields_does_not_show_them(self):
        with open(self.path("f"), "w", encoding="ascii") as file:
            file.write("A: b\ns3cret without colon\n")
        status, _, err = http("-H", "@" + self.path("f"), "http://127.0.0.1:1/")
        self.assertEqual(status, 2)
        self.assert_one_line(err, self.path("f"), "line 2")
        self.assertNotIn("s3cret", err)
        status, _, err = http("-H", "@" + self.path("none"), "http://127.0.0.1:1/")
        self.assertEqual(status, 1)
        self.assert_one_line(err, self.path("none"), "No such file")

    def test_text_as_a_body(self):
        request, _, body = self.sent("-d", "a=b&c")
        self.assertEqual((request.method, body), ("POST", b"a=b&c"))
        self.assertEqual(request["Content-Type"], "application/x-www-form-urlencoded")
        self.assertEqual(request["Content-Length"], "5")
        request, _, body = self.sent("-d", "", "-XPUT", "-HContent-Type: x/y")
        self.assertEqual((request.method, body), ("PUT", b""))
        self.assertEqual(request["Content-Type"], "x/y")
        self.assertEqual(request["Content-Length"], "0")

    def test_json_as_a_body(self):
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        request, _, body = self.sent("--json", text)
        self.assertEqual((request.method, body.decode()), ("POST", text))
        self.assertEqual(request["Content-Type"], "application/json")
        self.assertEqual(request["Accept"], "application/json")

    def test_a_file_as_a_body(self):
        data = os.urandom(300_000)
        with open(self.path("f"), "wb") as file:
            file.write(data)
        request, _, body = self.sent("-d", "@" + self.path("f"))
        self.assertEqual(body, data)
        self.assertEqual(request["Content-Length"], "300000")
        self.assertEqual(request["Content-Type"], "application/octet-stream")
        with open(self.path("f"), "wb"):
            pass
        request, _, body = self.sent("-d", "@" + self.path("f"))
        self.assertEqual((request["Content-Length"], body), ("0", b""))
        for name, why in (("none", "No such file"), ("", "directory")):
            status, _, err = http("-d", "@" + self.path(name), "http://127.0.0.1:1/")
            self.assertEqual(status, 1)
            self.assert_one_line(err, self.path(name), why)

    def test_a_file_that_has_a_content_but_no_size(self):
        name = "/proc/self/status"
        request, _, body = self.sent("-d", "@" + name)
        self.assertEqual(request["Transfer-Encoding"], "chunked")
        self.assertTrue(body.startswith(b"Name:\tweft"), body[:100])

    def test_a_file_that_is_cut_while_it_is_sent(self):
        size = 64 << 20  # more than sockets take without anybody who reads

        def answer(request, _sock):
            os.truncate(self.path("f"), 1000)
            while request.file.read(65536):
                pass

        with open(self.path("f"), "wb") as file:
            file.truncate(size)
        with Web(answer) as web:
            web.by_hand = True
            status, out, err = http("-d", "@" + self.path("f"), web.url)
        self.assertEqual((status, out), (1, b""))
        self.assert_one_line(err, "read " + self.path("f"), "before its size", str(size))

    def test_stdin_as_a_body(self):
        data = os.urandom(300_000)
        request, _, body = self.sent("-d", "-", stdin=data)
        self.assertEqual(body, data)
        self.assertEqual(request["Transfer-Encoding"], "chunked")
        with open(self.path("f"), "wb") as file:
            file.write(b"0123456789")
        with open(self.path("f"), "rb") as file:
            file.seek(3)
            os.lseek(file.fileno(), 3, os.SEEK_SET)
            request, _, body = self.sent("-d", "@-", stdin=file)
        self.assertEqual((request["Content-Length"], body), ("7", b"3456789"))

    def test_stdin_is_sent_as_it_comes(self):
        got = []

        def answer(request, _sock):
            while (data := request.chunk()):
                got.append(data)
            return response(b"done")

        with Web(answer) as web:
            web.by_hand = True
            with Running("-d", "-", web.url, stdin=subprocess.PIPE) as weft:
                for text in (b"one", b"two", b"three"):
                    weft.process.stdin.write(text)
                    weft.process.stdin.flush()
                    self.wait_for(lambda text=text: b"".join(got).endswith(text))
                weft.process.stdin.close()
                self.assertEqual(weft.wait(), 0)
                self.assertEqual(weft.out, b"done")

    def wait_for(self, condition):
        from weftlib import until  # pylint: disable=import-outside-toplevel
        until(condition, "what was sent")

    def test_a_unix_socket(self):
        with Web(echo, path=self.path("s")) as web:
            status, out, err = http("--unix-socket", self.path("s"), "http://any.host/x")
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(web.requests[0]["Host"], "any.host")
            self.assertIn(b"GET /x HTTP/1.1", out)


class Showing(Case):
    def test_the_body_alone(self):
        with Web(answer_with(response(b"hello\n"))) as web:
            self.assertEqual(http(web.url), (0, b"hello\n", ""))

    def test_a_head_before_the_body_and_alone(self):
        data = response(b"hello", X_Two="2")
        with Web(lambda r, s: data if r.method == "GET" else data[:-5]) as web:
            self.assertEqual(http("-i", web.url), (0, data, ""))
            self.assertEqual(http("-I", web.url), (0, data[:-5], ""))
            self.assertEqual([r.method for r in web.requests], ["GET", "HEAD"])

    def test_the_whole_exchange(self):
        data = response(b"hello", Set_Cookie="s3cret=1")
        with open(self.path("f"), "w", encoding="ascii") as file:
            file.write("Authorization: Bearer s3cret\n")
        with Web(answer_with(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + data)) as web:
            status, out, err = http("-v", "-H", "@" + self.path("f"), web.url + "/x")
            self.assertEqual((status, out), (0, b"hello"))
            lines = err.split("\n")
            for line in ("> GET /x HTTP/1.1", f"> Host: 127.0.0.1:{web.port}",
                         "> Authorization: [hidden]", "> ", "< HTTP/1.1 103 Early Hints",
                         "< Link: x", f"* connection: tcp://127.0.0.1:{web.port}",
                         "< HTTP/1.1 200 OK", "< Set-Cookie: [hidden]", "< Content-Length: 5"):
                self.assertIn(line, lines)
            self.assertRegex(lines[-2], r"^\* times: DNS [\d.]+ ms, connect [\d.]+ ms, "
                             r"TLS [\d.]+ ms, first byte [\d.]+ ms, total [\d.]+ ms$")
            self.assertNotIn("s3cret", err)

    def test_what_came_from_a_file_of_fields_is_not_shown(self):
        with open(self.path("f"), "w", encoding="ascii") as file:
            file.write("X-Api-Key: s3cret\n")
        with Web(echo) as web:
            _, out, err = http("-v", "-H", "@" + self.path("f"), "-H", "X-Other: shown", web.url)
            self.assertIn(b"s3cret", out)
            self.assertNotIn("s3cret", err)
            self.assertIn("\n> X-Api-Key: [hidden]\n", err)
            self.assertIn("\n> X-Other: shown\n", err)

    def test_long_lines_are_shown_whole(self):
        value = "v" * 30_000
        with Web(answer_with(response(b"", X_Long=value))) as web:
            _, _, err = http("-v", "-H", "X-Mine: " + value, web.url)
            self.assertIn(f"> X-Mine: {value}\n", err)
            self.assertIn(f"< X-Long: {value}\n", err)

    def test_what_a_terminal_would_obey_is_shown_in_hexadecimal(self):
        # in UTF-8 and in Latin-1 the control sequence introducer; and two letters
        data = b"HTTP/1.1 200 O\xc2\x9bK\r\nX: \x9b1mB\tC \xc3\xa4\r\nContent-Length: 0\r\n\r\n"
        with Web(answer_with(data)) as web:
            _, _, err = http("-v", web.url)
            self.assertIn("< HTTP/1.1 200 O\\xc2\\x9bK\n", err)
            self.assertIn("< X: \\x9b1mB\\x09C \u00e4\n", err)

    def test_http_errors(self):
        data = response(b"no such page", status="404 Not Found")
        with Web(answer_with(data)) as web:
            self.assertEqual(http(web.url), (0, b"no such page", ""))
            status, out, err = http("-f", web.url + "/p")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "GET", web.url + "/p", "404 (Not Found)")
            status, out, _ = http("--fail", "-i", web.url)
            self.assertEqual((status, out), (1, data[:-12]))
            status, out, _ = http("--fail", "-o", self.path("x"), web.url)
            self.assertFalse(os.path.exists(self.path("x")))
        with Web(answer_with(response(b"moved", status="301 Moved", Location="/"))) as web:
            self.assertEqual(http("-f", web.url), (0, b"moved", ""))

    def test_chunks_and_trailers(self):
        data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                b"5\r\nhello\r\n1\r\n\n\r\n0\r\nX-Sum: 42\r\n\r\n")
        with Web(answer_with(data)) as web:
            status, out, err = http("-v", web.url)
            self.assertEqual((status, out), (0, b"hello\n"))
            self.assertIn("\n< X-Sum: 42\n", err)

    def test_a_large_body(self):
        data = os.urandom(5_000_000)
        with Web(answer_with(response(data))) as web:
            status, out, err = http(web.url)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out == data)

    def test_a_body_up_to_the_connections_end(self):
        with Web(answer_with(b"HTTP/1.0 200 OK\r\n\r\nhello")) as web:
            web.closes = True
            self.assertEqual(http(web.url), (0, b"hello", ""))


class World(Case):
    """What the world refuses: status 1, one line that says what, to what and why."""

    def fails(self, args, *parts, out=b""):
        status, got, err = http(*args)
        self.assertEqual(status, 1, (args, err))
        self.assertEqual(got, out)
        self.assert_one_line(err, *parts)

    def test_a_refused_connection(self):
        port = free_port()
        self.fails([f"http://127.0.0.1:{port}/x"], f"GET http://127.0.0.1:{port}/x", "refused")

    def test_a_name_that_does_not_resolve(self):
        self.fails(["http://nosuch.invalid/"], "nosuch.invalid", "resolve")

    def test_no_socket_file(self):
        self.fails(["--unix-socket", self.path("none"), "http://h/"], self.path("none"))

    def test_a_connection_that_ends_or_is_reset(self):
        with Server(lambda sock: sock.recv(1)) as server:
            def hang_up(sock):
                sock.recv(65536)
                sock.close()
            server.handler = hang_up
            self.fails([f"http://127.0.0.1:{server.port}"], f":{server.port}", "closed")

            def cut(sock):
                sock.recv(65536)
                reset(sock)
            server.handler = cut
            self.fails([f"http://127.0.0.1:{server.port}"], f":{server.port}", "reset")

    def test_what_is_no_http(self):
        with Server(lambda sock: sock.sendall(b"SSH-2.0-x\r\n")) as server:
            self.fails([f"http://127.0.0.1:{server.port}/"], f":{server.port}", "response")

    def test_a_body_that_is_cut_short(self):
        whole = response(b"hello")
        cases = [(whole[:-2], b"hel"),
                 (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"hello")]
        for data, out in cases:
            with Web(answer_with(data)) as web:
                web.closes = True
                self.fails([web.url + "/x"], web.url + "/x", "body", f"{len(out)} bytes", out=out)
        with Web(answer_with(whole[:-2])) as web:  # what -i writes is none of the body
            web.closes = True
            self.fails(["-i", web.url], "after 3 bytes:", out=whole[:-2])

    def test_time_that_is_up(self):
        with Web(lambda request, sock: None) as web:
            self.fails(["--max-time=100ms", web.url], web.url, "timed out")
            self.fails(["--max-time", "100ms", "--sse", web.url], web.url, "timed out")
        # time enough for what comes before
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        with Web(answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")) as web, \
                Web(answer_with(head + b"data: x\n\n")) as events, \
                concurrent.futures.ThreadPoolExecutor() as pool:
            for at_once in (
                    pool.submit(self.fails, ["--max-time=1500ms", web.url], web.url, "body",
                                "timed out", out=b"hel"),
                    pool.submit(self.fails, ["--max-time=1500ms", "--sse", events.url],
                                events.url, "timed out", out=b"data: x\n\n")):
                at_once.result()

    def test_a_body_above_the_limit(self):
        with Web(answer_with(response(b"x" * 2000))) as web:
            self.assertEqual(http("--max-size", "2000", web.url)[0], 0)
            status, _, err = http("--max-size=1.5KB", web.url)
            self.assertEqual(status, 1)
            self.assert_one_line(err, web.url, "1500")


if __name__ == "__main__":
    unittest.main()
