#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=180
"""weft bridge --servers FILE, read again on SIGHUP: servers come, go and change, and no session is
dropped."""
import json
import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, Client, messages
from weftlib import Bridge, Case, free_port, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
PLAIN = {"command": FIXTURE[0], "args": FIXTURE[1:]}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}

# A server that says which one it is: its process, and a variable of its environment.
WHO = """
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        result = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {},
                  "serverInfo": {"name": "who", "version": "1"}}
    elif m.get("method") == "server/discover":
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {},
                  "serverInfo": {"name": "who", "version": "1"}}
    else:
        result = {"pid": os.getpid(), "place": os.environ.get("PLACE")}
    if "id" in m:
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": result}), flush=True)
"""


def who(place):
    return {"command": sys.executable, "args": ["-c", WHO], "env": {"PLACE": place}}


class Reload(Case):
    def setUp(self):
        super().setUp()
        self.config = self.path("servers.json")
        self.bridge = None

    def write(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def servers(self, **servers):
        self.write(json.dumps({"mcpServers": servers}, indent=1))

    def start(self, *flags):
        self.bridge = self.enterContext(
            Bridge(LISTEN, "--log-level", "info", "--servers", self.config, *flags))

    def reload(self, line="files read again"):
        before = len(self.bridge.lines)
        self.bridge.send(signal.SIGHUP)
        until(lambda: any(line in said for said in self.bridge.lines[before:]),
              f"{line!r} in {self.bridge.lines[before:]}")
        return self.bridge.lines[before:]

    def client(self, name):
        return Client(self.bridge.port, path=f"/{name}/mcp")

    def begun(self, name):
        client = self.client(name)
        client.initialize()
        return client

    def status(self, name):
        client = self.client(name)
        return client.status("POST", json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}}))

    def test_servers_come_go_and_change(self):
        self.servers(stays=who("a"), goes=who("a"), changes=who("a"))
        self.start()
        old = {name: self.begun(name) for name in ("stays", "goes", "changes")}
        pids = {name: client.ask("who")["result"]["pid"] for name, client in old.items()}
        self.assertEqual(self.status("comes"), 404)
        self.servers(stays=who("a"), comes=who("b"), changes=who("b"))
        lines = self.reload()
        self.assertTrue(any(f"server comes was added: it is at http://127.0.0.1:{self.bridge.port}"
                            "/comes/mcp" in line for line in lines), lines)
        self.assertTrue(any("server goes was taken out" in line for line in lines), lines)
        self.assertTrue(any("server changes was changed" in line for line in lines), lines)
        self.assertFalse(any("server stays" in line for line in lines), lines)
        # sessions go on, with the children they have
        for name, client in old.items():
            self.assertEqual(client.ask("who")["result"], {"pid": pids[name], "place": "a"})
        self.assertEqual(self.begun("comes").ask("who")["result"]["place"], "b")
        self.assertEqual(self.begun("changes").ask("who")["result"]["place"], "b")
        self.assertEqual(self.begun("stays").ask("who")["result"]["place"], "a")
        self.assertEqual(self.status("goes"), 404)
        # what is taken out ends with its sessions
        self.assertEqual(old["goes"].end(), 204)
        until(lambda: not os.path.exists(f"/proc/{pids['goes']}"), "the child to end")
        # and may come back
        self.servers(stays=who("a"), goes=who("c"))
        self.reload()
        self.assertEqual(self.begun("goes").ask("who")["result"]["place"], "c")
        self.assertEqual(self.status("comes"), 404)
        self.assertEqual(self.bridge.stop(), 0)

    def test_a_shared_child_that_is_not_changed_is_not_touched(self):
        self.servers(stays=who("a"), changes=who("a"))
        self.start("--session", "shared")
        stays, changes = self.begun("stays"), self.begun("changes")
        pid, changing = (c.ask("who")["result"]["pid"] for c in (stays, changes))
        self.servers(stays=who("a"), changes=who("b"))
        self.reload()
        self.assertEqual(self.begun("stays").ask("who")["result"]["pid"], pid)
        self.assertEqual(stays.ask("who")["result"]["pid"], pid)
        self.assertEqual(changes.ask("who")["result"]["pid"], changing)
        other = self.begun("changes").ask("who")["result"]
        self.assertEqual(other["place"], "b")
        self.assertNotEqual(other["pid"], changing)
        self.assertEqual(self.bridge.children(), 3)
        # the last session of what was shared ends it
        self.assertEqual(changes.end(), 204)
        until(lambda: self.bridge.children() == 2, "the child that nobody needs to end")
        self.assertEqual(self.bridge.stop(), 0)

    def test_requests_without_a_session_are_served_by_what_is_there_now(self):
        def place(name):
            client = self.client(name)
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
            conn, response = client.post(message, Mcp_Method="tools/list",
                                         MCP_Protocol_Version="2026-07-28")
            (answer,) = messages(response)
            conn.close()
            return response.status, answer.get("result", {}).get("place")
        self.servers(one=who("a"), goes=who("a"))
        self.start()
        self.assertEqual(place("one"), (200, "a"))
        self.assertEqual(place("goes"), (200, "a"))
        self.servers(one=who("b"))
        self.reload()
        self.assertEqual(place("one"), (200, "b"))
        self.assertEqual(place("goes"), (404, None))
        until(lambda: self.bridge.children() == 1, "children that nobody can use to end")
        self.assertEqual(self.bridge.stop(), 0)

    def test_a_file_that_is_not_good_changes_nothing(self):
        self.servers(one=who("a"), two=who("a"))
        self.start("--server", "fixed=" + " ".join(FIXTURE))
        one = self.begun("one")
        pid = one.ask("who")["result"]["pid"]
        for text, *parts in (
                ("", "JSON"),
                ("{\n\"mcpServers\": {\n  \"one\": oops}}", "line 3", "byte"),
                ("{}", "mcpServers"),
                ('{"mcpServers": {}}', "no server"),
                ('{"mcpServers": {"one": {"command": 1}}}', 'server "one"', '"command"'),
                ('{"mcpServers": {"new": {"command": "cat"}, "bad/name": {"command": "cat"}}}',
                 "bad/name"),
                ('{"mcpServers": {"new": {"command": "cat"}, "one": {"url": "x"}}}', '"url"'),
                ('{"mcpServers": {"new": {"command": "cat"}, "one": {"command": "${NOT_SET_x}"}}}',
                 "NOT_SET_x"),
                ('{"mcpServers": {"fixed": {"command": "cat"}}}', "twice")):
            self.write(text)
            with self.subTest(text=text):
                line = next(said for said in self.reload("stay as they were")
                            if "stay as they were" in said)
                for part in (self.config, *parts):
                    self.assertIn(part, line)
        os.unlink(self.config)
        self.reload("No such file")
        self.assertEqual(one.ask("who")["result"]["pid"], pid)
        self.assertEqual(self.begun("two").ask("who")["result"]["place"], "a")
        self.assertEqual(self.begun("fixed").echo("there"), "there")
        self.assertEqual(self.status("new"), 404)
        self.servers(new=who("z"))
        self.reload()
        self.assertEqual(self.begun("new").ask("who")["result"]["place"], "z")
        self.assertEqual(self.begun("fixed").echo("there"), "there")

    def test_servers_on_the_web_change_too(self):
        with Bridge("listen:http://127.0.0.1:0/mcp", "--", *FIXTURE) as far:
            self.servers(far={"url": f"http://127.0.0.1:{free_port()}/mcp"})
            self.start()
            self.assertNotEqual(self.client("far").ask("initialize", {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}).get("error"), None)
            self.servers(far={"url": far.url})
            self.reload()
            self.assertEqual(self.begun("far").echo("there"), "there")
            self.servers(far=PLAIN)
            self.reload()
            self.assertEqual(self.begun("far").echo("there"), "there")
            self.assertEqual(self.bridge.children(), 1)

    def test_reloads_amid_traffic_lose_no_answer(self):
        self.servers(stays=PLAIN, changes=PLAIN)
        self.start("--session", "shared")
        over, wrong, rounds = threading.Event(), [], [0]

        def work(name, number):
            try:
                client = self.begun(name)
                while not over.is_set():
                    text = f"{name} {number} {rounds[0]}"
                    if client.echo(text) != text:
                        wrong.append(text)
                    rounds[0] += 1
                    if number == 0:
                        client.end()
                        client = self.begun(name)
            except Exception as error:  # pylint: disable=broad-except
                wrong.append(f"{name} {number}: {error!r}")
        threads = [threading.Thread(target=work, args=(name, number))
                   for name in ("stays", "changes") for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(8):
                goal = rounds[0] + 10
                until(lambda: rounds[0] >= goal or wrong, "traffic")
                self.servers(stays=PLAIN, changes=dict(PLAIN, env={"TURN": str(turn)}),
                             **({"comes": PLAIN} if turn % 2 else {}))
                self.reload()
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.bridge.stop(), 0)


if __name__ == "__main__":
    unittest.main()
