#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""weft bridge --record: what stands in the file, whatever happens to the file, the disk or the
bridge."""
import json
import os
import resource
import signal
import stat
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, Client
from weftlib import Bridge, Case, run, until

LISTEN = "listen:http://127.0.0.1:0/mcp"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


class Recording(Case):
    def setUp(self):
        super().setUp()
        self.file = self.path("rec.jsonl")

    def bridge(self, *args, **kwargs):
        bridge = Bridge("--record", self.file, *args, LISTEN, "--", *FIXTURE, **kwargs)
        self.enterContext(bridge)
        return bridge

    def text(self):
        with open(self.file, "rb") as file:
            return file.read()

    def lines(self):
        """Each line must be whole."""
        text = self.text()
        self.assertTrue(text.endswith(b"\n") or not text, text[-200:])
        return [json.loads(line) for line in text.splitlines()]

    def echoes(self, lines):
        return [line["message"]["params"]["arguments"]["text"] for line in lines
                if line.get("direction") == "to_server"
                and line["message"].get("method") == "tools/call"]


class Lines(Recording):
    def test_each_message_is_a_line(self):
        bridge = self.bridge()
        client = Client(bridge.port)
        client.initialize()
        self.assertEqual(client.echo("h\u00e9 \"quoted\"", number="my id"), "h\u00e9 \"quoted\"")
        session = client.session
        client.end()
        self.assertEqual(bridge.stop(), 0)
        self.assertNotIn(session.encode(), self.text())
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        lines = self.lines()
        for line in lines:
            self.assertRegex(line["time"], f"^{TIME}$")
            self.assertRegex(line["run"], "^[0-9a-f]{8}$")
            self.assertEqual((line["session"], line["transport"], line["server"]),
                             (1, "http", "server"))
        self.assertEqual(
            [(line["direction"], line["message"].get("method"), line["message"].get("id"))
             for line in lines],
            [("to_server", "initialize", 1), ("to_client", None, 1),
             ("to_server", "notifications/initialized", None),
             ("to_server", "tools/call", "my id"), ("to_client", None, "my id")])
        self.assertEqual(lines[4]["message"]["result"]["content"][0]["text"], "h\u00e9 \"quoted\"")

    def test_what_is_no_message_is_a_text(self):
        status, out, _ = run("bridge", "--record", self.file, "stdio:", "http://127.0.0.1:1/mcp",
                             stdin=b'{"a":\xff"\n{"jsonrpc":"1.0"}\n')
        self.assertEqual(status, 0, out)
        lines = [line for line in self.lines() if line["direction"] == "to_server"]
        self.assertEqual([line["message"] for line in lines], ['{"a":\ufffd"', '{"jsonrpc":"1.0"}'])
        self.assertTrue(all(line["invalid"] for line in lines))
        self.assertEqual({line["transport"] for line in lines}, {"stdio"})

    def test_sessions_stay_in_order_under_load(self):
        bridge = self.bridge("--session", "shared")

        def work(number):
            client = Client(bridge.port)
            client.initialize()
            for turn in range(20):
                client.echo(f"{number}-{turn}")
            client.end()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(bridge.stop(), 0)
        lines = self.lines()
        sessions = {line["session"] for line in lines}
        self.assertEqual(len(sessions), 6)
        for session in sessions:
            mine = [line for line in lines if line["session"] == session]
            texts = self.echoes(mine)
            number = texts[0].split("-")[0]
            self.assertEqual(texts, [f"{number}-{turn}" for turn in range(20)])
            # an answer comes after its request, before the next request
            self.assertEqual([line["message"]["id"] for line in mine if "id" in line["message"]],
                             [n for n in range(1, 22) for _ in (1, 2)])


class Breaks(Recording):
    def test_a_kill_leaves_whole_lines_and_the_next_run_goes_on(self):
        for _ in range(3):
            bridge = self.bridge()
            client = Client(bridge.port)
            client.initialize()
            stop = threading.Event()

            def work(client=client, stop=stop):
                while not stop.is_set():
                    try:
                        client.echo("x" * 5000)
                    except (OSError, AssertionError, ValueError):
                        return
            thread = threading.Thread(target=work)
            before = os.path.getsize(self.file) if os.path.exists(self.file) else 0
            thread.start()
            until(lambda before=before: os.path.getsize(self.file) > before + 100000, "lines")
            bridge.stop(signal.SIGKILL)
            stop.set()
            thread.join()
        lines = [json.loads(line) for line in self.text().splitlines(keepends=True)
                 if line.endswith(b"\n")]
        self.assertEqual(len({line["run"] for line in lines}), 3)

    def test_a_torn_line_is_ended_by_the_next_run(self):
        with open(self.file, "wb") as file:
            file.write(b'{"time":"2026-01-01T00:00:00.000000Z","run":"00000000","ses')
        bridge = self.bridge()
        Client(bridge.port).initialize()
        self.assertEqual(bridge.stop(), 0)
        self.assertTrue(bridge.has_line("others than its owner may read it"))
        torn, mark, first, *_ = self.text().splitlines()
        self.assertTrue(torn.endswith(b'"ses'))
        self.assertIs(json.loads(mark)["torn"], True)
        self.assertEqual(json.loads(first)["message"]["method"], "initialize")

    def test_a_full_disk_pauses_the_recording_and_nothing_else(self):
        bridge = self.bridge(preexec=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY)))
        client = Client(bridge.port)
        client.initialize()
        for turn in range(40):
            self.assertEqual(client.echo(f"{turn} " + "y" * 1000), f"{turn} " + "y" * 1000)
        bridge.await_line("pauses: File too large")
        self.lines()  # all whole
        self.assertLessEqual(os.path.getsize(self.file), 20000)
        client.echo("meanwhile")
        self.assertEqual(sum("pauses" in line for line in bridge.lines), 1)
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        bridge.await_line("goes on: 0 messages were left out")
        client.echo("after")
        self.assertEqual(bridge.stop(), 0)
        texts = self.echoes(self.lines())
        self.assertEqual([text.split()[0] for text in texts],
                         [str(n) for n in range(40)] + ["meanwhile", "after"])

    def test_what_a_full_disk_did_not_take_is_counted(self):
        # messages of 8 MB: two wait, more are left out
        bridge = self.bridge(preexec=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY)))
        client = Client(bridge.port)
        client.initialize()
        big = "z" * 4000000
        for _ in range(4):
            self.assertEqual(client.echo(big), big)
        bridge.await_line("pauses")
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        bridge.await_line("goes on")
        self.assertEqual(client.echo("after"), "after")
        self.assertEqual(bridge.stop(), 0)
        lines = self.lines()
        lost = sum(line.get("lost", 0) for line in lines)
        self.assertGreater(lost, 0)
        self.assertEqual(len([line for line in lines if "message" in line]) + lost, 3 + 8 + 2)
        until(lambda: bridge.has_line(f"goes on: {lost} messages"), bridge.lines)

    def test_a_disk_that_stays_full_does_not_hold_up_the_end(self):
        bridge = self.bridge(preexec=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY)))
        Client(bridge.port).initialize()
        bridge.await_line("pauses")
        self.assertEqual(bridge.stop(), 0)
        self.assertTrue(bridge.has_line("ends: 3 messages were left out"), bridge.lines)
        self.assertEqual(self.text(), b"")

    def test_a_file_that_was_moved_away_is_left_at_sighup(self):
        bridge = self.bridge("--log-level", "info")
        client = Client(bridge.port)
        client.initialize()
        client.echo("one")
        until(lambda: b"one" in self.text(), "the line")
        bridge.send(signal.SIGHUP)  # the same file: nothing changes
        bridge.await_line("read again")
        client.echo("two")
        os.rename(self.file, self.path("old"))
        client.echo("three")
        bridge.send(signal.SIGHUP)
        until(lambda: os.path.exists(self.file), "the new file")
        client.echo("four")
        self.assertEqual(bridge.stop(), 0)
        new = self.echoes(self.lines())
        self.file = self.path("old")
        self.assertEqual(self.echoes(self.lines()) + new, ["one", "two", "three", "four"])
        self.assertIn("four", new)

    def test_two_bridges_do_not_share_a_file(self):
        self.bridge()
        status, _, err = run("bridge", "--record", self.file, LISTEN, "--", *FIXTURE)
        self.assertEqual(status, 1)
        self.assert_one_line(err, self.file, "another process records to it")


class Refused(Recording):
    def test_what_is_no_file_is_no_recording(self):
        os.mkfifo(self.path("fifo"))
        for path, why in ((self.folder, "is a directory"), ("/dev/full", "is a device"),
                          (self.path("fifo"), "a FIFO"), ("", "empty")):
            status, _, err = run("bridge", "--record", path, LISTEN, "--", "cat")
            self.assertEqual(status, 2, err)
            self.assert_one_line(err, "--record", path, why)

    def test_another_file_is_not_appended_to(self):
        with open(self.file, "wb") as file:
            file.write(b"root:x:0:0\n")
        status, _, err = run("bridge", "--record", self.file, LISTEN, "--", "cat")
        self.assertEqual(status, 1)
        self.assert_one_line(err, self.file, "no recording")
        self.assertEqual(self.text(), b"root:x:0:0\n")

    def test_a_folder_that_is_not_there_is_told(self):
        status, _, err = run("bridge", "--record", self.path("no/such"), LISTEN, "--", "cat")
        self.assertEqual(status, 1)
        self.assert_one_line(err, "no/such", "no such file or directory")

    def test_bytes_are_not_recorded(self):
        status, _, err = run("bridge", "--record", self.file, "listen:tcp://:0", "tcp://:1")
        self.assertEqual(status, 2)
        self.assert_one_line(err, "--record", "http")
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main()
