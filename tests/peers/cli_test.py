#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""weft http, and the servers of others."""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerlib import (MIB, GoServer, NodeServer, OpensslServer, PeerCase, WeftServer,  # noqa: E402
                     digest, expected, main, pattern, tls_flags)
from pyserver import PythonServer  # noqa: E402
from weftlib import run  # noqa: E402

LARGE = 16 * MIB


class Checks:
    """Mixed into a Case: weft http and one server, clear or with TLS."""

    def server(self, tls):
        raise NotImplementedError

    def http(self, *args, stdin=b"", status=0):
        got, out, err = run("http", "--no-proxy", "--cacert", self.certs.root, *args, stdin=stdin)
        self.assertEqual(got, status, (args, err, out[:200]))
        return out, err

    def both(self, check):
        for tls in (False, True):
            with self.subTest(tls=tls), self.server(tls) as server:
                check(server.base)

    def test_files_come_and_go(self):
        def check(base):
            name = self.path("file")
            self.http("-o", name, f"{base}/chunked/{LARGE}")
            with open(name, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest(LARGE))
            for args in (("-d", "@" + name), ("-X", "PUT", "-d", "@" + name), ("-d", "-")):
                out, _ = self.http(*args, base + "/digest", stdin=pattern(LARGE))
                self.assertEqual(out.decode(), expected(LARGE) + "\n", args)
            out, _ = self.http("--compressed", base + "/gzip/100000")
            self.assertEqual(out, pattern(100000))
        self.both(check)

    def test_events_are_shown_until_there_are_no_more(self):
        def check(base):
            out, _ = self.http("--sse", base + "/events")
            text = out.decode()
            at = -1
            for i in range(1, 10):
                self.assertEqual(text.count(f"number {i}"), 1, text)
                self.assertGreater(text.index(f"number {i}"), at)
                at = text.index(f"number {i}")
            self.assertNotIn("unfinished", text)
        self.both(check)

    def test_statuses_redirects_and_heads(self):
        def check(base):
            self.http(base + "/none/such")
            _, err = self.http("--fail", base + "/none/such", status=1)
            self.assert_one_line(err, "404")
            out, _ = self.http("-L", base + "/redirect/302?to=/bytes/3")
            self.assertEqual(out, pattern(3))
            out, _ = self.http("-I", base + "/bytes/1000")
            self.assertIn("content-length: 1000", out.decode().lower())
        self.both(check)


class Go(PeerCase, Checks):
    def server(self, tls):
        flags = ("-cert", self.certs.chain("server"), "-key", self.certs.key) if tls else ()
        return GoServer(*flags)


class Node(PeerCase, Checks):
    def server(self, tls):
        return NodeServer(*(tls_flags(self.certs) if tls else ()))


class Python(PeerCase, Checks):
    def server(self, tls):
        return PythonServer(self.certs if tls else None)


class Certified(PeerCase):
    def test_a_bad_certificate_is_one_line_that_says_why(self):
        for name, why in (("expired", "has expired"), ("not_yet", "is not yet valid"),
                          ("self_signed", "is self-signed"), ("wrong_host", "is for another host"),
                          ("unknown", "is of an unknown issuer")):
            with self.subTest(name), OpensslServer(
                    "-www", "-cert", self.certs.chain(name), "-cert_chain",
                    self.certs.chain(name), "-key", self.certs.key) as server:
                for host in ("127.0.0.1", "localhost"):
                    url = f"https://{host}:{server.port}/"
                    status, out, err = run("http", "--no-proxy", "--cacert", self.certs.root, url)
                    self.assertEqual((status, out), (1, b""), err)
                    self.assert_one_line(err, url, why)
                status, out, err = run("http", "--no-proxy", "--insecure", url)
                self.assertEqual(status, 0, err)

    def test_a_certificate_is_shown_to_who_asks(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            url = f"https://localhost:{server.port}/tls"
            status, out, err = run("http", "--no-proxy", "--cacert", self.certs.root, "--cert",
                                   self.certs.chain("client"), "--key", self.certs.key, url)
            self.assertEqual(status, 0, err)
            self.assertIn(b"peer=CN=weft test client", out)
            status, _, err = run("http", "--no-proxy", "--cacert", self.certs.root, url)
            self.assertEqual(status, 1)
            self.assert_one_line(err, "certificate")


if __name__ == "__main__":
    main()
