#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""tls:// and mux+tls:// of the bridge as their users meet them: certificates, fingerprints,
clients' certificates, reload by SIGHUP, tunnels; with python's ssl module as the peer."""
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from peerlib import PeerCase
from weftlib import (PATIENCE, Bridge, Case, Server, connect, echo, free_port, read_all, run,
                     until)

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def client_context(certs, version=None, verify=True):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_verify_locations(certs.root)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def tls_connect(port, context, name="localhost"):
    return context.wrap_socket(connect(port), server_hostname=name,
                               suppress_ragged_eofs=False)


def round_trip(sock, data):
    """Sends, and reads as much again, by pieces that fit into buffers: python's TLS sockets are
    not for two threads at once, and have no half-close."""
    got = b""
    for at in range(0, len(data), 30000):
        sock.sendall(data[at:at + 30000])
        while len(got) < min(at + 30000, len(data)):
            chunk = sock.recv(65536)
            if not chunk:
                return got
            got += chunk
    return got


def tls_echo(sock):
    while chunk := sock.recv(65536):
        sock.sendall(chunk)
    sock.unwrap()


class TlsServer:
    """Python's, in a thread a connection: hands what comes in to serve(sock)."""

    def __init__(self, certs, serve, name="server", client_ca=False, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certs.chain(name), certs.key)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(certs.root)
        self.names = []
        self.server = Server(lambda sock: self.take(sock, serve))
        self.port = self.server.port

    def take(self, sock, serve):
        with contextlib.suppress(OSError):
            with self.context.wrap_socket(sock, server_side=True) as tls:
                cert = tls.getpeercert()
                self.names.append(cert and dict(x[0] for x in cert["subject"])["commonName"])
                serve(tls)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *exc):
        self.server.__exit__(*exc)


class Arguments(Case):
    def bad(self, args, *parts):
        with self.subTest(args=args):
            status, out, err = run("bridge", *args)
            self.assertEqual((status, out), (2, b""), err)
            self.assert_one_line(err, *parts)

    def test_what_is_wrong_with_options_is_found_before_a_socket_opens(self):
        for args, *parts in (
                (["listen:tls://:0", "tcp://:1"], "--self-signed", "cert="),
                (["listen:tls://:0?key=x", "tcp://:1"], '"key"', '"cert"'),
                (["listen:tls://:0?cert=/nowhere", "tcp://:1"], "/nowhere", "no such file"),
                (["stdio:", "tls://:1?ca=/nowhere"], "TO", "/nowhere", "no such file"),
                (["stdio:", "tls://:1?cert=/dev/null"], "/dev/null", "no certificate"),
                (["stdio:", "tls://:1?fingerprint=abc"], "fingerprint", "sha256:"),
                (["stdio:", "tls://:1?insecure=2"], "insecure", "0 or 1"),
                (["stdio:", "tls://:1?client-ca=x"], "client-ca", "does not go"),
                (["stdio:", "tls://:1?servername=a%20b"], "server_name", "no host name"),
                (["listen:tls://:0?ca=x", "tcp://:1"], '"ca"', "does not go"),
                (["--self-signed", "listen:tcp://:0", "tcp://:1"], "--self-signed"),
                (["--self-signed", "stdio:", "tls://:1"], "--self-signed"),
                (["--self-signed", "listen:tls://0.0.0.0:0", "--", "cat"], "client-ca=",
                 "--insecure"),
                (["listen:stdio:", "tls://:1"], "tls://")):
            self.bad(args, *parts)

    def test_a_key_that_is_another_ones_is_found(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(contextlib.closing(Folder()))
            for name in ("a", "b"):
                folder.self_signed(name)
            self.bad([f"listen:tls://:0?cert={folder.path('a.crt')}&key={folder.path('b.key')}",
                      "tcp://:1"], "b.key", "is not the certificate's")
            status, _, err = run("bridge", "stdio:", f"tls://127.0.0.1:1?ca={folder.path('a.crt')}")
            self.assertEqual(status, 1, err)  # the file is good, but nobody is there

    def test_the_help_names_them(self):
        out = run("bridge", "--help")[1].decode()
        for part in ("listen:tls://host:port", "mux+tls://host:port", "--self-signed",
                     "fingerprint=sha256:", "client-ca=FILE", "insecure=1", "SIGHUP"):
            self.assertIn(part, out)


class Folder:
    """Self-signed certificates in a folder of their own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weft-tls-")

    def path(self, name):
        return os.path.join(self.folder, name)

    def self_signed(self, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", self.path(name + ".key"), "-out", self.path(name + ".crt")],
                       check=True, capture_output=True, timeout=PATIENCE)

    def close(self):
        shutil.rmtree(self.folder)


class Listening(PeerCase):
    def listen(self, name="server", options=""):
        return f"listen:tls://:0?cert={self.certs.chain(name)}&key={self.certs.key}{options}"

    def test_a_client_is_carried_in_both_versions(self):
        with Server(echo) as server, \
                Bridge(self.listen(options="&alpn=x,weft"), f"tcp://:{server.port}") as bridge:
            self.assertRegex(bridge.url, r"^tls://127\.0\.0\.1:\d+$")
            data = os.urandom(300_000)
            for version in (TLS_1_2, TLS_1_3):
                context = client_context(self.certs, version)
                context.set_alpn_protocols(["weft", "other"])
                with tls_connect(bridge.port, context) as sock:
                    self.assertEqual(sock.selected_alpn_protocol(), "weft")
                    self.assertEqual(round_trip(sock, data), data)
            self.assertEqual(bridge.stop(), 0, bridge.lines)

    def test_a_client_without_tls_is_told_apart(self):
        with Server(echo) as server, \
                Bridge(self.listen(), f"tcp://:{server.port}") as bridge:
            with connect(bridge.port) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    read_all(sock)
            bridge.await_line("its first bytes look like an HTTP request")
            with tls_connect(bridge.port, client_context(self.certs)) as sock:
                self.assertEqual(round_trip(sock, b"still there"), b"still there")

    def test_a_client_that_says_nothing_is_not_waited_for_without_end(self):
        with Server(echo) as server, \
                Bridge(self.listen(), f"tcp://:{server.port}", "--connect-timeout", "200ms",
                       "--log-level", "info") as bridge:
            with connect(bridge.port) as sock:
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(read_all(sock), b"")
            bridge.await_line("TLS handshake")

    def test_clients_certificates_are_asked_for(self):
        with Bridge(self.listen(options=f"&client-ca={self.certs.root}"), "exec:cat") as bridge:
            context = client_context(self.certs, TLS_1_2)
            with self.assertRaises(OSError):
                with tls_connect(bridge.port, context) as sock:
                    sock.recv(1)
            bridge.await_line("the client gave no certificate")
            context.load_cert_chain(self.certs.chain("client"), self.certs.key)
            with tls_connect(bridge.port, context) as sock:
                self.assertEqual(round_trip(sock, b"let in"), b"let in")
            to = bridge.url + f"?ca={self.certs.root}"
            status, out, err = run("bridge", "stdio:", to, stdin=b"x")
            self.assertEqual((status, out), (1, b""), err)
            self.assert_one_line(err, "wants a client certificate")
            to += f"&cert={self.certs.chain('client')}&key={self.certs.key}"
            status, out, err = run("bridge", "stdio:", to, stdin=b"let in, too")
            self.assertEqual((status, out), (0, b"let in, too"), err)

    def test_clients_certificates_let_children_be_reached_from_afar(self):
        where = self.listen(options=f"&client-ca={self.certs.root}").replace("//:0", "//0.0.0.0:0")
        with Bridge(where, "exec:cat") as bridge:
            context = client_context(self.certs)
            context.load_cert_chain(self.certs.chain("client"), self.certs.key)
            with tls_connect(bridge.port, context) as sock:
                self.assertEqual(round_trip(sock, b"from afar"), b"from afar")

    def test_files_are_read_again_on_sighup(self):
        folder = Folder()
        self.addCleanup(folder.close)
        for name in ("a", "b"):
            folder.self_signed(name)
        for ext in (".crt", ".key"):
            shutil.copy(folder.path("a" + ext), folder.path("used" + ext))
        context = client_context(None, verify=False)

        def presented():
            with tls_connect(bridge.port, context) as sock:
                return ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True))

        def pem(name):
            with open(folder.path(name), encoding="ascii") as file:
                return re.search("-----BEGIN CERT.*END CERTIFICATE-----\n", file.read(), re.S)[0]
        with Server(echo) as server, \
                Bridge(f"listen:tls://:0?cert={folder.path('used.crt')}&key="
                       f"{folder.path('used.key')}", f"tcp://:{server.port}",
                       "--log-level", "info") as bridge:
            self.assertEqual(presented(), pem("a.crt"))
            with tls_connect(bridge.port, context) as old:
                self.assertEqual(round_trip(old, b"before"), b"before")
                shutil.copy(folder.path("b.crt"), folder.path("used.crt"))
                bridge.send(signal.SIGHUP)  # the key is still the other one
                bridge.await_line("is not the certificate's")
                self.assertEqual(presented(), pem("a.crt"))
                shutil.copy(folder.path("b.key"), folder.path("used.key"))
                bridge.send(signal.SIGHUP)
                bridge.await_line("files read again")
                self.assertEqual(presented(), pem("b.crt"))
                self.assertEqual(round_trip(old, b"after"), b"after")
            self.assertEqual(bridge.stop(), 0, bridge.lines)

    def test_a_certificate_is_made_for_trying_out(self):
        with Bridge("--self-signed", "listen:tls://:0", "exec:cat") as bridge:
            bridge.await_line("self-signed certificate")
            line = next(line for line in bridge.lines if "self-signed" in line)
            fingerprint = re.search(r"\?fingerprint=(sha256:[0-9a-f]{64})$", line)[1]
            self.assertTrue(bridge.lines[0].startswith("weft: listening on "), bridge.lines)
            status, out, err = run("bridge", "stdio:", f"{bridge.url}?fingerprint={fingerprint}",
                                   stdin=b"trusted")
            self.assertEqual((status, out, err), (0, b"trusted", ""))
            status, out, err = run("bridge", "stdio:", bridge.url, stdin=b"not trusted")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "is self-signed")
            other = fingerprint[:-1] + ("0" if fingerprint[-1] != "0" else "1")
            status, out, err = run("bridge", "stdio:", f"{bridge.url}?fingerprint={other}")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "another one than expected", fingerprint)


class Dialling(PeerCase):
    def dial(self, port, options="", host="localhost"):
        return f"tls://{host}:{port}?ca={self.certs.root}{options}"

    def test_a_server_is_reached_in_both_versions(self):
        for version in (TLS_1_2, TLS_1_3):
            with TlsServer(self.certs, tls_echo, version=version) as server, \
                    Bridge("listen:tcp://:0", self.dial(server.port)) as bridge:
                data = os.urandom(300_000)
                for _ in range(3):  # the later ones resume
                    with connect(bridge.port) as sock:
                        self.assertEqual(round_trip(sock, data), data)

    def test_bad_certificates_are_refused_and_the_line_says_why(self):
        for name, why in (("expired", "has expired"), ("not_yet", "not yet valid"),
                          ("wrong_host", "for another host: for elsewhere.test"),
                          ("unknown", "of an unknown issuer"), ("self_signed", "self-signed")):
            with self.subTest(name), TlsServer(self.certs, tls_echo, name) as server:
                status, out, err = run("bridge", "stdio:", self.dial(server.port), stdin=b"x")
                self.assertEqual((status, out), (1, b""), err)
                self.assert_one_line(err, why, "TLS handshake with tls://127.0.0.1:")

    def test_a_server_that_is_none_is_told(self):
        def http(sock):
            sock.recv(10)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            read_all(sock)
        with Server(http) as server:
            status, out, err = run("bridge", "stdio:", self.dial(server.port), stdin=b"x")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "look like an HTTP reply")

    def test_a_stream_that_is_cut_does_not_look_complete(self):
        def cut(sock):
            sock.sendall(b"half of it")
            with socket.socket(fileno=os.dup(sock.fileno())) as below:
                below.shutdown(socket.SHUT_WR)
            sock.recv(1)
        with TlsServer(self.certs, cut) as server:
            status, out, err = run("bridge", "stdio:", self.dial(server.port), stdin=b"")
            self.assertEqual((status, out), (1, b"half of it"), err)
            self.assert_one_line(err, "without close_notify")

    def test_options_are_used(self):
        with TlsServer(self.certs, tls_echo, "wrong_host", client_ca=True) as server:
            to = self.dial(server.port, f"&servername=elsewhere.test&cert="
                           f"{self.certs.chain('client')}&key={self.certs.key}")
            status, out, err = run("bridge", "stdio:", to, stdin=b"hello")
            self.assertEqual((status, out, err), (0, b"hello", ""))
            self.assertEqual(server.names, ["weft test client"])
        with TlsServer(self.certs, tls_echo, "expired") as server:
            status, out, err = run("bridge", "stdio:", f"tls://localhost:{server.port}?insecure=1",
                                   stdin=b"hello")
            self.assertEqual((status, out), (0, b"hello"))
            self.assert_one_line(err, "any certificate is taken")

    def test_the_environment_names_the_systems_roots(self):
        with TlsServer(self.certs, tls_echo) as server:
            env = {**os.environ, "SSL_CERT_FILE": self.certs.root}
            status, out, err = run("bridge", "stdio:", f"tls://localhost:{server.port}",
                                   stdin=b"hello", env=env)
            self.assertEqual((status, out, err), (0, b"hello", ""))


class Tunnels(PeerCase):
    def far_options(self):
        return f"?cert={self.certs.chain('server')}&key={self.certs.key}"

    def works(self, port):
        data = os.urandom(100_000)
        with connect(port) as sock:
            self.assertEqual(round_trip(sock, data), data)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"")

    def test_a_tunnel_is_encrypted_and_dialled_again(self):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Server(echo))
            port = free_port()
            far = Bridge(f"listen:mux+tls://:{port}" + self.far_options(), f"tcp://:{server.port}")
            self.addCleanup(far.__exit__)
            self.assertRegex(far.url, r"^mux\+tls://127\.0\.0\.1:\d+$")
            near = stack.enter_context(
                Bridge("listen:tcp://:0", f"mux+tls://127.0.0.1:{far.port}?ca={self.certs.root}"
                       "&sessions=2"))
            for _ in range(3):
                self.works(near.port)
            far.stop(signal.SIGKILL)
            near.await_line("dialling again")
            again = stack.enter_context(
                Bridge(f"listen:mux+tls://:{port}" + self.far_options(),
                       f"tcp://:{server.port}"))
            self.works(near.port)
            self.assertEqual(near.stop(), 0, near.lines)
            self.assertEqual(again.stop(), 0, again.lines)

    def test_a_reverse_tunnel_is_encrypted(self):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Server(echo))
            gateway = stack.enter_context(
                Bridge("listen:tcp://:0", "listen:mux+tls://:0" + self.far_options() +
                       f"&client-ca={self.certs.root}"))
            gateway.await_line("TO is listening on ")
            url = next(line for line in gateway.lines if "TO is" in line).split()[-1]
            self.assertRegex(url, r"^mux\+tls://127\.0\.0\.1:\d+$")
            url += (f"?ca={self.certs.root}&cert={self.certs.chain('client')}"
                    f"&key={self.certs.key}")
            inside = stack.enter_context(
                Bridge(url, f"tcp://:{server.port}", ready=False))
            inside.await_line("connected to mux+tls://")
            self.works(gateway.port)
            self.assertEqual(inside.stop(), 0, inside.lines)

    def test_a_tunnel_that_is_not_trusted_is_refused_at_once(self):
        with Bridge("--self-signed", "listen:mux+tls://:0", "exec:cat") as far:
            status, out, err = run("bridge", "stdio:", f"mux+tls://127.0.0.1:{far.port}")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "open mux session", "is self-signed")
            until(lambda: far.has_line("does not accept our certificate"), "the far end's line")


if __name__ == "__main__":
    unittest.main()
