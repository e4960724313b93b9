#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""The era without sessions (2026-07-28) through weft bridge, in each mode: whose child, what becomes
of a client that goes, subscriptions, questions and their answers, logs, and servers of the other
era."""
import json
import os
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, JSON_WAIT, MODERN, Client, messages
from peerlib import Program
from weftlib import WEFT, Bridge, Case, connect, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
REVISION = "2026-07-28"
META = "io.modelcontextprotocol/"
MODES = ("per", "shared")


def request(method, params=None, number=1, **meta):
    meta = {META + name: value for name, value in meta.items()}
    token = (params or {}).pop("token", None)
    if token is not None:
        meta["progressToken"] = token
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": {
        **(params or {}), "_meta": {META + "protocolVersion": REVISION,
                                    META + "clientCapabilities": {}, **meta}}}


class Asker(Client):
    """A client without a session."""

    def open(self, message, **headers):
        """(connection, response), as the answer begins."""
        params = message["params"]
        fields = {"MCP_Protocol_Version": params["_meta"][META + "protocolVersion"],
                  "Mcp_Method": message["method"]}
        if "name" in params:
            fields["Mcp_Name"] = params["name"]
        return self.post(message, **fields, **headers)

    def all(self, message, **headers):
        """(status, what came)"""
        conn, response = self.open(message, **headers)
        came = list(messages(response))
        conn.close()
        return response.status, came

    def use(self, tool, number=1, arguments=None, **meta):
        """A tool's text."""
        _, came = self.all(request("tools/call", {"name": tool, "arguments": arguments or {}},
                                   number, **meta))
        self.other += came[:-1]
        if came[-1]["id"] != number:
            raise AssertionError(f"not the answer to {number}: {came}")
        return came[-1]["result"]["content"][0]["text"]


class Modern(Case):
    """listen:http:// and a child."""

    def bridge(self, *args, command=None):
        return self.enterContext(Bridge(*args, LISTEN, "--", *(command or MODERN)))

    def stream(self, client, message):
        """The messages of a response as they come; it is closed at the latest with the test."""
        conn, response = client.open(message)
        self.addCleanup(conn.close)
        return conn, response, messages(response)


class WithoutSessions(Modern):
    def test_requests_of_all_share_one_child_and_of_each_token_one(self):
        for mode in MODES:
            client = Asker(self.bridge("--session", mode).port)
            self.assertEqual(len({client.use("process", number) for number in (1, 2, "x")}), 1)
        with open(self.path("tokens"), "w", encoding="ascii") as file:
            file.write("one-token-of-twenty-two-bytes first\nanother-of-twenty-two-bytes second\n")
        bridge = self.bridge("--token-file", self.path("tokens"))
        first, again, second = (
            Asker(bridge.port, Authorization="Bearer " + token).use("process")
            for token in ("one-token-of-twenty-two-bytes", "one-token-of-twenty-two-bytes",
                          "another-of-twenty-two-bytes"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, second)
        self.assertEqual(bridge.children(), 2)

    def test_a_client_that_goes_has_cancelled(self):
        for mode in MODES:
            client = Asker(self.bridge("--session", mode).port)
            self.assertEqual(client.use("cancelled"), "0")
            waiting = threading.Thread(target=self.leave, args=(client,))
            waiting.start()
            until(lambda c=client: c.use("cancelled", 7) == "1", "the cancellation")
            waiting.join()

    def leave(self, client):
        body = json.dumps(request("tools/call", {"name": "wait"}, 7))
        with connect(client.port) as sock:
            sock.sendall((f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json, "
                          f"text/event-stream\r\nContent-Type: application/json\r\n"
                          f"MCP-Protocol-Version: {REVISION}\r\nMcp-Method: tools/call\r\n"
                          f"Mcp-Name: wait\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
            # until the answer is a stream, so that the call has come to the server
            self.assertIn(b"text/event-stream", sock.recv(65536))

    def test_a_subscription_is_a_stream_of_its_own(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                client = Asker(self.bridge("--session", mode).port)
                streams = {}
                for number, wanted in ((5, "toolsListChanged"), ("p", "promptsListChanged")):
                    message = request("subscriptions/listen",
                                      {"notifications": {wanted: True}}, number)
                    conn, response, came = self.stream(client, message)
                    self.assertEqual(response.headers["X-Accel-Buffering"], "no")
                    first = next(came)
                    self.assertEqual(first["method"], "notifications/subscriptions/acknowledged")
                    self.assertEqual(first["params"], {
                        "notifications": {wanted: True},
                        "_meta": {META + "subscriptionId": number}})
                    streams[number] = conn, response, came
                # others of the same id do not matter
                client.use("test_trigger_prompt_change", 5)
                client.use("test_trigger_tool_change", "p")
                for number, what in ((5, "tools"), ("p", "prompts")):
                    told = next(streams[number][2])
                    self.assertEqual(told["method"], f"notifications/{what}/list_changed")
                    self.assertEqual(told["params"]["_meta"], {META + "subscriptionId": number})
                streams[5][1].close()
                streams[5][0].close()
                until(lambda c=client: c.use("cancelled") == "1", "the end of one")
                self.assertEqual(client.use("unsubscribe", 9), "1")
                # the server has ended it: no answer, and no more of the stream
                self.assertEqual(list(streams["p"][2]), [])

    def test_a_subscription_that_its_client_left_is_cancelled(self):
        for mode in MODES:
            client = Asker(self.bridge("--session", mode).port)
            conn, response, came = self.stream(client, request("subscriptions/listen"))
            next(came)
            response.close()
            conn.close()
            until(lambda c=client: c.use("cancelled") == "1", "the end of the subscription")

    def test_progress_and_logs_come_on_the_stream_of_their_request(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                client = Asker(self.bridge("--session", mode).port)
                _, came = client.all(request(
                    "tools/call", {"name": "test_tool_with_progress", "token": "mine"}, 3))
                self.assertEqual([m["params"]["progressToken"] for m in came[:-1]], ["mine"] * 3)
                self.assertEqual(client.use("test_logging_tool", logLevel="info"), "done")
                self.assertEqual([m["method"] for m in client.other], ["notifications/message"])
                # a subscription is nothing that logs
                _, _, listens = self.stream(client, request("subscriptions/listen", None, 8))
                next(listens)
                client.use("test_logging_tool", logLevel="info")
                self.assertEqual([m["method"] for m in client.other], ["notifications/message"] * 2)
                client.use("unsubscribe")
                self.assertEqual(list(listens), [])

    def test_answers_to_a_question_go_to_the_child_that_asked(self):
        tool = {"name": "test_input_required_result_request_state", "arguments": {}}
        bridge = self.bridge()
        client = Asker(bridge.port)
        _, (asked,) = client.all(request("tools/call", dict(tool)))
        self.assertEqual(asked["result"]["resultType"], "input_required")
        answer = {"requestState": asked["result"]["requestState"],
                  "inputResponses": {"confirm": {"action": "accept", "content": {"ok": True}}}}
        _, (done,) = client.all(request("tools/call", {**tool, **answer}))
        self.assertEqual(done["result"]["content"][0]["text"], "state-ok")
        # another child does not know what it said
        child = client.use("process")
        os.kill(int(child), signal.SIGKILL)
        self.await_another(client, child)
        _, (refused,) = client.all(request("tools/call", {**tool, **answer}))
        self.assertEqual(refused["error"]["code"], -32602)

    def await_another(self, client, child):
        """What comes while the loss is not seen yet is an error."""
        def is_another():
            _, (answer,) = client.all(request("tools/call", {"name": "process"}))
            return answer.get("result", {}).get("content", [{"text": child}])[0]["text"] != child
        until(is_another, "another child")

    def test_what_a_child_owes_when_it_dies_is_an_error_and_another_is_there(self):
        bridge = self.bridge()
        client = Asker(bridge.port)
        child = int(client.use("process"))
        _, _, came = self.stream(client, request("subscriptions/listen", None, "s"))
        next(came)
        _, _, waits = self.stream(client, request("tools/call", {"name": "wait"}, "w"))
        os.kill(child, signal.SIGKILL)
        for number, stream in (("s", came), ("w", waits)):
            (lost,) = stream
            self.assertEqual((lost["id"], lost["error"]["code"]), (number, -32000))
        self.await_another(client, str(child))


class Eras(Modern):
    """They are not translated into one another."""

    def test_a_server_with_sessions_refuses_and_says_what_it_speaks(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                bridge = self.bridge("--session", mode, command=FIXTURE)
                client = Asker(bridge.port)
                for message in (request("server/discover"), request("tools/list")):
                    status, (refused,) = client.all(message)
                    self.assertEqual((status, refused["error"]["code"]), (400, -32022))
                    self.assertEqual(refused["error"]["data"], {
                        "supported": ["2025-11-25"], "requested": REVISION})
                older = Client(bridge.port)
                older.initialize()
                self.assertEqual(older.echo("to it"), "to it")

    def test_a_server_without_sessions_refuses_to_begin_one(self):
        for mode in MODES:
            client = Client(self.bridge("--session", mode).port)
            answer = client.ask("initialize", {"protocolVersion": "2025-11-25",
                                               "capabilities": {}, "clientInfo": {}})
            self.assertEqual(answer["error"]["code"], -32022)
            self.assertEqual(answer["error"]["data"]["supported"], [REVISION])
            # it may have been named before its server said no
            self.assertIn(client.status("POST", json.dumps(
                {"jsonrpc": "2.0", "id": 2, "method": "ping"})), (400, 404))

    def test_a_revision_that_the_server_does_not_know_is_refused_by_it(self):
        client = Asker(self.bridge().port)
        for method in ("server/discover", "tools/list"):
            begun = time.monotonic()
            status, (refused,) = client.all(request(method, protocolVersion="2030-01-01"))
            if status != 400:  # an answer that comes late is on a stream, which is 200
                self.assertEqual(status, 200)
                self.assertGreaterEqual(time.monotonic() - begun, JSON_WAIT)
            self.assertEqual(refused["error"]["code"], -32022)
            self.assertEqual(refused["error"]["data"], {"supported": [REVISION],
                                                        "requested": "2030-01-01"})

    def test_a_server_of_both_eras_serves_both_at_once(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                bridge = self.bridge("--session", mode, command=[*MODERN, "--dual"])
                older, client = Client(bridge.port), Asker(bridge.port)
                older.initialize(capabilities={"sampling": {}})
                for number in range(10):
                    self.assertEqual(older.echo(f"older {number}", number), f"older {number}")
                    self.assertEqual(client.use("echo", number, {"text": "newer"}), "newer")
                self.assertEqual(bridge.children(), 1 if mode == "shared" else 2)
                self.assertEqual(older.end(), 204)
                self.assertEqual(client.use("echo", 1, {"text": "still"}), "still")

    def test_get_and_delete_are_of_the_era_that_they_name(self):
        bridge = self.bridge(command=[*MODERN, "--dual"])
        client = Client(bridge.port)
        client.initialize()
        for method in ("GET", "DELETE"):
            conn, response = client.http(method, MCP_Protocol_Version=REVISION)
            response.read()
            self.assertEqual((response.status, response.headers["Allow"]), (405, "POST"))
            conn.close()
        # neither is a session's id looked at by a request that has none
        asker = Asker(bridge.port, Mcp_Session_Id=client.session, Last_Event_ID="1-1")
        self.assertEqual(asker.use("echo", 1, {"text": "a"}), "a")
        self.assertEqual(client.status("DELETE", MCP_Protocol_Version=None), 204)


class TwoBridges(Modern):
    """From the web to the web, and then to a child."""

    def test_either_side_ends_a_subscription(self):
        near = self.bridge()
        client = Asker(self.enterContext(Bridge(LISTEN, near.url)).port)
        _, _, came = self.stream(client, request("subscriptions/listen", None, "a"))
        next(came)
        conn, response, other = self.stream(client, request("subscriptions/listen", None, "b"))
        next(other)
        response.close()
        conn.close()
        until(lambda: client.use("cancelled") == "1", "the end of the one")
        self.assertEqual(client.use("unsubscribe"), "1")
        self.assertEqual(list(came), [])


class OverStdio(Case):
    """A client that speaks stdio, and a server without sessions on the web."""

    def setUp(self):
        super().setUp()
        server = self.enterContext(Program([*MODERN, "--http"]))
        port = server.await_line("listening").split()[1]
        self.bridge = self.enterContext(
            Program([WEFT, "bridge", "stdio:", f"http://127.0.0.1:{port}/mcp"]))
        self.seen = 0

    def next(self):
        """The next message that comes."""
        until(lambda: len(self.bridge.lines) > self.seen, self.bridge.story())
        self.seen += 1
        return json.loads(self.bridge.lines[self.seen - 1])

    def ask(self, message):
        self.bridge.say(json.dumps(message))
        answer = self.next()
        self.assertEqual(answer["id"], message["id"])
        return answer["result"]

    def use(self, tool, number):
        message = request("tools/call", {"name": tool, "arguments": {}}, number)
        return self.ask(message)["content"][0]["text"]

    def test_a_cancellation_closes_the_stream(self):
        self.bridge.say(json.dumps(request("tools/call", {"name": "wait", "token": "t"}, "w")))
        self.assertEqual(self.next()["method"], "notifications/progress")  # it is there
        self.assertEqual(self.use("cancelled", 1), "0")
        self.bridge.say(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled",
                                    "params": {"requestId": "w"}}))
        until(lambda: self.use("cancelled", 2) == "1", "the cancellation")

    def test_a_subscription_is_told_of_and_ended(self):
        message = request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "s")
        self.bridge.say(json.dumps(message))
        self.assertEqual(self.next()["method"], "notifications/subscriptions/acknowledged")
        self.bridge.say(json.dumps(
            request("tools/call", {"name": "test_trigger_tool_change"}, 2)))
        came = {m.get("method", m.get("id")): m for m in (self.next(), self.next())}
        self.assertEqual(came["notifications/tools/list_changed"]["params"]["_meta"],
                         {META + "subscriptionId": "s"})
        self.assertIn(2, came)
        self.bridge.say(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled",
                                    "params": {"requestId": "s"}}))
        until(lambda: self.use("cancelled", 3) == "1", "the end of the subscription")

    def test_a_subscription_that_the_server_ends_is_told_of(self):
        self.bridge.say(json.dumps(request("subscriptions/listen", None, "s")))
        self.assertEqual(self.next()["method"], "notifications/subscriptions/acknowledged")
        self.bridge.say(json.dumps(request("tools/call", {"name": "unsubscribe"}, 2)))
        came = {m.get("method", m.get("id")): m for m in (self.next(), self.next())}
        self.assertEqual(came["notifications/cancelled"]["params"]["requestId"], "s")
        self.assertIn(2, came)

    def test_arguments_go_into_fields_without_the_tools_having_been_asked_for(self):
        tool = {"name": "test_tool_with_headers", "arguments": {
            "region": "\u00e9 west", "priority": 7, "verbose": None, "query": "q"}}
        result = self.ask(request("tools/call", tool, 4))
        self.assertEqual(json.loads(result["content"][0]["text"]), tool["arguments"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
