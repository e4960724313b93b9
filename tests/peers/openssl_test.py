#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""openssl: s_client for weft's server and s_server for weft's client; certificates that must be
refused, and that the refusal says why."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerlib import (OpensslServer, PeerCase, WeftClient, WeftServer, main, need,  # noqa: E402
                     tls_flags)
from weftlib import PATIENCE, connect, read_all  # noqa: E402

# What an error says of a certificate.
REFUSED = {"expired": "has expired", "not_yet": "is not yet valid", "self_signed": "is self-signed",
           "wrong_host": "is for another host", "unknown": "is of an unknown issuer"}
REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class OpensslAsks(PeerCase):
    def client(self, server, *flags, path=b"/tls", good=True):
        """What s_client prints, about the connection and what came over it."""
        done = subprocess.run(
            [need("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername",
             "localhost", "-verify_hostname", "localhost", "-verify_return_error", "-ign_eof",
             "-CAfile", self.certs.root, *flags], input=REQUEST % path, capture_output=True,
            timeout=PATIENCE, check=False)
        text = done.stdout.decode(errors="replace")
        if good:
            self.assertEqual(done.returncode, 0, text + done.stderr.decode())
            self.assertIn("Verify return code: 0 (ok)", text)
        return text + done.stderr.decode(errors="replace")

    def test_versions_and_protocols_are_agreed_on(self):
        with WeftServer(*tls_flags(self.certs)) as server:
            for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
                text = self.client(server, flag, "-alpn", "http/1.1,h3")
                self.assertIn(f"version={version} ", text)
                self.assertIn("protocol=http/1.1", text)
                self.assertIn("name=localhost", text)
            self.assertIn("protocol= ", self.client(server))
            text = self.client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", good=False)
            self.assertNotIn("HTTP/1.1 200", text)
            text = self.client(server, "-alpn", "h3", good=False)
            self.assertNotIn("HTTP/1.1 200", text)
        with WeftServer(*tls_flags(self.certs), "--tls-min", "1.3") as server:
            self.assertIn("version=TLSv1.3", self.client(server))
            self.assertNotIn("HTTP/1.1 200", self.client(server, "-tls1_2", good=False))

    def test_sessions_are_resumed(self):
        with WeftServer(*tls_flags(self.certs)) as server:
            for flag in ("-tls1_2", "-tls1_3"):
                kept = self.path("session" + flag)
                text = self.client(server, flag, "-sess_out", kept)
                self.assertIn("resumed=false", text)
                text = self.client(server, flag, "-sess_in", kept)
                self.assertIn("resumed=true", text)
                self.assertIn("Reused, TLSv", text)

    def test_a_client_shows_its_certificate_or_is_refused(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            shown = ("-cert", self.certs.chain("client"), "-key", self.certs.key, "-cert_chain",
                     self.certs.chain("client"))
            for flag in ("-tls1_2", "-tls1_3"):
                self.assertIn("CN=weft test client", self.client(server, flag, *shown))
                self.assertNotIn("HTTP/1.1 200", self.client(server, flag, good=False))
                bad = [self.certs.chain("self_signed") if "/client" in word else word
                       for word in shown]
                self.assertNotIn("HTTP/1.1 200", self.client(server, flag, *bad, good=False))

    def test_certificates_are_reloaded_while_serving(self):
        chain = self.path("chain.pem")
        shutil.copy(self.certs.chain("server"), chain)
        with WeftServer("--cert", chain, "--key", self.certs.key) as server:
            self.assertIn("CN = weft test server", self.client(server))
            shutil.copy(self.certs.chain("expired"), chain)
            server.say("reload")
            server.await_line("reloaded")
            self.assertIn("certificate has expired", self.client(server, good=False))

    def test_what_is_no_tls_is_turned_away(self):
        with WeftServer(*tls_flags(self.certs)) as server:
            for garbage in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" * 4000,
                            b"\0" * 100, b"\x16\x03\x01\0\x05\x01\0\0\x01\0"):
                with connect(server.port) as sock:
                    sock.sendall(garbage)
                    try:
                        self.assertNotIn(b"200", read_all(sock))
                    except ConnectionResetError:
                        pass
            self.client(server)


class OpensslServes(PeerCase):
    def server(self, name="server", *flags):
        return OpensslServer("-www", "-cert", self.certs.chain(name), "-cert_chain",
                             self.certs.chain(name), "-key", self.certs.key, *flags)

    def test_versions_are_agreed_on_and_sessions_resumed(self):
        for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            with self.server("server", flag) as server, \
                    WeftClient("--ca", self.certs.root) as client:
                for resumed in (False, True, True):
                    answer = client.ask("GET", server.base + "/", "text", "fresh")
                    self.assertEqual((answer["error"], answer.get("status")), ("", 200), answer)
                    self.assertEqual((answer["tls"], answer["resumed"]), (version, resumed))
                    self.assertIn("Reused, TLSv" if resumed else "New, TLSv", answer["text"])
                    self.assertIn("CN=weft test server", answer["subject"])

    def test_sessions_are_not_resumed_when_that_is_off(self):
        with self.server() as server, \
                WeftClient("--ca", self.certs.root, "--sessions-off", "1") as client:
            for _ in range(3):
                answer = client.ask("GET", server.base + "/", "fresh")
                self.assertEqual((answer["error"], answer.get("resumed")), ("", False), answer)

    def test_versions_that_do_not_meet_are_an_error(self):
        with self.server("server", "-tls1_2") as server, \
                WeftClient("--ca", self.certs.root, "--tls-min", "1.3") as client:
            answer = client.ask("GET", server.base + "/")
            self.assertEqual(answer["error"], "WEFT_ETLS", answer)
            self.assertRegex(answer["detail"], "protocol|version")

    def test_bad_certificates_are_refused_and_the_error_says_why(self):
        for version in ("-tls1_2", "-tls1_3"):
            for name, why in REFUSED.items():
                with self.subTest(name, version=version), self.server(name, version) as server, \
                        WeftClient("--ca", self.certs.root) as client:
                    for host in ("127.0.0.1", "localhost"):
                        answer = client.ask("GET", f"https://{host}:{server.port}/")
                        self.assertEqual(answer["error"], "WEFT_ETLS", answer)
                        self.assertIn(why, answer["detail"])
                        for other in set(REFUSED.values()) - {why}:
                            self.assertNotIn(other, answer["detail"])
                    self.assertEqual(client.ask("STATS", "")["connections"], 0)

    def test_the_systems_roots_are_what_is_trusted_without_ca(self):
        with self.server() as server:
            with WeftClient() as client:
                answer = client.ask("GET", server.base + "/")
                self.assertEqual(answer["error"], "WEFT_ETLS", answer)
                self.assertIn("unknown issuer", answer["detail"])
            with WeftClient(env={"SSL_CERT_FILE": self.certs.root}) as client:
                self.assertEqual(client.ask("GET", server.base + "/")["error"], "")
            with WeftClient("--insecure", "1") as client:
                self.assertEqual(client.ask("GET", server.base + "/")["error"], "")

    def test_a_certificate_is_shown_where_it_is_asked_for(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.server("server", version, "-Verify", "3", "-verify_return_error", "-CAfile",
                             self.certs.root) as server:
                with WeftClient("--ca", self.certs.root,
                                *tls_flags(self.certs, "client")) as client:
                    answer = client.ask("GET", server.base + "/")
                    self.assertEqual((answer["error"], answer.get("status")), ("", 200), answer)
                with WeftClient("--ca", self.certs.root) as client:
                    answer = client.ask("GET", server.base + "/")
                    self.assertIn(answer["error"], ("WEFT_EAUTH", "WEFT_ETLS"), answer)
                    self.assertIn("certificate", answer["detail"])

    def test_a_clear_server_is_no_tls_server(self):
        with WeftServer() as server, WeftClient("--ca", self.certs.root) as client:
            answer = client.ask("GET", f"https://127.0.0.1:{server.port}/")
            self.assertEqual(answer["error"], "WEFT_ETLS", answer)


if __name__ == "__main__":
    main()
