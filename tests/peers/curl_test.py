#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""curl asks weft's server."""
import contextlib
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerlib import (MIB, SIZES, PeerCase, WeftServer, digest, expected, main, need,  # noqa: E402
                     pattern, tls_flags)
from weftlib import PATIENCE  # noqa: E402


class CurlAsks(PeerCase):
    def curl(self, *args, stdin=b"", status=0):
        done = subprocess.run([need("curl"), "-sS", "--http1.1", "--cacert", self.certs.root,
                               *args], input=stdin, capture_output=True, timeout=PATIENCE,
                              env={**os.environ, "no_proxy": "*"}, check=False)
        self.assertEqual(done.returncode, status, (args, done.stderr, done.stdout[:1000]))
        return done.stdout

    @contextlib.contextmanager
    def servers(self):
        with WeftServer() as clear, WeftServer(*tls_flags(self.certs)) as secret:
            secret.base = f"https://localhost:{secret.port}"
            yield clear, secret

    def test_bodies_of_all_sizes_both_ways(self):
        with self.servers() as servers:
            for server in servers:
                for size in SIZES:
                    for path in ("bytes", "chunked"):
                        body = self.curl(f"{server.base}/{path}/{size}")
                        self.assertEqual(hashlib.sha256(body).hexdigest(), digest(size))
                    name = self.path("body")
                    with open(name, "wb") as file:
                        file.write(pattern(size))
                    for args in (("--data-binary", "@" + name),
                                 ("-T", name, "-X", "POST"),
                                 ("-T", "-", "-X", "POST")):  # in chunks
                        text = self.curl(*args, server.base + "/digest", stdin=pattern(size))
                        self.assertEqual(text.decode(), expected(size) + "\n", args)

    def test_one_connection_is_used_for_all(self):
        with self.servers() as servers:
            for server in servers:
                text = self.curl(server.base + "/bytes/[0-49]", "-o", os.devnull, "-w",
                                 "%{num_connects} %{response_code}\\n").decode()
                self.assertEqual(text.split("\n")[:-1], ["1 200"] + ["0 200"] * 49)

    def test_head_and_what_it_says(self):
        with WeftServer() as server:
            text = self.curl("-I", server.base + "/bytes/1000").decode().lower()
            self.assertTrue(text.startswith("http/1.1 200 ok\r\n"), text)
            self.assertIn("content-length: 1000\r\n", text)
            self.assertIn("date: ", text)

    def test_a_body_waits_for_100_and_for_a_refusal(self):
        with WeftServer("--body-size-max", "1000000") as server:
            name = self.path("body")
            with open(name, "wb") as file:
                file.write(pattern(64 * MIB))
            sent = ("-w", "%{response_code} %{size_upload}", "-o", os.devnull, "-H",
                    "Expect: 100-continue", "--expect100-timeout", "30", "--data-binary",
                    "@" + name)
            text = self.curl(*sent, server.base + "/digest").decode()
            self.assertEqual(text, f"200 {64 * MIB}")
            for path in ("/refuse", "/limited"):
                self.assertEqual(self.curl(*sent, server.base + path).decode(), "413 0")
            # who answers while it reads asks for the body first
            echoed = self.path("echoed")
            text = self.curl("-w", "%{response_code} %{size_upload}", "-o", echoed, *sent[4:],
                             server.base + "/echo").decode()
            self.assertEqual(text, f"200 {64 * MIB}")
            with open(echoed, "rb") as file:
                self.assertEqual(file.read(), pattern(64 * MIB))
            self.assertEqual(self.curl(server.base + "/bytes/3"), pattern(3))

    def test_http_1_0_is_answered_in_kind(self):
        with WeftServer() as server:
            text = self.curl("-0", "-i", server.base + "/chunked/100000")
            head, body = text.split(b"\r\n\r\n", 1)
            self.assertNotIn(b"chunked", head.lower())
            self.assertEqual(body, pattern(100000))

    def test_events_come_as_they_are_sent(self):
        with WeftServer() as server:
            text = self.curl("-N", "-i", server.base + "/events").decode()
            self.assertIn("content-type: text/event-stream", text.lower())
            self.assertIn("\nid: 3\n", text)
            text = self.curl("-N", "-i", "-H", "Last-Event-ID: 9", server.base + "/events")
            self.assertTrue(text.startswith(b"HTTP/1.1 204 "), text)

    def test_gzip_that_a_handler_sends_is_unpacked(self):
        with WeftServer() as server:
            packed = self.path("packed")
            with open(packed, "wb") as file:
                subprocess.run(["gzip", "-c"], input=pattern(MIB), stdout=file, check=True)
            body = self.curl("--compressed", "-H", "X-Reply-Content-Encoding: gzip",
                             "--data-binary", "@" + packed, server.base + "/echo")
            self.assertEqual(hashlib.sha256(body).hexdigest(), digest(MIB))

    def test_redirects_are_followed(self):
        with WeftServer() as server:
            body = self.curl("-L", "-d", "abc", server.base + "/redirect/307?to=%2Fdigest")
            self.assertEqual(body.decode(), f"3 {hashlib.sha256(b'abc').hexdigest()}\n")

    def test_tls_versions_client_certificates_and_names(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            base = f"https://localhost:{server.port}"
            shown = ("--cert", self.certs.chain("client"), "--key", self.certs.key)
            for flags, version in ((("--tls-max", "1.2"), "TLSv1.2"),
                                   (("--tlsv1.3",), "TLSv1.3")):
                text = self.curl(*flags, *shown, base + "/tls").decode()
                self.assertIn(f"protocol=http/1.1 version={version} ", text)
                self.assertIn("name=localhost peer=CN=weft test client", text)
            self.curl("--tls-max", "1.2", base + "/tls", status=35)
        with WeftServer(*tls_flags(self.certs, "wrong_host")) as server:
            self.curl(f"https://localhost:{server.port}/", status=60)

    def test_a_response_that_is_cut_is_seen_to_be(self):
        with self.servers() as servers:
            for server in servers:
                done = subprocess.run([need("curl"), "-s", "--cacert", self.certs.root, "-o",
                                       os.devnull, server.base + "/less/100000"],
                                      timeout=PATIENCE, check=False)
                self.assertIn(done.returncode, (18, 56))


if __name__ == "__main__":
    main()
