#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""Go's net/http: its client and weft's server, weft's client and its server."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerchecks import ClientChecks  # noqa: E402
from peerlib import (GoServer, PeerCase, WeftServer, check_program, main, need_go,  # noqa: E402
                     tls_flags)


class GoServes(PeerCase, ClientChecks):
    can_echo_as_it_comes = False

    def server(self, tls):
        flags = ("-cert", self.certs.chain("server"), "-key", self.certs.key) if tls else ()
        return GoServer(*flags)


class GoAsks(PeerCase):
    def test_everything_of_a_clear_server(self):
        with WeftServer() as server:
            check_program(self, [need_go(), "check", server.base])

    def test_everything_of_a_tls_server(self):
        with WeftServer(*tls_flags(self.certs)) as server:
            good = check_program(self, [need_go(), "-ca", self.certs.root, "check", server.base])
            self.assertIn("ok resumed", good)

    def test_everything_of_a_server_that_wants_certificates(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            check_program(self, [need_go(), "-ca", self.certs.root, "-cert",
                                 self.certs.chain("client"), "-key", self.certs.key, "check",
                                 server.base])


if __name__ == "__main__":
    main()
