#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=120
"""Chromium's EventSource on a page of weft's server."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from peerlib import Chromium, PeerCase, WeftServer, main  # noqa: E402


class ChromiumListens(PeerCase):
    def test_event_source_reconnects_with_the_last_id_until_204(self):
        with WeftServer() as server:
            with Chromium(server.base + "/page", self.folder) as browser:
                try:
                    log = json.loads(server.await_line("report ")[len("report "):])
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{browser.story()}") from None
        wanted = []
        for first in (1, 4, 7):
            wanted.append(["open"])
            wanted += [["tick", str(i), f"number {i}\nsecond line"]
                       for i in range(first, first + 3)]
            wanted.append(["error", 0])
        wanted.append(["error", 2])  # 204: closed
        # Its parser is the yardstick of what is in /events/raw.
        wanted += [["message", "", "first"], ["message", "", "second"], ["message", "5", "third"],
                   ["message", "5", ""], ["other", "5", " two spaces\n"],
                   ["message", "", "\u00e9\ufffd"], ["end"]]
        self.assertEqual(log, wanted)


if __name__ == "__main__":
    main()
