#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""weft bridge with http: endpoints as its users meet it: a stdio server on the web, a server on the
web for a stdio client, several with names, tokens, foreign web sites, children that die."""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, JSON_WAIT, Client, events, messages
from mcpraw import CHILD
from peerlib import PeerCase
from weftlib import PATIENCE, WEFT, Bridge, Case, connect, run, until

LISTEN = "listen:http://127.0.0.1:0/mcp"


def one_line(*message):
    return b"".join(json.dumps(m).encode() + b"\n" for m in message)


class OnTheWeb(Case):
    """listen:http:// and a child."""

    def bridge(self, *args, command=None):
        bridge = Bridge(*args, LISTEN, "--", *(command or FIXTURE))
        self.enterContext(bridge)
        return bridge

    def test_a_stdio_server_is_called_over_http(self):
        bridge = self.bridge()
        self.assertRegex(bridge.url, r"^http://127\.0\.0\.1:\d+/mcp$")
        client = Client(bridge.port)
        answer = client.initialize()
        self.assertEqual(answer["result"]["serverInfo"]["name"], "fixture")
        self.assertRegex(client.session, r"^[!-~]{22,}$")
        self.assertEqual(client.echo("hello"), "hello")
        self.assertEqual(client.echo("from a string", number="a-b"), "from a string")
        self.assertEqual(client.ask("nothing/such")["error"]["code"], -32601)
        self.assertEqual(bridge.children(), 1)
        self.assertEqual(client.end(), 204)
        until(lambda: bridge.children() == 0, "the child to end with its session")
        self.assertEqual(bridge.stop(), 0)

    def test_an_answer_has_the_form_that_the_client_names_first(self):
        client = Client(self.bridge().port)
        client.initialize()
        for accept, kind in (("application/json, text/event-stream", "application/json"),
                             ("text/event-stream, application/json", "text/event-stream")):
            begun = time.monotonic()
            conn, response = client.post({"jsonrpc": "2.0", "id": 3, "method": "ping"},
                                         Accept=accept)
            if response.headers.get_content_type() != kind:  # an answer that comes late
                self.assertEqual(response.headers.get_content_type(), "text/event-stream")
                self.assertGreaterEqual(time.monotonic() - begun, JSON_WAIT)
            self.assertEqual([m["result"] for m in messages(response)], [{}])
            conn.close()

    def test_progress_comes_on_the_stream_of_its_request(self):
        client = Client(self.bridge().port)
        client.initialize()
        answer = client.call("test_tool_with_progress", token="mine")
        self.assertIn("result", answer)
        self.assertEqual([m["params"]["progress"] for m in client.other], [0, 50, 100])
        self.assertEqual({m["params"]["progressToken"] for m in client.other}, {"mine"})

    def test_the_server_asks_the_client(self):
        client = Client(self.bridge().port)
        client.initialize(capabilities={"sampling": {}})
        conn, response = client.post({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {
            "name": "test_sampling", "arguments": {"prompt": "what?"}}})
        came = messages(response)
        question = next(m for m in came if m.get("method") == "sampling/createMessage")
        self.assertEqual(question["params"]["messages"][0]["content"]["text"], "what?")
        status = client.status("POST", json.dumps({
            "jsonrpc": "2.0", "id": question["id"],
            "result": {"role": "assistant", "content": {"type": "text", "text": "that"},
                       "model": "m"}}))
        self.assertEqual(status, 202)
        answer = next(m for m in came if m.get("id") == 9)
        self.assertEqual(answer["result"]["content"][0]["text"], "LLM response: that")
        conn.close()

    def test_each_session_has_a_child_of_its_own(self):
        bridge = self.bridge()
        clients = [Client(bridge.port) for _ in range(5)]
        for client in clients:
            client.initialize()
        self.assertEqual(len({client.session for client in clients}), 5)
        self.assertEqual(bridge.children(), 5)
        for number, client in enumerate(clients):
            self.assertEqual(client.echo(f"n{number}"), f"n{number}")
        for client in clients:
            self.assertEqual(client.end(), 204)
        until(lambda: bridge.children() == 0, "all children to end")

    def test_one_child_serves_all_sessions_where_it_is_shared(self):
        bridge = self.bridge("--session", "shared")
        clients = [Client(bridge.port) for _ in range(5)]
        for client in clients:
            client.initialize()
        self.assertEqual(bridge.children(), 1)
        wrong = []

        def work(number, client):
            for turn in range(20):
                text = f"client {number} turn {turn}"
                if client.echo(text, number=turn) != text:
                    wrong.append(text)
        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        for client in clients:
            client.end()
        self.assertEqual(bridge.stop(), 0)

    def test_a_child_that_dies_is_started_again_and_nobody_notices(self):
        bridge = self.bridge()
        client = Client(bridge.port)
        client.initialize()
        conn, response = client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "hang", "_meta": {"progressToken": 1}}})
        came = messages(response)
        self.assertEqual(next(came)["params"]["progress"], 0)
        child = until(lambda: children_of(bridge.pid), "the child")[0]
        os.kill(child, signal.SIGKILL)
        answer = next(m for m in came if "method" not in m)
        self.assertEqual(answer["id"], 1)
        self.assertEqual(answer["error"]["code"], -32000)
        conn.close()
        self.assertEqual(client.echo("again"), "again")
        client.end()
        until(lambda: bridge.children() == 0, "no child")

    def test_a_command_that_is_not_there_is_told_at_once(self):
        status, out, err = run("bridge", LISTEN, "--", "no-such-program")
        self.assertEqual((status, out), (1, b""))
        self.assert_one_line(err, "no-such-program")

    def test_a_server_that_ends_at_once_is_an_error_to_the_client(self):
        bridge = self.bridge(command=["false"])
        client = Client(bridge.port)
        answer = client.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                           "clientInfo": {"name": "t", "version": "1"}})
        self.assertIn("status 1", answer["error"]["message"])
        until(lambda: bridge.children() == 0, "no child")

    def test_what_is_no_message_is_refused(self):
        bridge = self.bridge()
        client = Client(bridge.port)
        client.initialize()
        for body in ("", "{", "[]", "1", '{"jsonrpc":"1.0","id":1,"method":"x"}'):
            conn, response = client.post(body)
            self.assertEqual(response.status, 400, body)
            response.read()
            conn.close()
        self.assertEqual(client.status("POST", "{}", Content_Type="text/plain"), 415)
        self.assertEqual(client.status("POST", "{}", Accept="text/html"), 406)
        self.assertEqual(client.echo("still here"), "still here")
        self.assertEqual(Client(bridge.port).status("POST", json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})), 400)
        client.session = "0" * 32
        self.assertEqual(client.status("POST", json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})), 404)

    def test_other_web_sites_are_refused(self):
        bridge = self.bridge("--allow-origin", "https://good.example")
        client = Client(bridge.port)
        client.initialize()
        ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        for origin, status in ((None, 200), ("https://good.example", 200),
                               (f"http://localhost:{bridge.port}", 200),
                               ("https://evil.example", 403), ("null", 403)):
            self.assertEqual(client.status("POST", ping, Origin=origin), status, origin)
        self.assertEqual(client.status("POST", ping, Host="evil.example"), 403)
        self.assertEqual(client.status("POST", ping, Host=f"localhost:{bridge.port}"), 200)

    def test_tokens_are_asked_for_and_read_again(self):
        tokens = self.path("tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("# who may\nsecret-one first\n")
        bridge = self.bridge("--token-file", tokens)
        stranger = Client(bridge.port)
        conn, response = stranger.post({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        response.read()
        self.assertEqual(response.status, 401)
        self.assertIn("Bearer", response.headers["WWW-Authenticate"])
        conn.close()
        client = Client(bridge.port, Authorization="Bearer secret-one")
        client.initialize()
        self.assertEqual(client.echo("in"), "in")
        stranger.session = client.session
        self.assertEqual(stranger.status("POST", "{}"), 401)
        with open(tokens, "w", encoding="ascii") as file:
            file.write("secret-one\nsecret-two\n")
        bridge.send(signal.SIGHUP)
        other = Client(bridge.port, Authorization="Bearer secret-two")
        until(lambda: other.status("DELETE") != 401, "the new token to be known")
        other.initialize()
        self.assertEqual(other.echo("too"), "too")
        # a session belongs to who began it
        mine, other.session = other.session, client.session
        self.assertEqual(other.status("POST", json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "ping"})), 404)
        other.session = mine
        self.assertEqual(client.echo("still in"), "still in")

    def test_a_session_is_over_in_time_however_busy(self):
        bridge = self.bridge("--session-timeout", "2s", command=[CHILD])
        client, begun = Client(bridge.port), time.monotonic()
        client.initialize()
        last = 200
        while last == 200 and time.monotonic() < begun + PATIENCE:
            last = client.status("POST", json.dumps({"jsonrpc": "2.0", "id": 3, "method": "ping"}))
        self.assertEqual(last, 404)
        self.assertGreaterEqual(time.monotonic() - begun, 1.9)
        until(lambda: bridge.children() == 0, "the child to end with its session")
        client = Client(bridge.port)
        client.initialize()
        self.assertEqual(client.echo("anew"), "anew")

    def test_a_client_has_so_many_sessions_at_once(self):
        bridge = self.bridge("--max-client-sessions", "2", "--session", "shared")
        clients = [Client(bridge.port) for _ in range(2)]
        for client in clients:
            client.initialize()
        other = Client(bridge.port)
        conn, response = other.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"}}})
        self.assertEqual(response.status, 429)
        self.assertIn("127.0.0.1 has 2 sessions", response.read().decode())
        conn.close()
        clients[0].end()
        until(lambda: other.status("POST", json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}})) == 200, "room for another")

    def test_health_is_told(self):
        bridge = self.bridge()
        client = Client(bridge.port, path="/healthz")
        self.assertEqual(client.status("GET"), 200)

    def test_a_drain_lets_requests_be_answered(self):
        bridge = self.bridge()
        client = Client(bridge.port)
        client.initialize()
        conn, response = client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "test_tool_with_progress", "_meta": {"progressToken": 1}}})
        came = messages(response)
        self.assertEqual(next(came)["params"]["progress"], 0)  # it has not ended yet
        bridge.send(signal.SIGTERM)
        answer = next(m for m in came if "method" not in m)
        self.assertEqual(answer["result"]["content"][0]["text"], "done")
        conn.close()
        self.assertEqual(bridge.wait(), 0)

    def test_a_stream_is_resumed(self):
        client = Client(self.bridge().port)
        client.initialize()
        conn, response = client.post({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {
            "name": "test_tool_with_progress", "_meta": {"progressToken": 7}}})
        first = next(e for e in events(response) if "id" in e)
        conn.close()
        conn, response = client.http("GET", Accept="text/event-stream", Last_Event_ID=first["id"])
        self.assertEqual(response.status, 200)
        answer = next(m for m in messages(response) if m.get("id") == 5)
        self.assertIn("result", answer)
        conn.close()


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found += [int(n) for n in file.read().split()]
    return found


class Named(Case):
    """--server and --servers."""

    def test_servers_with_names_are_apart(self):
        config = self.path("servers.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"mcpServers": {
                "beta": {"command": FIXTURE[0], "args": FIXTURE[1:]},
                "broken": {"command": "false"},
            }}, file)
        with Bridge(LISTEN, "--server", "alpha=" + " ".join(FIXTURE), "--servers",
                    config) as bridge:
            bridge.await_line("server broken is at ")
            self.assertTrue(bridge.has_line(
                f"server alpha is at http://127.0.0.1:{bridge.port}/alpha/mcp"))
            alpha, beta = (Client(bridge.port, path=f"/{name}/mcp") for name in ("alpha", "beta"))
            alpha.initialize()
            beta.initialize()
            broken = Client(bridge.port, path="/broken/mcp")
            self.assertIn("error", broken.ask("initialize", {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}))
            self.assertEqual(alpha.echo("a"), "a")
            self.assertEqual(beta.echo("b"), "b")
            # a session of one is none of the other
            alpha.session, beta.session = beta.session, alpha.session
            ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
            self.assertEqual(alpha.status("POST", ping), 404)
            self.assertEqual(Client(bridge.port).status("POST", ping), 404)


class ForStdio(Case):
    """stdio: and sockets in front of http://."""

    def setUp(self):
        super().setUp()
        self.server = self.enterContext(Bridge(LISTEN, "--", *FIXTURE))

    def test_a_stdio_client_reaches_a_server_on_the_web(self):
        with subprocess.Popen([WEFT, "bridge", "stdio:", self.server.url], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            def ask(message):
                process.stdin.write(one_line(message))
                process.stdin.flush()
                while True:
                    got = json.loads(process.stdout.readline())
                    if got.get("id") == message["id"] and "method" not in got:
                        return got
            ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}})
            process.stdin.write(one_line({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            got = ask({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {
                "name": "echo", "arguments": {"text": "über"}}})
            self.assertEqual(got["result"]["content"][0]["text"], "über")
            process.stdin.close()
            self.assertEqual(process.wait(PATIENCE), 0)
        until(lambda: self.server.children() == 0, "the session's child to end")

    def test_a_socket_has_a_message_a_line(self):
        with Bridge("listen:tcp://127.0.0.1:0", self.server.url) as bridge:
            with connect(bridge.port) as sock:
                sock.sendall(one_line({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                    "protocolVersion": "2025-06-18", "capabilities": {},
                    "clientInfo": {"name": "t", "version": "1"}}}))
                answer = json.loads(sock.makefile("rb").readline())
                self.assertEqual(answer["result"]["serverInfo"]["name"], "fixture")

    def test_a_server_that_is_not_there_is_told(self):
        with Bridge("listen:tcp://127.0.0.1:0", "http://127.0.0.1:1/mcp",
                    "--connect-timeout", "2s") as bridge:
            with connect(bridge.port) as sock:
                sock.sendall(one_line({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                    "protocolVersion": "2025-06-18", "capabilities": {},
                    "clientInfo": {"name": "t", "version": "1"}}}))
                answer = json.loads(sock.makefile("rb").readline())
                self.assertIn("refused", answer["error"]["message"])


class Encrypted(PeerCase):
    """https:// at either end."""

    def call_through(self, url):
        """The name of the server that a stdio client finds at url, or the error it gets."""
        done = subprocess.run(
            [WEFT, "bridge", "stdio:", url], timeout=PATIENCE, check=False, capture_output=True,
            input=one_line({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}}))
        answer = json.loads(done.stdout)
        return answer["result"]["serverInfo"]["name"] if "result" in answer \
            else answer["error"]["message"]

    def test_certificates_are_verified(self):
        listen = "listen:https://127.0.0.1:0/mcp#cert=%s&key=%s"
        with Bridge(listen % (self.certs.chain("server"), self.certs.key), "--",
                    *FIXTURE) as bridge:
            self.assertRegex(bridge.url, r"^https://127\.0\.0\.1:\d+/mcp$")
            self.assertEqual(self.call_through(f"{bridge.url}#ca={self.certs.root}"), "fixture")
            self.assertIn("issuer", self.call_through(bridge.url))
        with Bridge(listen % (self.certs.chain("expired"), self.certs.key), "--",
                    *FIXTURE) as bridge:
            self.assertIn("expired", self.call_through(f"{bridge.url}#ca={self.certs.root}"))

    def test_a_self_signed_certificate_is_known_by_its_fingerprint(self):
        with Bridge("--self-signed", "listen:https://127.0.0.1:0", "--", *FIXTURE) as bridge:
            bridge.await_line("fingerprint=sha256:")
            line = next(line for line in bridge.lines if "fingerprint=" in line)
            fingerprint = line.split("fingerprint=")[1].split()[0]
            self.assertEqual(
                self.call_through(f"{bridge.url}#fingerprint={fingerprint}"), "fixture")
            other = "sha256:" + "0" * 64
            self.assertIn("another one than expected",
                          self.call_through(f"{bridge.url}#fingerprint={other}"))

    def test_fields_of_a_file_are_sent(self):
        tokens, fields = self.path("tokens"), self.path("fields")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("the-secret\n")
        with open(fields, "w", encoding="ascii") as file:
            file.write("# who we are\nAuthorization: Bearer the-secret\n")
        with Bridge("--token-file", tokens, LISTEN, "--", *FIXTURE) as bridge:
            self.assertEqual(
                self.call_through(f"{bridge.url}#header-file={fields}"), "fixture")
            self.assertIn("token", self.call_through(bridge.url))


class Arguments(Case):
    def usage(self, args, *parts):
        status, out, err = run("bridge", *args)
        self.assertEqual((status, out), (2, b""), err)
        self.assert_one_line(err, *parts)

    def test_bad_arguments_are_one_line_and_status_2(self):
        bad = self.path("bad.json")
        with open(bad, "w", encoding="ascii") as file:
            file.write('{"mcpServers": {"a": {"command": 1}}}')
        for args, *parts in (
                (["http://127.0.0.1:1/", "--", "cat"], "listen: in front"),
                (["stdio:", "listen:http://:1"], "leave listen: out"),
                (["listen:http://0.0.0.0:0", "--", "cat"], "--token-file", "--insecure"),
                (["listen:tcp://0.0.0.0:0", "--token-file", bad, "--metrics",
                  "listen:http://127.0.0.1:0", "--", "cat"], "--insecure"),
                (["listen:http://:0", "--server", "a=cat", "--", "cat"], "in the place of TO"),
                (["listen:tcp://:0", "--server", "a=cat"], "listen:http://"),
                (["listen:http://:0", "--server", "a"], "NAME=CMD"),
                (["listen:http://:0", "--servers", bad], bad, 'server "a"', '"command"'),
                (["listen:http://:0", "--servers", self.path("none")], "No such file"),
                (["listen:tcp://:0", "tcp://:1", "--session", "shared"], "http:"),
                (["listen:http://:0", "--session", "all", "--", "cat"], "per or shared"),
                (["listen:tcp://:0", "--token-file", bad, "--", "cat"], "listen:http://"),
                (["listen:http://:0", "--allow-origin", "*", "--", "cat"], "any web site"),
                (["listen:http://:0/a?b=c", "--", "cat"], "no query"),
        ):
            with self.subTest(args=args):
                self.usage(args, *parts)


if __name__ == "__main__":
    unittest.main()
