#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""nginx: in front of weft's server as a reverse proxy, in clear and over TLS, and as the server
that weft's client talks to."""
import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerchecks import ClientChecks  # noqa: E402
from peerlib import (MIB, Nginx, PeerCase, WeftClient, WeftServer, digest, expected,  # noqa: E402
                     main, pattern, tls_flags)

PROXY = """
    upstream weft { server 127.0.0.1:%(upstream)d; keepalive 8; }
    map $ssl_session_reused $resumed { r true; default false; }
    gzip_types *; gzip_proxied any; gzip_min_length 0;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_redirect off;
    proxy_set_header Host $http_host;
    proxy_buffering off; proxy_request_buffering off;
    server {
        listen 127.0.0.1:PORT %(ssl)s;
        %(certificate)s
        location / { proxy_pass http://weft; }
        location /gzip/ { gzip on; proxy_pass http://weft/bytes/; }
        location = /tls { return 200 "resumed=$resumed protocol=$ssl_alpn_protocol"; }
        location = /close { keepalive_timeout 0; return 200 "$remote_port\\n"; }
        location = /peer { return 200 "$remote_port\\n"; }
    }
"""
SECRET = """
    proxy_http_version 1.1; proxy_set_header Connection "";
    server {
        listen 127.0.0.1:PORT;
        location / {
            proxy_pass https://127.0.0.1:%(upstream)d;
            proxy_ssl_trusted_certificate %(root)s; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
            proxy_ssl_name localhost; proxy_ssl_server_name on;
            proxy_ssl_certificate %(client)s; proxy_ssl_certificate_key %(key)s;
        }
    }
"""
FILES = """
    root FOLDER; sendfile on;
    server {
        listen 127.0.0.1:PORT;
        keepalive_requests %(requests)d;
        location = /away { return 307 http://$http_host/file; }
        location = /once { keepalive_timeout 0; return 200 "once"; }
        location = /twice { return 200 "twice"; }
    }
"""


class NginxBefore(PeerCase, ClientChecks):
    """weft's client, nginx, weft's server."""

    has_echo = False  # it does not read an answer while the request is on its way
    trailers_arrive = False
    # It says 100 itself, and knows of no other such status.
    test_a_body_waits_for_100_continue = None
    test_interim_responses_are_passed_over = None

    @contextlib.contextmanager
    def server(self, tls):
        certificate = (f"ssl_certificate {self.certs.chain('server')}; "
                       f"ssl_certificate_key {self.certs.key}; ssl_session_cache shared:a:1m;")
        with WeftServer() as server:
            config = PROXY % {"upstream": server.port, "ssl": "ssl" if tls else "",
                              "certificate": certificate if tls else ""}
            with Nginx(self.folder, config) as nginx:
                nginx.base = f"http{'s' if tls else ''}://127.0.0.1:{nginx.port}"
                yield nginx
                self.assertNotIn("[error]", "\n".join(nginx.noise))


class NginxAsks(PeerCase):
    def test_connections_to_weft_are_kept(self):
        with WeftServer() as server:
            config = PROXY % {"upstream": server.port, "ssl": "", "certificate": ""}
            with Nginx(self.folder, config) as nginx, WeftClient() as client:
                for _ in range(20):
                    answer = client.ask("POST", nginx.base + "/digest", "size=70000", "text")
                    self.assertEqual(answer.get("text"), expected(70000) + "\n", answer)
                self.assertEqual(server.stats()["connections"], 2)  # the other asks for stats

    def test_it_resumes_tls_sessions_and_shows_its_certificate(self):
        with WeftServer(*tls_flags(self.certs, client_ca=True)) as server:
            config = SECRET % {"upstream": server.port, "root": self.certs.root,
                               "client": self.certs.chain("client"), "key": self.certs.key}
            with Nginx(self.folder, config) as nginx, WeftClient() as client:
                for wanted in ("false", "true", "true"):
                    answer = client.ask("GET", nginx.base + "/tls", "text")
                    self.assertIn(f"resumed={wanted} ", answer.get("text", ""), answer)
                    self.assertIn("name=localhost", answer["text"])
                    self.assertIn("CN=weft test client", answer["text"])
                for path in ("/bytes/", "/chunked/"):
                    answer = client.ask("GET", f"{nginx.base}{path}{8 * MIB}")
                    self.assertEqual(answer.get("digest"), digest(8 * MIB), answer)


class NginxServesFiles(PeerCase):
    def test_files_of_all_sizes(self):
        with Nginx(self.folder, FILES % {"requests": 1000}) as nginx, WeftClient() as client:
            for size in (0, 1, 65536, 64 * MIB):
                with open(os.path.join(nginx.folder, "file"), "wb") as file:
                    file.write(pattern(size))
                for path, words in (("/file", ()), ("/away", ("redirects=1",))):
                    answer = client.ask("GET", nginx.base + path, *words)
                    self.assertEqual((answer["status"], answer["digest"]), (200, digest(size)))
            answer = client.ask("GET", nginx.base + "/file", "h=Range: bytes=65521-65530", "text")
            self.assertEqual((answer["status"], answer["size"]), (206, 10))
            answer = client.ask("GET", nginx.base + "/none")
            self.assertEqual((answer["status"], answer["reused"]), (404, True))

    def test_a_server_that_closes_after_one_request(self):
        with Nginx(self.folder, FILES % {"requests": 1000}) as nginx, WeftClient() as client:
            for _ in range(20):
                answer = client.ask("GET", nginx.base + "/once", "text")
                self.assertEqual((answer.get("text"), answer.get("reused")), ("once", False))
            self.assertEqual(client.ask("STATS", "")["connections"], 0)

    def test_a_server_that_closes_after_three_requests(self):
        with Nginx(self.folder, FILES % {"requests": 3}) as nginx, WeftClient() as client:
            for i in range(30):
                answer = client.ask("GET", nginx.base + "/twice", "text")
                self.assertEqual((answer.get("text"), answer.get("reused")), ("twice", i % 3 > 0))
            for _ in range(10):
                answer = client.ask("POST", nginx.base + "/twice", "size=10", "times=40")
                self.assertEqual((answer["good"], answer["detail"]), (40, ""))

    def test_a_server_that_is_reloaded_costs_no_request_that_may_be_repeated(self):
        with Nginx(self.folder, FILES % {"requests": 100000}) as nginx, WeftClient() as client:
            for i in range(10):
                os.kill(nginx.pid, signal.SIGHUP)  # closes idle connections when it has begun anew
                while sum("exited with code" in line for line in nginx.noise) <= i:
                    answer = client.ask("GET", nginx.base + "/twice", "times=20")
                    self.assertEqual((answer["good"], answer["detail"]), (20, ""))


if __name__ == "__main__":
    main()
