#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""TLS against openssl's s_client and s_server, through the bridge: what an ordinary peer does not
do by itself. Keys are updated, renegotiation is refused, ciphers do not meet, a client is old."""
import array
import fcntl
import os
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from peerlib import PeerCase, Program, main, need
from weftlib import Bridge, connect, run, until


class Client(Program):
    """openssl s_client, with what is typed as its stdin."""

    def __init__(self, port, certs, *flags):
        super().__init__([need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile",
                          certs.root, "-verify_return_error", "-servername", "localhost", *flags])

    def hears(self, text):
        until(lambda: any(text in line for line in self.lines), f"{text} in {self.lines}")


class Listening(PeerCase):
    def bridge(self, to):
        return Bridge(f"listen:tls://:0?cert={self.certs.chain('server')}&key={self.certs.key}", to)

    def test_keys_are_updated_when_the_client_wants(self):
        with self.bridge("exec:cat") as bridge, \
                Client(bridge.port, self.certs, "-tls1_3") as client:
            client.hears("Verify return code: 0 (ok)")
            for command in ("k", "K", "K", "k"):
                client.say(command)
                client.await_line("KEYUPDATE", client.noise)
                client.noise.clear()
                client.say(f"after {command}")
                client.hears(f"after {command}")
                client.lines.clear()
            self.assertFalse(bridge.lines[1:])

    def test_renegotiation_is_refused(self):
        with self.bridge("exec:cat") as bridge, \
                Client(bridge.port, self.certs, "-tls1_2") as client:
            client.hears("Verify return code: 0 (ok)")
            client.say("before")
            client.hears("before")
            client.say("R")
            client.await_line("RENEGOTIATING", client.noise)
            client.end()
            self.assertTrue(any("no renegotiation" in line for line in client.noise),
                            client.story())
            with connect(bridge.port):  # and the bridge lives
                pass

    def test_an_old_client_and_one_without_a_common_cipher_are_told_so(self):
        with self.bridge("exec:cat") as bridge:
            with Client(bridge.port, self.certs, "-tls1_1", "-cipher",
                        "ALL:@SECLEVEL=0") as client:
                client.end()
                self.assertTrue(any("protocol version" in line for line in client.noise),
                                client.story())
            bridge.await_line("no common version of TLS")
            with Client(bridge.port, self.certs, "-tls1_2", "-cipher", "AES128-SHA256") as client:
                client.end()
                self.assertTrue(any("handshake failure" in line for line in client.noise),
                                client.story())
            bridge.await_line("no common cipher")

    def test_a_client_that_trusts_nobody_is_heard(self):
        with self.bridge("exec:cat") as bridge:
            with Client(bridge.port, self.certs, "-CAfile", self.certs.path("other.pem")) as client:
                client.end()
            bridge.await_line("the client does not accept our certificate (alert: unknown CA)")


class Serving(Program):
    """openssl s_server; what is typed to it goes to the client, what comes is printed."""

    def __init__(self, certs, *flags, name="server"):
        super().__init__([need("openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert",
                          certs.chain(name), "-cert_chain", certs.chain(name), "-key", certs.key,
                          *flags])
        try:
            self.port = int(self.await_line("ACCEPT ").rsplit(":", 1)[1])
        except BaseException:
            Program.__exit__(self)
            raise

    def has_read(self):
        """A command is one if nothing is read along with it."""
        count = array.array("i", [0])
        fcntl.ioctl(self.process.stdin, termios.FIONREAD, count)
        return count[0] == 0


class Dialling(PeerCase):
    def test_keys_are_updated_when_the_server_wants(self):
        with Serving(self.certs, "-tls1_3") as server, \
                Bridge("listen:tcp://:0",
                       f"tls://localhost:{server.port}?ca={self.certs.root}") as bridge:
            with bridge.connect() as sock:
                sock.sendall(b"hello\n")
                until(lambda: "hello" in server.lines, "what the server got")
                for command in ("k", "K", "K"):
                    server.say(command)
                    until(server.has_read, "the server's eyes on that")
                    server.say(f"after {command}")
                    self.assertEqual(sock.recv(100), f"after {command}\n".encode())
                    sock.sendall(f"answer to {command}\n".encode())
                    until(lambda c=command: f"answer to {c}" in server.lines, server.story())

    def test_ciphers_that_do_not_meet_are_an_error(self):
        with Serving(self.certs, "-tls1_2", "-cipher", "PSK") as server:
            status, out, err = run("bridge", "stdio:",
                                   f"tls://localhost:{server.port}?ca={self.certs.root}",
                                   stdin=b"x")
            self.assertEqual((status, out), (1, b""))
            self.assert_one_line(err, "no common cipher", "handshake failure")


if __name__ == "__main__":
    main()
