#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=200 not=tsan
"""The soak of the mux in its short form: nothing grows; and what would be seen if it did."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

TOOLS = os.path.join(os.environ["WEFT_SRC"], "tools")
sys.path.insert(0, TOOLS)
import soak_mux  # pylint: disable=wrong-import-position

SECONDS = "1"
ALL = 2e6  # bytes, or KiB: of what does not grow


def rests(cycles, key, value):
    """As of a soak; value(cycle) of key."""
    return [{"t": cycle, "cycle": cycle, "pattern": "opens",
             "server": {"blocks": 40, "heap": ALL, "rss": ALL, "peak": ALL, "pte": ALL,
                        key: value(cycle)}}
            for cycle in range(cycles)]


class MuxSoak(unittest.TestCase):
    def soak(self, *leak, only=""):
        """Its status, what it said, and its folder's summary."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, os.path.join(TOOLS, "soak_mux.py"), SECONDS,
                                   *leak], env=dict(os.environ, SOAK_MUX_OUT=folder,
                                                   SOAK_MUX_ONLY=only),
                                  capture_output=True, text=True, timeout=150, check=False)
            with open(os.path.join(folder, "summary.json"), encoding="ascii") as file:
                summary = json.load(file)
            with open(os.path.join(folder, "samples.jsonl"), encoding="ascii") as file:
                kinds = {kind for line in file for kind in json.loads(line)}
            svg = xml.dom.minidom.parse(os.path.join(folder, "memory.svg"))
        self.assertEqual(kinds, {"sample", "rest"})
        self.assertGreater(len(svg.getElementsByTagName("polyline")), 5)
        self.assertGreater(len(svg.getElementsByTagName("path")), 5)
        return done.returncode, done.stderr, summary

    def test_streams_and_sessions_that_come_and_go_leave_nothing(self):
        status, said, summary = self.soak()
        self.assertEqual((status, summary["wrong"]), (0, []), said)
        self.assertGreater(summary["streams"]["server"], 50000)
        self.assertGreaterEqual(summary["killed"], 10)

    def test_one_lost_stream_in_ten_thousand_is_seen(self):
        status, said, summary = self.soak("stream:10000", only="16 at a time")
        self.assertEqual(status, 1, said)
        self.assertIn("server: blocks grew", said)
        self.assertTrue(any("server: " in line for line in summary["wrong"]), said)

    def test_a_small_block_lost_with_one_stream_in_ten_thousand_is_seen(self):
        status, said, _ = self.soak("block:10000", only="16 at a time")
        self.assertEqual(status, 1, said)
        self.assertIn("server: blocks grew", said)

    def test_growth_is_what_the_last_quarter_has_and_the_first_half_had_not(self):
        for key, value, is_wrong in (
                ("rss", lambda cycle: ALL, False),
                ("rss", lambda cycle: ALL * (1 + cycle / 100), True),
                ("rss", lambda cycle: ALL * (1 + cycle % 2), False),  # up and down
                ("rss", lambda cycle: ALL * (1 + (cycle // 5) % 2), False),
                ("rss", lambda cycle: ALL * min(cycle, 4), False),    # until it is steady
                ("peak", lambda cycle: ALL + 20000 * cycle, True),
                ("pte", lambda cycle: ALL + 20000 * cycle, True),
                ("heap", lambda cycle: ALL + 5000 * cycle, True),
                ("heap", lambda cycle: ALL + 5000 * (cycle % 7), False),
                ("blocks", lambda cycle: 40 + cycle // 3, True),
                ("blocks", lambda cycle: 40 + cycle % 3, False)):
            with self.subTest(key=key):
                found = soak_mux.judge(rests(20, key, value), True)
                self.assertEqual(bool(found), is_wrong, found)

    def test_what_the_system_says_is_not_looked_at_in_the_short_form(self):
        self.assertEqual(soak_mux.judge(rests(8, "rss", lambda cycle: ALL * cycle), False), [])


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
