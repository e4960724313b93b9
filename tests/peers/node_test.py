#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""node: its fetch (undici), the undici package and node:http ask weft's server; weft's client asks
node's server."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerchecks import ClientChecks  # noqa: E402
from peerlib import (NODE_PATH, PEERS, NodeServer, PeerCase, WeftServer,  # noqa: E402
                     check_program, main, missing, need, tls_flags)

ENV = {"NODE_PATH": NODE_PATH}


class NodeServes(PeerCase, ClientChecks):
    def server(self, tls):
        return NodeServer(*(tls_flags(self.certs) if tls else ()))

    def test_a_connection_is_upgraded(self):
        def run(client, base):
            for _ in range(2):
                answer = self.good(client.ask("GET", base + "/upgrade", "h=Upgrade: echo",
                                              "upgrade=what comes back"), 101)
                self.assertEqual(answer["text"], "what comes back")
        self.both(run)


class NodeAsks(PeerCase):
    def check(self, base, *flags, env=None):
        good = check_program(self, [need("node"), os.path.join(PEERS, "node_http.js"), *flags,
                                    "check", base], env={**ENV, **(env or {})})
        if not any(line.startswith("ok undici: ") for line in good):
            missing("node's package undici")

    def test_everything_of_a_clear_server(self):
        with WeftServer() as server:
            self.check(server.base)

    def test_everything_of_a_tls_server(self):
        with WeftServer(*tls_flags(self.certs)) as server:
            self.check(server.base, "--ca", self.certs.root,
                       env={"NODE_EXTRA_CA_CERTS": self.certs.root})

    def test_everything_of_a_server_that_wants_certificates(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            self.check(server.base, "--ca", self.certs.root, *tls_flags(self.certs, "client"))


if __name__ == "__main__":
    main()
