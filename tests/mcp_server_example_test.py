#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example mcp_server: what a client of the Model Context Protocol gets from it over stdio."""
import json
import os
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from weftlib import PATIENCE, until  # noqa: E402

SERVER = os.path.join(os.environ["WEFT_EXAMPLES"], "mcp_server")
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


class Server:
    """A session with the example: lines in and out."""

    def __init__(self):
        self.process = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.errors = []
        self.reader = threading.Thread(target=self.read_errors)
        self.reader.start()
        self.watch = threading.Timer(PATIENCE, self.process.kill)
        self.watch.start()
        self.last = 0

    def read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line.decode().rstrip("\n"))

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.write(json.dumps(message).encode() + b"\n")

    def receive(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"stdout has ended: {self.errors}")
        message = json.loads(line)
        assert message.pop("jsonrpc") == "2.0"
        return message

    def begin(self, method, params=None):
        """Its id."""
        self.last += 1
        message = {"jsonrpc": "2.0", "id": self.last, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return self.last

    def ask(self, method, params=None):
        number = self.begin(method, params)
        answer = self.receive()
        assert answer.pop("id") == number, answer
        return answer

    def begin_call(self, tool, token=None, **arguments):
        params = {"name": tool, "arguments": arguments}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        return self.begin("tools/call", params)

    def call(self, tool, **arguments):
        """(text, is_error)"""
        number = self.begin_call(tool, **arguments)
        answer = self.receive()
        assert answer["id"] == number, answer
        return text_of(answer)

    def end(self):
        """What came besides, and the exit status."""
        self.process.stdin.close()
        rest = self.process.stdout.read()
        status = self.process.wait(PATIENCE)
        return rest, status

    def free(self):
        self.process.kill()
        self.process.wait()
        self.watch.cancel()
        self.reader.join()
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                file.close()
            except BrokenPipeError:
                pass


def text_of(answer):
    (content,) = answer["result"]["content"]
    assert content["type"] == "text"
    return content["text"], answer["result"]["isError"]


class Case(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.free)

    def assert_ends(self):
        self.assertEqual(self.server.end(), (b"", 0))
        self.server.reader.join()


class Protocol(Case):
    def test_versions_that_are_known_are_spoken(self):
        for version in VERSIONS:
            answer = self.server.ask("initialize", {"protocolVersion": version})
            self.assertEqual(answer["result"]["protocolVersion"], version)
            self.assertEqual(answer["result"]["capabilities"], {"tools": {}})
        for version in ("2023-01-01", "2026-07-28", 7):
            answer = self.server.ask("initialize", {"protocolVersion": version})
            self.assertEqual(answer["result"]["protocolVersion"], "2025-11-25")
        self.assertEqual(self.server.ask("initialize")["error"]["code"], -32602)
        self.assert_ends()

    def test_ping_and_methods_that_are_not_there(self):
        self.assertEqual(self.server.ask("ping"), {"result": {}})
        for method in ("server/discover", "resources/list", "", "PING"):
            self.assertEqual(self.server.ask(method)["error"]["code"], -32601)
        self.server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.server.send({"jsonrpc": "2.0", "method": "notifications/unknown"})
        self.server.send({"jsonrpc": "2.0", "id": 9, "result": {}})
        self.assert_ends()

    def test_tools_are_listed_with_schemas_of_their_arguments(self):
        tools = self.server.ask("tools/list")["result"]["tools"]
        self.assertEqual([tool["name"] for tool in tools], ["echo", "add", "slow", "progress"])
        for tool in tools:
            self.assertTrue(tool["description"])
            self.assertEqual(tool["inputSchema"]["type"], "object")
            self.assertLessEqual(set(tool["inputSchema"]["required"]),
                                 set(tool["inputSchema"]["properties"]))

    def test_what_is_no_message_is_answered_and_the_stream_goes_on(self):
        for line, code, number in (
                (b"{\n", -32700, None), (b"\xff\n", -32700, None), (b"[]\n", -32600, None),
                (b"1\n", -32600, None), (b'{"jsonrpc":"2.0","id":5}\n', -32600, 5),
                (b'{"jsonrpc":"1.0","id":"a","method":"ping"}\n', -32600, "a")):
            self.server.write(line)
            answer = self.server.receive()
            self.assertEqual((answer["error"]["code"], answer["id"]), (code, number), line)
            self.assertTrue(answer["error"]["message"])
        self.server.write(b"\n\r\n")
        self.server.write(b'{"jsonrpc":"2.0","id":6,"method":"ping"}\r\n')
        self.assertEqual(self.server.receive(), {"id": 6, "result": {}})
        self.assert_ends()

    def test_a_message_over_the_limit_is_answered_and_the_stream_goes_on(self):
        size = 11 << 20
        number = self.server.begin_call("echo", text="x" * size)
        answer = self.server.receive()
        self.assertEqual(answer["id"], number)
        self.assertIn("error", answer)
        self.assertEqual(self.server.call("echo", text="y"), ("y", False))
        # this fits, but not with what is around it in the answer
        text = "z" * ((10 << 20) - 110)
        self.server.begin_call("echo", text=text)
        answer = self.server.receive()
        self.assertTrue("error" in answer or text_of(answer) == (text, False))
        self.assert_ends()

    def test_a_batch_is_answered_message_by_message(self):
        self.server.send([{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(3)])
        self.assertEqual({self.server.receive()["id"] for _ in range(3)}, {0, 1, 2})


class Tools(Case):
    def test_echo_gives_any_text_back(self):
        for text in ("", "hello", "über \U0001f30d", "\"\\\b\x00\n\r", "x" * (1 << 20)):
            self.assertEqual(self.server.call("echo", text=text), (text, False))

    def test_add(self):
        for a, b, total in ((2, 3, "5"), (-1.5, 0.25, "-1.25"), (0.1, 0.2, "0.3"),
                            (1e300, 1e300, "2e+300")):
            self.assertEqual(self.server.call("add", a=a, b=b), (total, False))

    def test_wrong_arguments_are_told_to_the_model(self):
        for tool, arguments, word in (
                ("echo", {}, "text"), ("echo", {"text": 1}, "text"),
                ("add", {"a": 1}, "numbers"), ("add", {"a": "1", "b": 2}, "numbers"),
                ("add", {"a": 1e308, "b": 1e308}, "too large"),
                ("slow", {"ms": -1}, "ms"), ("slow", {"ms": 1.5}, "ms"),
                ("slow", {"ms": 60001}, "ms"), ("progress", {"steps": 0}, "steps"),
                ("progress", {"ms": "x"}, "ms")):
            text, is_error = self.server.call(tool, **arguments)
            self.assertTrue(is_error, tool)
            self.assertIn(word, text)
        for params in (None, {}, {"name": "none"}, {"name": 1}, []):
            self.assertEqual(self.server.ask("tools/call", params)["error"]["code"], -32602)

    def test_a_slow_call_holds_up_no_other_and_can_be_cancelled(self):
        slow = self.server.begin_call("slow", ms=60000)
        self.assertEqual(self.server.call("add", a=1, b=1), ("2", False))
        # one that is not under way
        self.server.send({"jsonrpc": "2.0", "method": "notifications/cancelled",
                          "params": {"requestId": "nobody's"}})
        self.assertEqual(self.server.call("echo", text="still"), ("still", False))
        self.assertEqual(self.server.errors, [])
        self.server.send({"jsonrpc": "2.0", "method": "notifications/cancelled",
                          "params": {"requestId": slow}})
        until(lambda: self.server.errors, "the tool to end")
        self.assertEqual(self.server.errors, ["slow: cancelled"])
        self.assert_ends()  # and nothing was answered

    def test_slow_waits(self):
        begin = time.monotonic()
        self.assertEqual(self.server.call("slow", ms=100), ("waited 100 ms", False))
        self.assertGreaterEqual(time.monotonic() - begin, 0.1)

    def test_many_calls_at_once(self):
        begin = time.monotonic()
        numbers = {self.server.begin_call("slow", ms=200) for _ in range(500)}
        self.assertEqual({self.server.receive()["id"] for _ in range(500)}, numbers)
        self.assertLess(time.monotonic() - begin, 500 * 0.2 / 4)

    def test_progress_is_told_to_who_asks_for_it(self):
        for token in ("mine", 7):
            number = self.server.begin_call("progress", token=token, steps=4, ms=1)
            for done in range(1, 5):
                self.assertEqual(self.server.receive(), {
                    "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": done, "total": 4}})
            answer = self.server.receive()
            self.assertEqual((answer["id"], text_of(answer)), (number, ("4 steps", False)))
        self.assertEqual(self.server.call("progress", ms=1), ("3 steps", False))


class Ends(Case):
    def test_stdin_ends_it_at_once(self):
        self.assert_ends()

    def test_calls_under_way_are_answered_before_the_end(self):
        number = self.server.begin_call("slow", ms=100)
        rest, status = self.server.end()
        self.assertEqual((json.loads(rest)["id"], status), (number, 0))

    def test_nobody_to_answer_is_told_and_ends_it(self):
        self.server.process.stdout.close()
        self.server.begin("ping")
        self.assertEqual(self.server.process.wait(PATIENCE), 1)
        self.server.reader.join()
        self.assertEqual(len(self.server.errors), 1)
        self.assertIn("Broken pipe", self.server.errors[0])


if __name__ == "__main__":
    unittest.main()
