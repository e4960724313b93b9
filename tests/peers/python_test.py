#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""python's http.server for weft's client, its http.client and raw sockets for weft's server."""
import contextlib
import gzip
import hashlib
import http.client
import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerchecks import ClientChecks  # noqa: E402
from peerlib import (BLOCK, MIB, SIZES, PeerCase, WeftServer, digest, expected, main,  # noqa: E402
                     pattern, tls_flags)
from pyserver import PythonServer  # noqa: E402
from weftlib import PATIENCE, connect, read_all  # noqa: E402


class PythonServes(PeerCase, ClientChecks):
    def server(self, tls):
        return PythonServer(self.certs if tls else None)


def parts(size):
    for at in range(0, size, len(BLOCK)):
        yield BLOCK[:size - at]


class PythonAsks(PeerCase):
    @contextlib.contextmanager
    def both(self):
        """Yields connections to a clear server and one with TLS, each with its server."""
        context = ssl.create_default_context(cafile=self.certs.root)
        with WeftServer() as clear, WeftServer(*tls_flags(self.certs)) as secret:
            one = http.client.HTTPConnection("127.0.0.1", clear.port, timeout=PATIENCE)
            other = http.client.HTTPSConnection("localhost", secret.port, timeout=PATIENCE,
                                                context=context)
            with contextlib.closing(one), contextlib.closing(other):
                yield one, other

    def ask(self, connection, method, path, **kwargs):
        connection.request(method, path, **kwargs)
        reply = connection.getresponse()
        body = reply.read()
        self.assertEqual(reply.status, 200, (path, reply.status, body[:200]))
        return reply, body

    def test_bodies_of_all_sizes_both_ways_on_one_connection(self):
        with self.both() as connections:
            for connection in connections:
                first = self.ask(connection, "GET", "/peer")[1]
                for size in SIZES:
                    for path in ("/bytes/", "/chunked/"):
                        body = self.ask(connection, "GET", f"{path}{size}")[1]
                        self.assertEqual(hashlib.sha256(body).hexdigest(), digest(size))
                    for body in (pattern(size), parts(size)):
                        answer = self.ask(connection, "POST", "/digest", body=body)[1]
                        self.assertEqual(answer.decode(), expected(size) + "\n")
                self.assertEqual(self.ask(connection, "GET", "/peer")[1], first)

    def test_head_has_the_length_and_no_body(self):
        with self.both() as connections:
            for connection in connections:
                reply, body = self.ask(connection, "HEAD", "/bytes/1000")
                self.assertEqual((reply.getheader("Content-Length"), body), ("1000", b""))
                self.ask(connection, "GET", "/peer")

    def test_gzip_that_a_handler_sends_arrives(self):
        with self.both() as connections:
            packed = gzip.compress(pattern(MIB))
            reply, body = self.ask(connections[0], "POST", "/echo", body=packed,
                                   headers={"X-Reply-Content-Encoding": "gzip"})
            self.assertEqual(reply.getheader("Content-Encoding"), "gzip")
            self.assertEqual(gzip.decompress(body), pattern(MIB))


class RawAsks(PeerCase):
    """Bytes as no client of today would send them."""

    def test_a_hundred_requests_in_one_write_are_answered_in_order(self):
        with WeftServer() as server, connect(server.port) as sock:
            requests = b"".join(
                b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (i * 10) if i % 3 else
                b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                % (i, pattern(i)) for i in range(100))
            sock.sendall(requests + b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
            with sock.makefile("rb") as file:
                for i in range(100):
                    self.assertEqual(file.readline(), b"HTTP/1.1 200 OK\r\n", i)
                    length = 0
                    while (line := file.readline().lower()) != b"\r\n":
                        if line.startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    body = file.read(length)
                    wanted = pattern(i * 10) if i % 3 else expected(i).encode() + b"\n"
                    self.assertEqual(body, wanted, i)
                self.assertTrue(file.read().startswith(b"HTTP/1.1 200 OK\r\n"))
            self.assertEqual(server.stats()["requests"], 102)

    def test_a_request_byte_by_byte_is_a_request(self):
        with WeftServer() as server, connect(server.port) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in (b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                         b"Connection: close\r\n\r\n"
                         b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n"):
                sock.send(bytes([byte]))
            text = read_all(sock).decode()
            self.assertTrue(text.startswith("HTTP/1.1 200 OK\r\n"), text)
            self.assertTrue(text.endswith(
                f"6 {hashlib.sha256(b'hello!').hexdigest()}\nx-sum: 1\n"), text)

    def test_http_1_0_gets_a_body_that_the_end_delimits(self):
        with WeftServer() as server, connect(server.port) as sock:
            sock.sendall(b"GET /chunked/100000 HTTP/1.0\r\n\r\n")
            head, body = read_all(sock).split(b"\r\n\r\n", 1)
            self.assertNotIn(b"chunked", head.lower())
            self.assertEqual(body, pattern(100000))

    def test_an_upgraded_connection_belongs_to_the_handler(self):
        with WeftServer() as server, connect(server.port) as sock:
            sock.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                         b"Upgrade: echo\r\n\r\nat once")
            with sock.makefile("rb") as file:
                self.assertEqual(file.readline(), b"HTTP/1.1 101 Switching Protocols\r\n")
                while file.readline() != b"\r\n":
                    pass
                self.assertEqual(file.read(7), b"at once")
                sock.sendall(b"and later")
                self.assertEqual(file.read(9), b"and later")


if __name__ == "__main__":
    main()
