#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120 not=tsan
"""weft replay: what weft bridge --record has recorded, played again as client and as server."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, Client, messages
from weftlib import PATIENCE, WEFT, Bridge, Case, free_port, run, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
MAX = ("--speed", "max")


def line(number, direction, message, at=0, run_name="00000001", **more):
    """A line of a recording, at seconds after midnight."""
    stamp = "2026-11-21T00:%02d:%09.6fZ" % divmod(at, 60)
    return json.dumps({"time": stamp, "run": run_name, "session": number,
                       "direction": direction, "transport": "http", "server": "server",
                       **more, "message": message}) + "\n"


def call(number, method="tools/call", params=None):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def result(number, value):
    return {"jsonrpc": "2.0", "id": number, "result": value}


class Replay(Case):
    def setUp(self):
        super().setUp()
        self.file = self.path("rec.jsonl")

    def write(self, *lines):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("".join(lines))

    def replay(self, *args, file=None):
        """(status, what it said)"""
        status, out, err = run("replay", *MAX, file or self.file, *args)
        self.assertEqual(out, b"")
        return status, err

    def server(self, *args):
        """As the server on stdin and stdout."""
        process = subprocess.Popen([WEFT, "replay", "--as", "server", *args, self.file],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        for pipe in (process.stdin, process.stdout, process.stderr):
            self.addCleanup(pipe.close)
        return process

    def say(self, process, *said):
        for message in said:
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()

    def hear(self, process):
        return json.loads(process.stdout.readline())

    def end(self, process):
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), 0)
        return process.stderr.read().decode()

    def record(self, work, *args):
        with Bridge("--record", self.file, *args, LISTEN, "--", *FIXTURE) as bridge:
            work(bridge)
            self.assertEqual(bridge.stop(), 0)


def converse(bridge):
    """Two sessions, with all that there is."""
    client = Client(bridge.port)
    client.initialize(capabilities={"sampling": {}})
    client.echo("one", number="a string")
    client.call("test_tool_with_progress", token="mine")
    client.ask("nothing/such")
    client.ask("tools/list")
    conn, response = client.post(call(9, params={"name": "test_sampling",
                                                 "arguments": {"prompt": "what?"}}))
    came = messages(response)
    question = next(m for m in came if m.get("method") == "sampling/createMessage")
    client.status("POST", json.dumps({
        "jsonrpc": "2.0", "id": question["id"],
        "result": {"role": "assistant", "content": {"type": "text", "text": "that"},
                   "model": "m"}}))
    next(m for m in came if m.get("id") == 9)
    conn.close()
    client.end()
    other = Client(bridge.port)
    other.initialize()
    other.echo("two")
    other.end()


class AsClient(Replay):
    def test_the_same_server_gives_the_same_answers(self):
        self.record(converse)
        status, said = self.replay("--", *FIXTURE)
        self.assertEqual((status, said), (
            0, "2 sessions, 8 requests: 8 answers the same, 0 different, 0 missing; "
               "0 not asked for\n"))

    def test_a_server_on_the_web_is_asked_too(self):
        self.record(converse)
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for url in (bridge.url, "sse+" + bridge.url.replace("/mcp", "/sse")):
                status, said = self.replay(url)
                self.assertEqual((status, said.split(":")[1]), (0, " 8 answers the same, "
                                 "0 different, 0 missing; 0 not asked for\n"), said)
            self.assertEqual(bridge.stop(), 0)

    def test_one_session_is_chosen(self):
        self.record(converse)
        status, said = self.replay("--session", "2", "--", *FIXTURE)
        self.assertEqual((status, said[:23]), (0, "1 session, 2 requests: "))

    def test_what_differs_is_said(self):
        self.write(line(3, "to_server", call(1, "a")), line(3, "to_client", result(1, {})),
                   line(3, "to_server", call(2, "b")),
                   line(3, "to_client", result(2, {"x": [1, {"y": "one"}], "z": 0})),
                   line(3, "to_server", call(3, "c")), line(3, "to_client", result(3, [1])),
                   line(3, "to_server", call(4, "d")), line(3, "to_client", result(4, "\u00e9")))
        self.file, recorded = self.path("other"), self.file
        self.write(line(3, "to_server", call(1, "a")), line(3, "to_client", result(1, {"more": 2})),
                   line(3, "to_server", call(2, "b")),
                   line(3, "to_client", result(2, {"z": 0, "x": [1, {"y": "two"}]})),
                   line(3, "to_server", call(3, "c")),
                   line(3, "to_client", {"jsonrpc": "2.0", "id": 3,
                                         "error": {"code": -1, "message": "no"}}),
                   line(3, "to_server", call(4, "d")),
                   line(3, "to_client", result(4, "\u00e9")))
        status, said = self.replay("--", WEFT, "replay", "--as", "server", self.file,
                                   file=recorded)
        self.assertEqual(status, 1)
        self.assertEqual(said.splitlines(), [
            "session 00000001/3, line 2: a: more: is not in the recording: 2",
            'session 00000001/3, line 4: b: x[1].y: recorded "one", came "two"',
            "session 00000001/3, line 6: c: recorded a result, came an error: "
            '{"code":-1,"message":"no"}',
            "1 session, 4 requests: 1 answer the same, 3 different, 0 missing; 0 not asked for"])

    def test_answers_that_do_not_come_are_missing(self):
        self.write(line(1, "to_server", call(1, "a")), line(1, "to_client", result(1, {})),
                   line(1, "to_server", call(2, "a")), line(1, "to_client", result(2, {})))
        status, said = self.replay("--read-timeout", "100ms", "--", "sh", "-c",
                                   "cat >/dev/null")
        self.assertEqual(status, 1)
        self.assertIn("line 2: a: no answer within 100 ms\n", said)
        self.assertIn("0 different, 2 missing", said)
        status, said = self.replay("--", "sh", "-c", "exit 7")
        self.assertEqual(status, 1)
        self.assertIn("exited with status 7", said)

    def test_what_the_server_asks_beyond_the_recording_is_told(self):
        self.write(line(1, "to_server", call(1, "a")), line(1, "to_client", result(1, {})))
        server = ('read x; echo \'{"jsonrpc":"2.0","id":"q","method":"roots/list"}\'; read y; '
                  'echo "$y" >&2; id=$(echo "$x" | sed "s/.*\\"id\\":\\([0-9]*\\).*/\\1/"); '
                  'echo "{\\"jsonrpc\\":\\"2.0\\",\\"id\\":$id,\\"result\\":{}}"; cat')
        status, said = self.replay("--log-level", "info", "--", "sh", "-c", server)
        self.assertEqual(status, 1)
        self.assertIn("roots/list: the server asks this, and did not in the recording", said)
        self.assertIn('"error":{"code":-32601', said)
        self.assertIn("1 answer the same, 0 different, 0 missing; 1 not asked for", said)

    def test_a_request_that_was_cancelled_is_cancelled(self):
        self.write(line(1, "to_server", call(5, "a")),
                   line(1, "to_server", {"jsonrpc": "2.0", "method": "notifications/cancelled",
                                         "params": {"requestId": 5}}),
                   line(1, "to_server", call(6, "b")), line(1, "to_client", result(6, {})))
        server = ('read a; read c; read b; echo "$c" >&2; '
                  'id=$(echo "$b" | sed "s/.*\\"id\\":\\([0-9]*\\).*/\\1/"); '
                  'echo "{\\"jsonrpc\\":\\"2.0\\",\\"id\\":$id,\\"result\\":{}}"; cat')
        status, said = self.replay("--log-level", "info", "--", "sh", "-c", server)
        self.assertEqual(status, 0, said)
        self.assertIn("notifications/cancelled", said)

    def test_the_time_between_messages_is_kept_or_shortened(self):
        self.write(line(1, "to_server", call(1, "a"), at=10),
                   line(1, "to_client", result(1, {}), at=10.1),
                   line(1, "to_server", call(2, "a"), at=12),
                   line(1, "to_client", result(2, {}), at=12.1))
        server = [WEFT, "replay", *MAX, "--as", "server", self.file]
        for speed, least, most in (("4", 0.5, 1.9), ("max", 0, 1.9)):
            begin = time.monotonic()
            status, _, err = run("replay", "--speed", speed, self.file, "--", *server)
            took = time.monotonic() - begin
            self.assertEqual(status, 0, err)
            self.assertGreaterEqual(took, least)
            if os.environ.get("WEFT_FLAVOUR") != "tsan":
                self.assertLess(took, most + 10)

    def test_a_server_that_is_not_there_is_an_error(self):
        self.write(line(1, "to_server", call(1, "a")), line(1, "to_client", result(1, {})))
        port = free_port()
        status, said = self.replay(f"tcp://127.0.0.1:{port}")
        self.assertEqual(status, 1)
        self.assert_one_line(said, f"127.0.0.1:{port}", "refused")
        status, said = self.replay("--", "no-such-program")
        self.assertEqual(status, 1)
        self.assert_one_line(said, "no-such-program")


class AsServer(Replay):
    def test_a_recording_stands_for_the_server_behind_a_bridge(self):
        self.record(converse)
        with Bridge(LISTEN, "--", WEFT, "replay", *MAX, "--as", "server", self.file) as bridge:
            client = Client(bridge.port)
            answer = client.initialize(version="2025-06-18")
            self.assertEqual(answer["result"]["serverInfo"]["name"], "fixture")
            self.assertEqual(client.echo("two"), "two")
            self.assertEqual(client.echo("one"), "one")
            client.call("test_tool_with_progress", token=77)
            self.assertEqual([m["params"]["progressToken"] for m in client.other], [77] * 3)
            self.assertEqual(client.ask("nothing/such")["error"]["code"], -32601)
            self.assertEqual(client.call("echo", {"text": "three"})["error"]["code"], -32602)
            self.assertEqual(client.ask("ping")["result"], {})
            client.end()
            self.assertEqual(bridge.stop(), 0)

    def test_the_client_is_asked_as_it_was(self):
        self.record(converse)
        server = self.server(*MAX)
        self.say(server, call("x", params={"arguments": {"prompt": "what?"},
                                           "name": "test_sampling"}))
        question = self.hear(server)
        self.assertEqual(question["method"], "sampling/createMessage")
        self.assertEqual(question["params"]["messages"][0]["content"]["text"], "what?")
        self.say(server, result(question["id"], {"whatever": True}))
        answer = self.hear(server)
        self.assertEqual((answer["id"], answer["result"]["content"][0]["text"]),
                         ("x", "LLM response: that"))
        self.assertEqual(self.end(server), "")

    def test_the_same_request_gets_one_answer_after_the_other(self):
        self.write(*(line(n, *what) for n in (1, 2, 3) for what in (
            ("to_server", call(7, "count", {"a": 1, "b": [2]})),
            ("to_client", result(7, n)))))
        server = self.server(*MAX)
        for number, expected in enumerate((1, 2, 3, 3, 3)):
            self.say(server, call(number, "count", {"b": [2], "_meta": {"n": number}, "a": 1}))
            self.assertEqual(self.hear(server), result(number, expected))
        self.say(server, call(1, "count", {"a": 1, "b": [3]}), call(2, "nothing"))
        answers = sorted((self.hear(server) for _ in range(2)), key=lambda m: m["id"])
        self.assertEqual([m["error"]["code"] for m in answers], [-32602, -32601])
        said = self.end(server)
        self.assertIn('weft: count: the recording has this method only with other params: {"', said)
        self.assertIn("weft: nothing: the recording does not have this method\n", said)

    def test_what_came_belongs_to_the_request_that_was_open(self):
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": 1}}
        self.write(line(1, "to_server", call(1, "first")), line(1, "to_server", call(2, "second")),
                   line(1, "to_client", result(2, 2)), line(1, "to_client", note),
                   line(1, "to_client", result(1, 1)))
        server = self.server(*MAX)
        self.say(server, call("s", "second"))
        self.assertEqual(self.hear(server), result("s", 2))
        self.say(server, call("f", "first"))
        self.assertEqual([self.hear(server), self.hear(server)], [note, result("f", 1)])
        self.end(server)

    def test_a_cancelled_request_is_not_answered(self):
        self.write(line(1, "to_server", call(1, "slow")),
                   line(1, "to_client", result(1, "late"), at=600),
                   line(1, "to_server", call(2, "quick"), at=601),
                   line(1, "to_client", result(2, "soon"), at=601))
        server = self.server()
        self.say(server, call("s", "slow"), {"jsonrpc": "2.0", "method": "notifications/cancelled",
                                             "params": {"requestId": "s"}},
                 call("q", "quick"))
        self.assertEqual(self.hear(server), result("q", "soon"))
        self.end(server)

    def test_garbage_is_answered_and_what_follows_served(self):
        self.write(line(1, "to_server", call(1, "a")), line(1, "to_client", result(1, 5)))
        server = self.server(*MAX)
        server.stdin.write(b"garbage\n")
        self.say(server, call(8, "a"))
        self.assertEqual(sorted(str(self.hear(server).get("result")) for _ in range(2)),
                         ["5", "None"])
        self.end(server)


class Files(Replay):
    good = line(1, "to_server", call(1, "a")) + line(1, "to_client", result(1, {}))
    me = (WEFT, "replay", *MAX, "--as", "server")

    def play(self):
        return self.replay("--", *self.me, self.file)

    def test_a_last_line_that_is_torn_is_a_warning(self):
        for torn in ('{"time":"2026-11', line(1, "to_server", call(2, "a"))[:-5]):
            self.write(self.good, torn)
            status, said = self.play()
            self.assertEqual(status, 0)
            self.assertIn(f"{self.file}: line 3, the last, is not whole: left out\n", said)
        self.write(self.good[:-1])  # whole, but for its end
        self.assertEqual(self.play()[0], 0)
        self.assertNotIn("whole", self.play()[1])

    def test_a_torn_line_in_the_middle_is_one_that_is_marked(self):
        mark = '{"time":"2026-11-21T00:00:00.000000Z","run":"00000002","torn":true}\n'
        self.write('{"time":"2026-11\n', mark, self.good)
        status, said = self.play()
        self.assertEqual(status, 0)
        self.assertIn("1 line is not whole, where", said)
        for lines in (('{"time":"2026-11\n', self.good), ('{"t\n', '{"t\n', mark, self.good),
                      ('{"t\n',)):
            self.write(*lines)
            status, said = self.play()
            self.assertEqual(status, 2, said)
            self.assert_one_line(said, f"{self.file}: line 1: JSON")

    def test_what_was_lost_is_said(self):
        self.write('{"time":"2026-11-21T00:00:00.000000Z","run":"00000002","lost":12}\n',
                   line(1, "to_server", "{", invalid="no JSON"), self.good)
        status, said = self.play()
        self.assertEqual(status, 0)
        self.assertIn("12 messages were lost", said)
        self.assertIn("1 that is no message", said)

    def test_a_line_that_is_wrong_is_named_and_why(self):
        first = json.loads(line(1, "to_server", call(1, "a")))
        for change, why in (({"time": "yesterday"}, '"time"'), ({"run": 5}, '"run"'),
                            ({"session": "one"}, '"session"'), ({"session": -1}, '"session"'),
                            ({"direction": "up"}, '"direction"'), ({"message": {}}, '"message"'),
                            ({"message": [call(1)]}, "batch"), ({"message": None}, '"message"')):
            self.write(self.good, json.dumps({**first, **change}) + "\n", self.good)
            status, said = self.play()
            self.assertEqual(status, 2, change)
            self.assert_one_line(said, f"{self.file}: line 3: ", why)
        self.write("5\n", self.good)
        self.assert_one_line(self.play()[1], "line 1: no object")

    def test_a_line_that_is_too_large_is_named(self):
        self.write(self.good, line(1, "to_server", call(2, "a", {"x": "y" * 700000})))
        status, said = self.replay("--max-message-size", "100KB", "--", "cat")
        self.assertEqual(status, 2)
        self.assert_one_line(said, "line 3: ", "100000 bytes (--max-message-size)")
        status, said = self.play()
        self.assertEqual(status, 0, said)

    def test_what_is_no_recording_is_refused(self):
        os.mkfifo(self.path("fifo"))
        open(self.path("empty"), "w", encoding="ascii").close()
        for name, why in (("nothing", "No such file"), ("fifo", "not a file"), ("", "not a file"),
                          ("empty", "no message")):
            status, said = self.replay("--", "cat", file=self.path(name))
            self.assertEqual(status, 2)
            self.assert_one_line(said, self.path(name), why)

    def test_a_session_of_several_runs_has_to_be_said(self):
        self.write(self.good, *(line(*what, run_name="abcdef99") for what in (
            (1, "to_server", call(1, "a")), (1, "to_client", result(1, {})),
            (2, "to_server", call(1, "a")), (2, "to_client", result(1, {})))))
        for session, sessions in (("2", 1), ("abcdef99/1", 1), ("00000001/1", 1)):
            status, said = self.replay("--session", session, "--", *self.me, self.file)
            self.assertEqual(status, 0)
            self.assertEqual(said[:10], f"{sessions} session,")
        self.assertEqual(self.play()[1][:11], "3 sessions,")
        for session, why in (("1", "00000001/1 or abcdef99/1"), ("3", "no session 3"),
                             ("00000001/2", "no session"), ("x", "neither"), ("a/1", "neither")):
            status, said = self.replay("--session", session, "--", "cat")
            self.assertEqual(status, 2)
            self.assert_one_line(said, why)

    def test_the_sessions_of_one_server_are_chosen(self):
        self.write(self.good, self.good.replace('"session": 1', '"session": 2')
                   .replace('"server": "server"', '"server": "other \\"one\\""'))
        status, said = self.replay("--server", 'other "one"', "--", *self.me, self.file)
        self.assertEqual((status, said[:10]), (0, "1 session,"))
        status, said = self.replay("--server", "none", "--", "cat")
        self.assertEqual(status, 2)
        self.assert_one_line(said, "no message of server none")

    def test_arguments_are_checked(self):
        self.write(self.good)
        for args, why in (((), "FILE is missing"), ((self.file,), "TO is missing"),
                          (("--as", "server", self.file, "tcp://:1"), "leave TO out"),
                          (("--as", "both", self.file, "tcp://:1"), "client or server"),
                          (("--speed", "-1", self.file, "tcp://:1"), "--speed"),
                          (("--speed", "1e3", self.file, "tcp://:1"), "--speed"),
                          (("--speed", "nan", self.file, "tcp://:1"), "--speed"),
                          (("--speed", "0", self.file, "tcp://:1"), "--speed"),
                          ((self.file, "tcp://:1", "--", "cat"), "both TO"),
                          ((self.file, "listen:tcp://:1"), "leave listen: out"),
                          ((self.file, "mux+tcp://:1"), "mux+"),
                          ((self.file, "stdio:"), "standard input"),
                          ((self.file, "http://127.0.0.1:1#ca=x"), "TO")):
            status, out, err = run("replay", *args)
            self.assertEqual((status, out), (2, b""), (args, err))
            self.assert_one_line(err, why)

    def test_the_help_and_the_manual_list_the_same_flags(self):
        status, out, _ = run("replay", "--help")
        self.assertEqual(status, 0)
        self.assertEqual(run("help", "replay")[1], out)
        known = set(re.findall(r"^  (--[a-z-]+)", out.decode(), re.MULTILINE))
        with open(os.path.join(os.environ["WEFT_SRC"], "man", "weft-replay.1"),
                  encoding="utf-8") as file:
            listed = set(re.findall(r"^\.It Fl \\-([a-z-]+)", file.read(), re.MULTILINE))
        self.assertEqual({"--" + name for name in listed}, known)

    def test_a_recording_that_was_killed_under_load_is_played(self):
        with Bridge("--record", self.file, LISTEN, "--", *FIXTURE) as bridge:
            client = Client(bridge.port)
            client.initialize()
            for turn in range(20):
                client.echo(f"{turn} " + "x" * 2000)
            until(lambda: os.path.getsize(self.file) > 40000, "the lines")
            bridge.stop(signal.SIGKILL)
        os.truncate(self.file, os.path.getsize(self.file) - 100)
        status, said = self.replay("--", *FIXTURE)
        self.assertEqual(status, 0, said)
        self.assertIn("the last, is not whole", said)


if __name__ == "__main__":
    unittest.main()
