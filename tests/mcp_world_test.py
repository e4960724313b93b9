#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=180
"""weft bridge for MCP where the world does not do as it should: servers that refuse, servers that fall
silent, more children than there may be, files that are not good any more."""
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, Client
from peerlib import PeerCase
from weftlib import PATIENCE, WEFT, Bridge, Case, free_port, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"}}}
STATELESS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {}}}}


class Web:
    """An HTTP server that answers every request with a status and a body, in which "same" is the
    request's id."""

    def __init__(self, status, body=b"", kind="text/plain"):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                asked = self.rfile.read(int(self.headers.get("Content-Length", 0)) or 0)
                number = json.loads(asked).get("id", 0) if asked else 0
                said = body.replace(b'"same"', json.dumps(number).encode())
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # who does not wait for an answer resets
        self.url = f"http://127.0.0.1:{self.server.server_port}/mcp"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Refused(Case):
    """stdio: in front of a server on the web that refuses."""

    def ask(self, url, message):
        done = subprocess.run(
            [WEFT, "bridge", "stdio:", url], timeout=PATIENCE, check=False, capture_output=True,
            input=json.dumps(message).encode() + b"\n" if message else b"")
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, answers, done.stderr.decode()

    def refused(self, url, *parts, messages=(INITIALIZE, STATELESS)):
        for message in messages:
            with self.subTest(url=url, method=message["method"]):
                status, answers, err = self.ask(url, message)
                self.assertEqual(status, 1, (answers, err))
                self.assertEqual([a["id"] for a in answers], [1])
                self.assertIn("error", answers[0])
                self.assert_one_line(err, *parts)

    def test_one_that_is_not_there_ends_it_with_status_1(self):
        self.refused(f"http://127.0.0.1:{free_port()}/mcp", "connection refused")
        self.refused(f"sse+http://127.0.0.1:{free_port()}/sse", "connection refused",
                     messages=(INITIALIZE,))

    def test_one_that_wants_a_token_does(self):
        with Web(401) as web:
            self.refused(web.url, "status 401", "token")
        error = {"jsonrpc": "2.0", "id": None,
                 "error": {"code": -32001, "message": "who are you?"}}
        with Web(401, json.dumps(error).encode(), "application/json") as web:
            self.refused(web.url, "who are you?", web.url, "status 401", "wants a token")
        with Web(403) as web:
            self.refused(web.url, "status 403")

    def test_one_that_has_nothing_there_does(self):
        with Web(404) as web:
            self.refused(web.url, "status 404")
        with Web(200, b"<html>", "text/html") as web:
            self.refused(web.url, "text/html")
        with Web(500) as web:
            self.refused(web.url, "status 500")

    def test_one_that_answers_with_an_error_does_not(self):
        error = {"jsonrpc": "2.0", "id": "same", "error": {"code": -32601, "message": "not here"}}
        for message, status in ((INITIALIZE, 200), (STATELESS, 200), (STATELESS, 400),
                                (STATELESS, 404)):
            with Web(status, json.dumps(error).encode(), "application/json") as web:
                status, answers, err = self.ask(web.url, message)
                self.assertEqual((status, err), (0, ""), answers)
                self.assertIn("error", answers[0])

    def test_a_client_that_asks_nothing_has_no_trouble(self):
        status, answers, err = self.ask(f"http://127.0.0.1:{free_port()}/mcp", None)
        self.assertEqual((status, answers, err), (0, [], ""))

    def test_one_that_was_there_and_refuses_later_does_not(self):
        with Bridge(LISTEN, "--", *FIXTURE) as server:
            with subprocess.Popen([WEFT, "bridge", "stdio:", server.url], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) as process:
                process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
                process.stdin.flush()
                self.assertIn("result", json.loads(process.stdout.readline()))
                self.assertEqual(server.stop(), 0)
                process.stdin.write(json.dumps(
                    {"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode() + b"\n")
                process.stdin.flush()
                self.assertIn("error", json.loads(process.stdout.readline()))
                process.stdin.close()
                self.assertEqual(process.wait(PATIENCE), 0)


def timers_to(port):
    """Timers of the connections to a port of this machine: 2 is keepalive's (proc(5), tcp)."""
    found = []
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if int(fields[2].split(":")[1], 16) == port and fields[3] == "01":
                found.append(int(fields[5].split(":")[0], 16))
    return found


class Silent(Case):
    def timers(self, options):
        with Bridge(LISTEN, "--", *FIXTURE) as far:
            with Bridge(LISTEN, far.url + options) as bridge:
                client = Client(bridge.port)
                client.initialize()
                # the GET's stream at least stays; 1 is what waits for an acknowledgement
                return until(lambda: (found := set(timers_to(far.port))) and 1 not in found
                             and found, "a connection that is at rest")

    def test_connections_to_servers_on_the_web_are_probed(self):
        self.assertIn(2, self.timers(""))
        self.assertIn(2, self.timers("#keepalive=30"))
        self.assertNotIn(2, self.timers("#keepalive=0"))

    def test_so_are_those_to_servers_with_names(self):
        with Bridge(LISTEN, "--", *FIXTURE) as far:
            config = self.path("servers.json")
            with open(config, "w", encoding="ascii") as file:
                json.dump({"mcpServers": {"far": {"url": far.url}}}, file)
            with Bridge(LISTEN, "--servers", config) as bridge:
                client = Client(bridge.port, path="/far/mcp")
                client.initialize()
                until(lambda: 2 in timers_to(far.port), "a connection that is probed")


class Children(Case):
    """--max-children."""

    def test_it_holds_exactly_over_servers_and_sessions_that_race(self):
        names, most, each = ("a", "b", "c"), 4, 6
        command = " ".join(FIXTURE)
        with Bridge(LISTEN, "--max-children", str(most),
                    *(word for name in names for word in ("--server", f"{name}={command}"))
                    ) as bridge:
            for _ in range(2):
                seen, begun, told = [0], [], []
                over = threading.Event()

                def watch():
                    while not over.is_set():
                        seen[0] = max(seen[0], bridge.children())

                def begin(name):
                    client = Client(bridge.port, path=f"/{name}/mcp")
                    answer = client.ask("initialize", INITIALIZE["params"])
                    (begun if "result" in answer else told).append((client, answer))
                threads = [threading.Thread(target=begin, args=(name,))
                           for name in names for _ in range(each)]
                watcher = threading.Thread(target=watch)
                watcher.start()
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                over.set()
                watcher.join()
                self.assertEqual(len(begun), most)
                self.assertEqual(len(told), len(names) * each - most)
                self.assertLessEqual(seen[0], most)
                for _, answer in told:
                    self.assertIn(f"{most} servers run already", answer["error"]["message"])
                for client, _ in begun:
                    self.assertEqual(client.end(), 204)
                until(lambda: bridge.children() == 0, "no child")
            self.assertEqual(bridge.stop(), 0)

    def test_connections_to_servers_on_the_web_are_no_children(self):
        with Bridge(LISTEN, "--session", "shared", "--", *FIXTURE) as far:
            with Bridge(LISTEN, "--max-children", "1", far.url) as bridge:
                clients = [Client(bridge.port) for _ in range(3)]
                for client in clients:
                    client.initialize()
                for client in clients:
                    self.assertEqual(client.echo("there"), "there")


class Reload(PeerCase):
    """SIGHUP where not all that is read again is good."""

    def test_each_part_is_tried_and_all_that_is_wrong_is_told(self):
        tokens, cert, key = self.path("tokens"), self.path("cert.pem"), self.path("key.pem")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("one\n")
        for path, of in ((cert, self.certs.chain("server")), (key, self.certs.key)):
            with open(of, "rb") as source, open(path, "wb") as file:
                file.write(source.read())
        with Bridge("--token-file", tokens, f"listen:https://127.0.0.1:0/mcp#cert={cert}&key={key}",
                    "--", *FIXTURE) as bridge:
            # a bad certificate does not keep tokens from being read
            with open(cert, "w", encoding="ascii") as file:
                file.write("nothing\n")
            with open(tokens, "w", encoding="ascii") as file:
                file.write("two\n")
            bridge.send(signal.SIGHUP)
            bridge.await_line("cert.pem")
            self.assertEqual(self.curl(bridge, "two"), "400")
            self.assertEqual(self.curl(bridge, "one"), "401")
            with open(tokens, "w", encoding="ascii") as file:
                file.write("three\nthree\n")
            before = len(bridge.lines)
            bridge.send(signal.SIGHUP)
            until(lambda: any("cert.pem" in line and "tokens" in line
                              for line in bridge.lines[before:]), f"both, in {bridge.lines}")
            self.assertEqual(self.curl(bridge, "two"), "400")

    def curl(self, bridge, token):
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", self.certs.root,
             "-H", f"Authorization: Bearer {token}", "-H", "Accept: application/json, text/event-stream",
             "--json", "{}", bridge.url], capture_output=True, check=True, timeout=PATIENCE)
        return done.stdout.decode()


if __name__ == "__main__":
    unittest.main()
