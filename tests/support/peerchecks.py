# SPDX-License-Identifier: MIT
"""What weft's client asks of every server in tests/peers, clear and over TLS."""
import urllib.parse

from peerlib import MIB, SIZES, WeftClient, digest, expected


class ClientChecks:
    """Mixed into a Case. server(tls, client_ca) starts one; certs is set by the case."""

    can_echo_as_it_comes = True
    has_echo = True
    trailers_arrive = True

    def server(self, tls):
        raise NotImplementedError

    def client_flags(self, tls):
        return ("--ca", self.certs.root) if tls else ()

    def both(self, run):
        """run(client, base) in clear and over TLS, the client ending in order after each."""
        for tls in (False, True):
            with self.subTest(tls=tls), self.server(tls) as server, \
                    WeftClient(*self.client_flags(tls)) as client:
                run(client, server.base)

    def good(self, answer, status=200):
        self.assertEqual((answer["error"], answer.get("status")), ("", status), answer)
        return answer

    def test_bodies_of_all_sizes_come_whole(self):
        def run(client, base):
            for path in ("bytes", "chunked"):
                for size in SIZES:
                    answer = self.good(client.ask("GET", f"{base}/{path}/{size}"))
                    self.assertEqual((answer["size"], answer["digest"]), (size, digest(size)))
                    if path == "bytes":
                        self.assertEqual(answer["length"], size)
                    elif self.trailers_arrive:
                        self.assertIn(("x-digest", digest(size)), lower(answer["trailers"]))
        self.both(run)

    def test_bodies_of_all_sizes_are_sent_whole(self):
        def run(client, base):
            for how in ("size", "chunked"):
                for size in SIZES:
                    answer = self.good(client.ask("POST", base + "/digest", f"{how}={size}",
                                                  "text"))
                    self.assertEqual(answer["text"], expected(size) + "\n")
        self.both(run)

    def test_trailers_are_sent_behind_chunks(self):
        def run(client, base):
            answer = self.good(client.ask("POST", base + "/digest", "chunked=70000",
                                          "t=X-Sum: of all", "t=X-Other: 2", "text"))
            lines = answer["text"].splitlines()
            self.assertEqual(lines[0], expected(70000))
            if self.trailers_arrive:
                self.assertEqual(sorted(lines[1:]), ["x-other: 2", "x-sum: of all"])
        self.both(run)

    def test_an_echo_is_read_while_it_is_sent(self):
        def run(client, base):
            size = 64 * MIB if self.can_echo_as_it_comes else 65536
            answer = self.good(client.ask("POST", base + "/echo", f"chunked={size}"))
            self.assertEqual((answer["size"], answer["digest"]), (size, digest(size)))
        if self.has_echo:
            self.both(run)

    def test_a_connection_serves_request_after_request(self):
        def run(client, base):
            first = self.good(client.ask("GET", base + "/peer", "text"))
            self.assertFalse(first["reused"])
            for method, path in (("GET", "/peer"), ("HEAD", "/bytes/1000"), ("GET", "/bytes/0"),
                                 ("POST", "/digest"), ("GET", "/chunked/1000"), ("GET", "/peer")):
                answer = self.good(client.ask(method, base + path, "text"))
                self.assertTrue(answer["reused"], (method, path))
            self.assertEqual(answer["text"], first["text"])
            stats = client.ask("STATS", "")
            self.assertEqual((stats["dials"], stats["reuses"], stats["idle"]), (1, 6, 1))
        self.both(run)

    def test_a_connection_that_the_server_closes_is_not_used_again(self):
        def run(client, base):
            first = self.good(client.ask("GET", base + "/close", "text"))
            answer = self.good(client.ask("GET", base + "/peer", "text"))
            self.assertFalse(answer["reused"])
            self.assertNotEqual(answer["text"], first["text"])
        self.both(run)

    def test_head_has_the_length_and_no_body(self):
        def run(client, base):
            answer = self.good(client.ask("HEAD", base + "/bytes/65536"))
            self.assertEqual((answer["length"], answer["size"]), (65536, 0))
        self.both(run)

    def test_a_body_waits_for_100_continue(self):
        def run(client, base):
            answer = self.good(client.ask("POST", base + "/digest", "size=65536", "expect",
                                          "text"))
            self.assertEqual(answer["text"], expected(65536) + "\n")
            answer = self.good(client.ask("POST", base + "/refuse", "size=65536", "expect"), 413)
            self.assertEqual(answer["sent"], 0, "the body was sent though it was refused")
        self.both(run)

    def test_many_at_once_share_connections(self):
        def run(client, base):
            for _ in range(3):
                answer = client.ask("POST", base + "/digest", "chunked=3000", "times=32")
                self.assertEqual((answer["good"], answer["detail"]), (32, ""))
            self.assertLessEqual(client.ask("STATS", "")["dials"], 64)
        self.both(run)

    def test_an_answer_that_is_not_read_to_its_end_harms_no_other(self):
        def run(client, base):
            self.good(client.ask("GET", f"{base}/bytes/{64 * MIB}", "read=100000"))
            answer = self.good(client.ask("GET", base + "/bytes/1"))
            self.assertEqual(answer["digest"], digest(1))
        self.both(run)

    def test_redirects_lead_on_and_take_no_credentials_elsewhere(self):
        with self.server(False) as one, self.server(False) as other, WeftClient() as client:
            secret = ("h=Authorization: Bearer secret", "h=Cookie: a=b", "o=X-Key: secret",
                      "h=X-Open: yes", "redirects=5", "text")
            here = urllib.parse.quote(one.base + "/fields", safe="")
            there = urllib.parse.quote(other.base + "/fields", safe="")
            for status in (301, 302, 303, 307, 308):
                answer = self.good(client.ask("GET", f"{one.base}/redirect/{status}?to={here}",
                                              *secret))
                self.assertEqual(answer["url"], one.base + "/fields")
                for text in ("bearer secret", "a=b", "x-key", "x-open"):
                    self.assertIn(text, answer["text"].lower())
                answer = self.good(client.ask("GET", f"{one.base}/redirect/{status}?to={there}",
                                              *secret))
                self.assertEqual(answer["url"], other.base + "/fields")
                self.assertIn("x-open", answer["text"].lower())
                for text in ("secret", "a=b", "x-key"):
                    self.assertNotIn(text, answer["text"].lower())
            to = urllib.parse.quote("/digest", safe="")
            answer = self.good(client.ask("POST", f"{one.base}/redirect/307?to={to}",
                                          "size=70000", "redirects=1", "text"))
            self.assertEqual(answer["text"], expected(70000) + "\n")
            answer = self.good(client.ask("POST", f"{one.base}/redirect/302?to=/fields",
                                          "size=70000", "redirects=1", "text"))
            self.assertNotIn("content-length", answer["text"].lower())

    def test_a_redirect_that_may_not_be_followed_says_why(self):
        with self.server(False) as server, WeftClient() as client:
            answer = client.ask("GET", server.base + "/redirect/302?to=/redirect/302?to=/peer",
                                "redirects=1")
            self.assertEqual(answer["error"], "WEFT_ECAPACITY", answer)
            answer = client.ask("GET", server.base + "/redirect/302?to=ftp://127.0.0.1/",
                                "redirects=1")
            self.assertEqual(answer["error"], "WEFT_EPROTO", answer)
        with self.server(True) as server, \
                WeftClient(*self.client_flags(True)) as client:
            answer = client.ask("GET", server.base + "/redirect/302?to=http://127.0.0.1:1/",
                                "redirects=1")
            self.assertEqual(answer["error"], "WEFT_EACCESS", answer)

    def test_gzip_is_undone(self):
        def run(client, base):
            for size in (0, 65536, 3 * MIB):
                answer = self.good(client.ask("GET", f"{base}/gzip/{size}", "decode"))
                self.assertEqual((answer["size"], answer["digest"]), (size, digest(size)))
                self.assertNotIn("content-encoding", dict(lower(answer["fields"])))
        self.both(run)

    def test_interim_responses_are_passed_over(self):
        def run(client, base):
            answer = self.good(client.ask("GET", base + "/early", "text"))
            self.assertEqual((answer["interim"], answer["text"]), (1, "late\n"))
        self.both(run)

    def test_a_second_connection_resumes_the_tls_session(self):
        with self.server(True) as server, WeftClient(*self.client_flags(True)) as client:
            first = self.good(client.ask("GET", server.base + "/tls", "text", "fresh"))
            self.assertEqual((first["resumed"], first["alpn"]), (False, "http/1.1"))
            self.assertIn("resumed=false protocol=http/1.1", first["text"])
            second = self.good(client.ask("GET", server.base + "/tls", "text", "fresh"))
            self.assertTrue(second["resumed"])
            self.assertIn("resumed=true", second["text"])

    def test_events_come_across_connections_until_there_are_no_more(self):
        def run(client, base):
            answer = client.ask("EVENTS", base + "/events")
            self.assertEqual(answer["events"], [
                ["tick", str(i), f"number {i}\nsecond line"] for i in range(1, 10)], answer)
            self.assertEqual((answer["error"], answer["last_id"]), ("WEFT_ECLOSED", "9"))
            self.assertEqual((answer["losses"], answer["reconnects"]), (3, 2))
        self.both(run)


def lower(fields):
    return [(name.lower(), value) for name, value in fields]
