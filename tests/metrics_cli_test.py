#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""weft bridge --metrics, and /healthz: what is counted is what happened."""
import http.client
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, Client, messages
from peerlib import PeerCase
from promlib import Metrics
from weftlib import PATIENCE, Bridge, Case, Server, connect, echo, is_refused, read_all, run, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
METRICS = ["--log-level", "info", "--metrics", "listen:http://127.0.0.1:0"]
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {},
              "clientInfo": {"name": "t", "version": "1"}}


class Watched(Case):
    def bridge(self, *args):
        bridge = self.enterContext(Bridge(*METRICS, *args))
        self.find(bridge)
        return bridge

    def find(self, bridge):
        bridge.await_line("metrics are at ")
        line = next(line for line in bridge.lines if "metrics are at " in line)
        bridge.metrics = int(re.search(r"http://127\.0\.0\.1:(\d+)/metrics$", line).group(1))

    def get(self, bridge, path="/metrics", method="GET", port=None, **headers):
        conn = http.client.HTTPConnection("127.0.0.1", port or bridge.metrics, timeout=PATIENCE)
        conn.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = conn.getresponse()
        body = response.read()
        conn.close()
        return response, body.decode()

    def scrape(self, bridge):
        response, text = self.get(bridge)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["Content-Type"],
                         "text/plain; version=0.0.4; charset=utf-8")
        return Metrics(text)

    def health(self, bridge, **headers):
        response, text = self.get(bridge, "/healthz", **headers)
        self.assertEqual(response.headers["Content-Type"], "application/json")
        return response.status, json.loads(text)


class OfMessages(Watched):
    def test_counts_are_those_of_the_traffic(self):
        bridge = self.bridge(LISTEN, "--", *FIXTURE)
        self.assertTrue(bridge.lines[0].startswith("weft: listening on http://"), bridge.lines)
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_requests_total", server="server"), 0)
        self.assertEqual(m.get("weft_bridge_request_duration_seconds", "_count"), 0)
        clients = [Client(bridge.port) for _ in range(3)]
        for client in clients:
            client.initialize()
            for n in range(10):
                self.assertEqual(client.echo(f"{n}"), f"{n}")
            self.assertEqual(client.ask("nothing/such")["error"]["code"], -32601)
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_sessions_total", transport="http"), 3)
        self.assertEqual(m.get("weft_bridge_sessions", transport="http"), 3)
        self.assertEqual(m.get("weft_bridge_requests_total"), 36)
        self.assertEqual(m.get("weft_bridge_requests_in_flight"), 0)
        self.assertEqual(m.get("weft_bridge_request_errors_total", by="server",
                               code="method_not_found"), 3)
        self.assertEqual(m.sum("weft_bridge_request_errors_total"), 3)
        self.assertEqual(m.get("weft_bridge_messages_total", direction="to_server"), 39)
        self.assertEqual(m.get("weft_bridge_messages_total", direction="to_client"), 36)
        self.assertGreater(m.get("weft_bridge_message_bytes_total", direction="to_server"), 1000)
        self.assertEqual(m.get("weft_bridge_request_duration_seconds", "_count"), 36)
        self.assertLess(m.get("weft_bridge_request_duration_seconds", "_sum"), 36 * PATIENCE)
        self.assertEqual(m.get("weft_bridge_http_requests_total"), 39)
        self.assertEqual(m.get("weft_bridge_http_responses_total", code="2xx"), 39)
        self.assertEqual(m.get("weft_bridge_connections_total"), 39)
        self.assertEqual(m.get("weft_bridge_children"), 3)
        self.assertEqual(m.get("weft_bridge_children_started_total"), 3)
        self.assertEqual(m.get("weft_bridge_children_deaths_total"), 0)
        self.assertEqual(m.get("weft_bridge_children_max"), 64)
        for client in clients:
            self.assertEqual(client.end(), 204)
        until(lambda: bridge.children() == 0, "no child")
        until(lambda: self.scrape(bridge).sum("weft_bridge_sessions") == 0, "no session")
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_children"), 0)
        self.assertEqual(m.get("weft_bridge_sessions_total", transport="http"), 3)
        self.assertEqual(bridge.stop(), 0)

    def test_a_child_that_is_killed_is_counted_and_so_is_its_place(self):
        bridge = self.bridge(LISTEN, "--", *FIXTURE)
        client = Client(bridge.port)
        client.initialize()
        for deaths in (1, 2):
            conn, response = client.post({
                "jsonrpc": "2.0", "id": f"d{deaths}", "method": "tools/call", "params": {
                    "name": "hang", "_meta": {"progressToken": 1}}})
            came = messages(response)
            self.assertEqual(next(came)["params"]["progress"], 0)
            self.assertEqual(self.scrape(bridge).get("weft_bridge_requests_in_flight"), 1)
            self.assertEqual(self.scrape(bridge).get("weft_bridge_streams"), 1)
            os.kill(children_of(bridge.pid)[0], signal.SIGKILL)
            answer = next(m for m in came if "method" not in m)
            self.assertEqual(answer["error"]["code"], -32000)
            conn.close()
            m = self.scrape(bridge)
            self.assertEqual(m.get("weft_bridge_children_deaths_total"), deaths)
            self.assertEqual(m.get("weft_bridge_requests_in_flight"), 0)
            self.assertEqual(m.get("weft_bridge_request_errors_total", by="bridge",
                                   code="server_error"), deaths)
            status, health = self.health(bridge)
            self.assertEqual((status, health["status"]), (200, "ok"), health)
            self.assertIn("signal 9", health["servers"][0]["last_error"]["message"])
            self.assertEqual(client.echo("again"), "again")
            m = self.scrape(bridge)
            self.assertEqual(m.get("weft_bridge_children_restarts_total"), deaths)
            self.assertEqual(m.get("weft_bridge_children_started_total"), deaths + 1)
            self.assertEqual(m.get("weft_bridge_children"), 1)
            status, health = self.health(bridge)
            self.assertEqual((status, health["status"]), (200, "ok"), health)
            self.assertEqual(health["servers"][0]["losses"], deaths)

    def test_sums_are_exact_under_scrapes_and_never_fall(self):
        bridge = self.bridge(LISTEN, "--session", "shared", "--", *FIXTURE)
        over, wrong, scrapes = threading.Event(), [], [0]
        clients, turns = 6, 40

        def work(number):
            client = Client(bridge.port)
            client.initialize()
            for turn in range(turns):
                if client.echo(f"{number} {turn}") != f"{number} {turn}":
                    wrong.append((number, turn))

        def look():
            last = {}
            try:
                while not over.is_set():
                    m = self.scrape(bridge)
                    scrapes[0] += 1
                    flying = m.get("weft_bridge_requests_in_flight")
                    if flying > clients:
                        wrong.append(("in flight", flying))
                    for family in m.families.values():
                        if family.type == "gauge":
                            continue
                        for key, value in family.samples.items():
                            if value < last.get(key, 0):
                                wrong.append((key, value, last[key]))
                            last[key] = value
            except Exception as error:  # pylint: disable=broad-except
                wrong.append(repr(error))
        lookers = [threading.Thread(target=look) for _ in range(4)]
        workers = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
        for thread in lookers + workers:
            thread.start()
        for thread in workers:
            thread.join()
        over.set()
        for thread in lookers:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(scrapes[0], 10)
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_requests_total"), clients * (turns + 1))
        self.assertEqual(m.get("weft_bridge_request_duration_seconds", "_count"),
                         clients * (turns + 1))
        self.assertEqual(m.get("weft_bridge_requests_in_flight"), 0)
        self.assertEqual(bridge.stop(), 0)

    def test_servers_with_names_have_each_their_own(self):
        command = " ".join(FIXTURE)
        bridge = self.bridge(LISTEN, "--server", f"good={command}", "--server", "bad=false",
                             "--max-children", "7", "--max-connections", "50")
        good, bad = (Client(bridge.port, path=f"/{name}/mcp") for name in ("good", "bad"))
        good.initialize()
        self.assertIn("error", bad.ask("initialize", INITIALIZE))
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_requests_total", server="good"), 1)
        self.assertEqual(m.get("weft_bridge_requests_total", server="bad"), 1)
        self.assertEqual(m.sum("weft_bridge_request_errors_total", server="good"), 0)
        self.assertEqual(m.sum("weft_bridge_request_errors_total", server="bad"), 1)
        self.assertGreater(m.get("weft_bridge_children_deaths_total", server="bad"), 0)
        self.assertEqual(m.get("weft_bridge_children_deaths_total", server="good"), 0)
        status, health = self.health(bridge)
        self.assertEqual((status, health["status"]), (200, "degraded"), health)
        servers = {server["name"]: server for server in health["servers"]}
        self.assertEqual(servers["good"]["status"], "ok")
        self.assertEqual(servers["good"]["children"], 1)
        self.assertIsNone(servers["good"]["last_error"])
        self.assertEqual(servers["bad"]["status"], "failing")
        self.assertIn("status 1", servers["bad"]["last_error"]["message"])
        self.assertEqual(health["children"]["max"], 7)
        self.assertEqual(health["sessions"]["max"], 50)
        # the bridge's own listener says the same
        response, text = self.get(bridge, "/healthz", port=bridge.port)
        self.assertEqual((response.status, json.loads(text)["status"]), (200, "degraded"))
        self.assertEqual(good.echo("untouched"), "untouched")

    def test_a_bridge_whose_servers_all_fail_says_so_until_one_answers(self):
        flag = self.path("flag")
        script = f'test -e "{flag}" || exit 3; exec "$@"'
        bridge = self.bridge(LISTEN, "--", "sh", "-c", script, "sh", *FIXTURE)
        self.assertEqual(self.health(bridge)[0], 200)
        self.assertIn("error", Client(bridge.port).ask("initialize", INITIALIZE))
        status, health = self.health(bridge)
        self.assertEqual((status, health["status"]), (503, "failing"), health)
        self.assertIn("status 3", health["servers"][0]["last_error"]["message"])
        with open(flag, "w", encoding="ascii"):
            pass
        client = Client(bridge.port)
        client.initialize()
        self.assertEqual(self.health(bridge)[0], 200)
        os.unlink(flag)
        # another's child fails: who is there answers, and it is well
        self.assertIn("error", Client(bridge.port).ask("initialize", INITIALIZE))
        until(lambda: self.health(bridge)[0] == 503, "the failure")
        until(lambda: client.echo("here") == "here" and self.health(bridge)[0] == 200,
              "an answer that counts")

    def test_what_is_refused_is_counted(self):
        # far more than connections that the bridge has not seen closed yet
        bridge = self.bridge("--max-connections", "40", "--session", "shared", LISTEN, "--",
                             *FIXTURE)
        for _ in range(40):
            client = Client(bridge.port)
            client.initialize()
        self.assertEqual(Client(bridge.port).status("POST", json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE})), 503)
        self.assertEqual(client.status("POST", "{", Origin="https://evil.example"), 403)
        self.assertEqual(client.status("POST", "{"), 400)
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_sessions_refused_total", transport="http"), 1)
        self.assertEqual(m.get("weft_bridge_http_forbidden_total"), 1)
        self.assertEqual(m.get("weft_bridge_http_responses_total", code="4xx"), 2)
        self.assertEqual(m.get("weft_bridge_http_responses_total", code="5xx"), 1)

    def test_evicted_events_are_counted(self):
        bridge = self.bridge(LISTEN, "--", sys.executable, "-c", TALKER)
        client = Client(bridge.port)
        client.initialize()
        self.assertEqual(client.ask("talk", {"count": 1500})["result"], {})
        m = self.scrape(bridge)
        until(lambda: self.scrape(bridge).get("weft_bridge_replay_evictions_total") >= 400,
              "evictions")
        self.assertGreater(m.get("weft_bridge_replay_bytes"), 0)

    def test_servers_on_the_web_are_connections(self):
        with Bridge(LISTEN, "--", *FIXTURE) as far:
            bridge = self.bridge(LISTEN, far.url)
            client = Client(bridge.port)
            client.initialize()
            m = self.scrape(bridge)
            self.assertEqual(m.get("weft_bridge_server_connections"), 1)
            self.assertNotIn("weft_bridge_children", m.families)
            self.assertEqual(far.stop(), 0)
            self.assertIn("error", client.ask("ping"))
            m = self.scrape(bridge)
            self.assertEqual(m.sum("weft_bridge_request_errors_total", by="bridge"), 1)

    def test_a_server_that_is_replaced_goes_on_counting(self):
        config = self.path("servers.json")

        def write(**env):
            with open(config, "w", encoding="ascii") as file:
                json.dump({"mcpServers": {"one": {"command": FIXTURE[0], "args": FIXTURE[1:],
                                                  "env": env}}}, file)
        write()
        bridge = self.bridge(LISTEN, "--servers", config)
        for round_number in (1, 2, 3):
            client = Client(bridge.port, path="/one/mcp")
            client.initialize()
            self.assertEqual(client.end(), 204)
            m = self.scrape(bridge)
            self.assertEqual(m.get("weft_bridge_requests_total", server="one"), round_number)
            write(ROUND=str(round_number))
            bridge.send(signal.SIGHUP)
            until(lambda n=round_number: sum("was changed" in line for line in bridge.lines) == n,
                  "the change")
        until(lambda: self.scrape(bridge).sum("weft_bridge_sessions") == 0, "no session")
        self.assertEqual(self.scrape(bridge).get("weft_bridge_children_started_total"), 3)
        with open(config, "w", encoding="ascii") as file:
            json.dump({"mcpServers": {"two": {"command": FIXTURE[0], "args": FIXTURE[1:]}}}, file)
        bridge.send(signal.SIGHUP)
        bridge.await_line("two was added")  # behind the line that the other was taken out
        self.assertTrue(bridge.has_line("one was taken out"), bridge.lines)
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_children_started_total", server="one"), 3)
        self.assertEqual(m.get("weft_bridge_children_started_total", server="two"), 0)

    def test_a_drain_is_told(self):
        bridge = self.bridge(LISTEN, "--drain-timeout", "20s", "--", *FIXTURE)
        client = Client(bridge.port)
        client.initialize(capabilities={"sampling": {}})
        conn, response = client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "test_sampling", "arguments": {"prompt": "what?"}}})
        came = messages(response)
        next(came)
        bridge.send(signal.SIGTERM)
        until(lambda: self.health(bridge)[1]["status"] == "draining", "a drain")
        self.assertEqual(self.health(bridge)[0], 503)
        self.assertEqual(self.scrape(bridge).get("weft_bridge_requests_in_flight"), 1)
        conn.close()
        bridge.send(signal.SIGKILL)
        bridge.wait()


# Says as many things about a request as it is asked to, then answers it.
TALKER = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "talk":
        for n in range(m["params"]["count"]):
            print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                              "params": {"level": "info", "data": n}}))
    if "id" in m:
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "serverInfo": {"name": "t", "version": "1"}} if m["method"] == "initialize" else {}}),
            flush=True)
"""


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found += [int(n) for n in file.read().split()]
    return found


class Documented(Watched):
    def test_the_document_lists_what_there_is(self):
        with open(os.path.join(os.environ["WEFT_SRC"], "docs", "metrics.md"),
                  encoding="utf-8") as file:
            rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([\w, ]*)\|", file.read(), re.MULTILINE)
        listed = {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows}
        self.assertEqual(len(listed), len(rows))
        with Bridge(LISTEN, "--", *FIXTURE) as far:
            scrapes = [self.scrape(self.bridge(*args)) for args in (
                ("--record", self.path("r.jsonl"), LISTEN, "--", *FIXTURE), (LISTEN, far.url),
                ("listen:tcp://127.0.0.1:0", "--", "cat"))]
        there = {}
        for name in {name for m in scrapes for name in m.families}:
            found = [m.families[name] for m in scrapes if name in m.families]
            labels = {label for family in found for _, given in family.samples
                      for label, _ in given} - {"le"}
            there[name] = (found[0].type, labels)
        self.maxDiff = None
        self.assertEqual(there, listed)


class OfBytes(Watched):
    def test_sessions_and_bytes_are_counted(self):
        with Server(echo) as server:
            bridge = self.bridge("listen:tcp://127.0.0.1:0", server.url)
            for _ in range(3):
                with connect(bridge.port) as sock:
                    sock.sendall(b"x" * 1000)
                    sock.shutdown(socket.SHUT_WR)
                    self.assertEqual(len(read_all(sock)), 1000)
            until(lambda: self.scrape(bridge).get("weft_bridge_sessions", transport="tcp") == 0,
                  "no session")
            m = self.scrape(bridge)
            self.assertEqual(m.get("weft_bridge_sessions_total", transport="tcp"), 3)
            self.assertEqual(m.get("weft_bridge_connections_total"), 3)
            self.assertEqual(m.get("weft_bridge_bytes_total", direction="to_server"), 3000)
            self.assertEqual(m.get("weft_bridge_bytes_total", direction="to_client"), 3000)
            self.assertEqual(self.health(bridge)[0], 200)
            self.assertEqual(self.health(bridge)[1]["sessions"]["total"], 3)
            self.assertEqual(bridge.stop(), 0)

    def test_children_are_counted(self):
        bridge = self.bridge("--max-children", "1", "listen:tcp://127.0.0.1:0", "--", "cat")
        with connect(bridge.port) as sock:
            sock.sendall(b"x")
            self.assertEqual(sock.recv(1), b"x")
            self.assertEqual(self.scrape(bridge).get("weft_bridge_children"), 1)
            self.assertTrue(is_refused(bridge.port))
        until(lambda: self.scrape(bridge).get("weft_bridge_children") == 0, "no child")
        until(lambda: self.scrape(bridge).get("weft_bridge_sessions") == 0, "no session")
        m = self.scrape(bridge)
        self.assertEqual(m.get("weft_bridge_children_started_total"), 1)
        self.assertEqual(m.get("weft_bridge_sessions_refused_total"), 1)


class TheProcess(Watched):
    def test_it_is_as_proc_says(self):
        bridge = self.bridge(LISTEN, "--", *FIXTURE)
        m = self.scrape(bridge)
        self.assertLess(abs(m.get("process_open_fds") - bridge.fds()), 3)
        self.assertLess(abs(m.get("process_resident_memory_bytes") / bridge.rss() - 1), 0.3)
        with open(f"/proc/{bridge.pid}/limits", encoding="ascii") as file:
            limit = re.search(r"Max open files\s+(\d+)", file.read()).group(1)
        self.assertEqual(m.get("process_max_fds"), int(limit))
        with open("/proc/stat", encoding="ascii") as file:
            boot = int(re.search(r"btime (\d+)", file.read()).group(1))
        with open(f"/proc/{bridge.pid}/stat", encoding="ascii") as file:
            ticks = int(file.read().rsplit(")", 1)[1].split()[19])
        started = boot + ticks / os.sysconf("SC_CLK_TCK")
        self.assertLess(abs(m.get("process_start_time_seconds") - started), 2)
        self.assertGreater(m.get("process_cpu_seconds_total"), 0)
        self.assertLess(m.get("weft_bridge_uptime_seconds"), 10 * PATIENCE)

    def test_scrapes_leave_nothing(self):
        bridge = self.bridge(LISTEN, "--", *FIXTURE)
        for _ in range(3):
            self.scrape(bridge)
        fds, fibers = bridge.fds(), bridge.fibers()
        for _ in range(100):
            self.scrape(bridge)
            self.health(bridge)
        until(lambda: bridge.fds() <= fds, "descriptors as before")
        until(lambda: bridge.fibers() <= fibers, "fibers as before")
        # one that asks and does not read, one that sends nothing, one that is gone at once
        socks = [connect(bridge.metrics) for _ in range(3)]
        socks[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        socks[2].close()
        self.scrape(bridge)
        for sock in socks:
            sock.close()
        until(lambda: bridge.fds() <= fds, "descriptors as before")
        self.assertEqual(bridge.stop(), 0)


class WhoMayLook(Watched, PeerCase):
    def test_other_web_sites_are_refused(self):
        bridge = self.bridge("--allow-origin", "https://good.example", LISTEN, "--", *FIXTURE)
        for headers, status in (({"Origin": "https://evil.example"}, 403),
                                ({"Origin": "https://good.example"}, 200),
                                ({"Origin": f"http://localhost:{bridge.metrics}"}, 200),
                                ({"Host": "evil.example"}, 403),
                                ({"Host": f"localhost:{bridge.metrics}"}, 200)):
            for path in ("/metrics", "/healthz"):
                self.assertEqual(self.get(bridge, path, **headers)[0].status, status, headers)
        self.assertEqual(self.get(bridge, "/")[0].status, 404)
        self.assertEqual(self.get(bridge, method="POST")[0].status, 405)

    def test_a_token_is_asked_for(self):
        tokens = self.path("tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("s3cret\n")
        bridge = self.bridge("--token-file", tokens, LISTEN, "--", *FIXTURE)
        response, _ = self.get(bridge)
        self.assertEqual(response.status, 401)
        self.assertIn("Bearer", response.headers["WWW-Authenticate"])
        self.assertEqual(self.get(bridge, Authorization="Bearer other")[0].status, 401)
        response, text = self.get(bridge, Authorization="Bearer s3cret")
        self.assertEqual(response.status, 200)
        Metrics(text)
        for port in (bridge.metrics, bridge.port):
            _, text = self.get(bridge, "/healthz", port=port)
            self.assertEqual(json.loads(text), {"status": "ok"})
            _, text = self.get(bridge, "/healthz", port=port, Authorization="Bearer s3cret")
            self.assertIn("servers", json.loads(text))
        with open(tokens, "w", encoding="ascii") as file:
            file.write("another\n")
        bridge.send(signal.SIGHUP)
        until(lambda: self.get(bridge, Authorization="Bearer another")[0].status == 200,
              "the new token")
        self.assertEqual(self.get(bridge, Authorization="Bearer s3cret")[0].status, 401)

    def test_it_may_be_encrypted(self):
        bridge = self.enterContext(Bridge(
            "--log-level", "info", "--metrics",
            f"listen:https://127.0.0.1:0#cert={self.certs.chain('server')}&key={self.certs.key}",
            LISTEN, "--", *FIXTURE))
        bridge.await_line("metrics are at https://")
        url = next(line for line in bridge.lines if "metrics are at" in line).split(" at ")[1]
        with urllib.request.urlopen(url, timeout=PATIENCE, context=ssl.create_default_context(
                cafile=self.certs.root)) as response:
            Metrics(response.read().decode())

    def usage(self, *args, status=2):
        got, out, err = run("bridge", *args, LISTEN, "--", "cat")
        self.assertEqual((got, out), (status, b""), err)
        self.assert_one_line(err)
        return err

    def test_what_it_can_not_be_is_told(self):
        self.assertIn("--token-file", self.usage("--metrics", "listen:http://0.0.0.0:0"))
        self.assertIn("listener", self.usage("--metrics", "http://127.0.0.1:9100"))
        self.assertIn("listener", self.usage("--metrics", "listen:tcp://127.0.0.1:9100"))
        self.assertIn("scheme", self.usage("--metrics", "9100"))
        self.assertIn("/metrics", self.usage("--metrics", "listen:http://127.0.0.1:0/other"))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            port = sock.getsockname()[1]
            err = self.usage("--metrics", f"listen:http://127.0.0.1:{port}/metrics", status=1)
            self.assertIn("metrics", err)
            self.assertIn(str(port), err)
            self.assertIn("somebody listens there already", err)


if __name__ == "__main__":
    unittest.main()
