#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server of the Model Context Protocol's era without sessions (2026-07-28), with what the
protocol's conformance suite asks for: over stdio, which is what is behind the bridge, and with
--http over HTTP by itself, which is what that is compared with. Nothing of it is weft's.

    mcp_modern.py            a message a line
    mcp_modern.py --dual     the same, and who begins with initialize is served by mcp_fixture.py
    mcp_modern.py --http     writes "listening PORT"; ends when its stdin does
"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import select
import sys
import threading

import mcp_fixture
from mcp_fixture import NO_ARGUMENTS, Refused, text

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
INVALID_PARAMS, NOT_FOUND = -32602, -32601
HEADER_MISMATCH, CAPABILITY_MISSING, VERSION_UNSUPPORTED = -32020, -32021, -32022
STATUS = {NOT_FOUND: 404, HEADER_MISMATCH: 400, CAPABILITY_MISSING: 400, VERSION_UNSUPPORTED: 400}
# Another process does not take what this one has signed.
KEY = os.urandom(16)


class Detailed(Refused):
    """A JSON-RPC error with data; HTTP's status for it, if not the usual one."""

    def __init__(self, code, words, data=None, status=None):
        super().__init__(code, words)
        self.data = data
        self.status = status


class Call:
    """A request, and the way back to who made it."""

    def __init__(self, message, send, is_http=False):
        self.message = message
        self.is_http = is_http
        self.params = message.get("params") or {}
        self.meta = self.params.get("_meta") or {}
        self.send = send
        self.over = threading.Event()  # cancelled, or its client is gone

    def notify(self, method, params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def declares(self, capability):
        return capability in self.meta[META + "clientCapabilities"]


# --- questions to the client ----------------------------------------------------------------

class Question(Exception):
    """What a result waits for: the client is to ask again, with answers."""

    def __init__(self, requests, state=None):
        super().__init__("input is required")
        self.requests = requests
        self.state = state


def elicitation(message, **properties):
    return {"method": "elicitation/create", "params": {
        "mode": "form", "message": message,
        "requestedSchema": {"type": "object", "required": list(properties),
                            "properties": {name: {"type": kind}
                                           for name, kind in properties.items()}}}}


def sampling(words):
    return {"method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": text(words)}], "maxTokens": 100}}


NAME = elicitation("What is your name?", name="string")
ROOTS = {"method": "roots/list", "params": {}}


def signed(value):
    body = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    return body + "." + hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest()


def verified(call):
    """What the state that came back says; None: none came."""
    state = call.params.get("requestState")
    if state is None:
        return None
    body, _, mac = str(state).partition(".")
    if not hmac.compare_digest(mac, hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest()):
        raise Refused(INVALID_PARAMS, "requestState is not what this server gave")
    return json.loads(base64.urlsafe_b64decode(body))


def answers(call, requests, state=None):
    """The client's answers to requests; without all of them it is asked."""
    given = call.params.get("inputResponses")
    if given is not None and not isinstance(given, dict):
        raise Refused(INVALID_PARAMS, "inputResponses is no object")
    given = given or {}
    if not all(isinstance(given.get(name), dict) for name in requests):
        raise Question(requests, state)
    return given


# --- tools ----------------------------------------------------------------------------------

# Those of the older era that ask nothing of the client while they run.
TOOLS = {name: mcp_fixture.TOOLS[name] for name in (
    "test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource",
    "test_multiple_content_types", "test_tool_with_progress", "test_error_handling",
    "json_schema_2020_12_tool", "echo")}


def tool(name, description, schema=None):
    def keep(function):
        TOOLS[name] = (function, {"name": name, "description": description,
                                  "inputSchema": schema or NO_ARGUMENTS})
        return function
    return keep


@tool("test_missing_capability", "Needs a client that has a model")
def missing_capability(call, _arguments, _token):
    if not call.declares("sampling"):
        raise Detailed(CAPABILITY_MISSING, "the client does not support sampling",
                       {"requiredCapabilities": {"sampling": {}}})
    return [text("The client has a model.")]


@tool("test_streaming_elicitation", "Asks the user, after some progress")
def streaming_elicitation(call, _arguments, token):
    if token is not None:
        call.notify("notifications/progress", {"progressToken": token, "progress": 1})
    return [text("Hello, %s!" % answers(call, {"user_name": NAME})["user_name"]["content"])]


@tool("test_logging_tool", "Logs, for who wants it")
def logging(call, _arguments, _token):
    if META + "logLevel" in call.meta:
        call.notify("notifications/message", {"level": "info", "data": "logged"})
    return [text("done")]


@tool("test_tool_with_headers", "Answers with what went into fields", {
    "type": "object", "required": ["region"],
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"},
                   "priority": {"type": "integer", "x-mcp-header": "Priority"},
                   "verbose": {"type": "boolean", "x-mcp-header": "Verbose"},
                   "query": {"type": "string"}}})
def headers(_call, arguments, _token):
    return [text(json.dumps(arguments, sort_keys=True))]


@tool("test_trigger_tool_change", "Tells who listens that the tools have changed")
def tools_changed(_call, _arguments, _token):
    tell("toolsListChanged", "notifications/tools/list_changed")
    return [text("told")]


@tool("test_trigger_prompt_change", "Tells who listens that the prompts have changed")
def prompts_changed(_call, _arguments, _token):
    tell("promptsListChanged", "notifications/prompts/list_changed")
    return [text("told")]


@tool("wait", "Says that it has begun, and does not end until it is cancelled")
def wait(call, _arguments, token):
    mcp_fixture.tell(call, token, 0)
    call.over.wait()
    return [text("cancelled")]


@tool("cancelled", "Answers with how many calls were cancelled so far")
def count_cancelled(_call, _arguments, _token):
    return [text(str(cancellations))]


@tool("unsubscribe", "Ends whatever listens")
def unsubscribe(_call, _arguments, _token):
    with lock:
        ended = [call for call, _ in listeners if not call.over.is_set()]
    for call in ended:
        call.over.set()
        if not call.is_http:  # there its stream ends
            call.notify("notifications/cancelled", {"requestId": call.message["id"]})
    return [text(str(len(ended)))]


@tool("process", "Answers with the server's process id")
def process(_call, _arguments, _token):
    return [text(str(os.getpid()))]


@tool("test_input_required_result_elicitation", "Asks the user's name")
def ask_name(call, _arguments, _token):
    content = answers(call, {"user_name": NAME})["user_name"].get("content", {})
    return [text("Hello, %s!" % content.get("name"))]


@tool("test_input_required_result_sampling", "Asks the client's model")
def ask_model(call, _arguments, _token):
    given = answers(call, {"capital_question": sampling("What is the capital of France?")})
    return [text(json.dumps(given["capital_question"].get("content")))]


@tool("test_input_required_result_list_roots", "Asks for the client's roots")
def ask_roots(call, _arguments, _token):
    return [text(json.dumps(answers(call, {"client_roots": ROOTS})["client_roots"]))]


def confirmed(call):
    request = {"confirm": elicitation("Please confirm", ok="boolean")}
    if verified(call) != "confirm":
        raise Question(request, signed("confirm"))
    answers(call, request, signed("confirm"))
    return [text("state-ok")]


@tool("test_input_required_result_request_state", "Asks, and knows its question again")
def ask_with_state(call, _arguments, _token):
    return confirmed(call)


@tool("test_input_required_result_tampered_state", "The same")
def ask_with_tampered_state(call, _arguments, _token):
    return confirmed(call)


@tool("test_input_required_result_multiple_inputs", "Asks three things at once")
def ask_all(call, _arguments, _token):
    verified(call)
    given = answers(call, {"user_name": NAME, "greeting": sampling("Generate a greeting"),
                           "client_roots": ROOTS}, signed("all"))
    return [text(json.dumps(given))]


@tool("test_input_required_result_multi_round", "Asks twice, one after the other")
def ask_twice(call, _arguments, _token):
    first = {"step1": elicitation("Step 1: What is your name?", name="string")}
    second = {"step2": elicitation("Step 2: What is your favorite color?", color="string")}
    state = verified(call)
    if state is None:
        raise Question(first, signed({"round": 1}))
    if state["round"] == 1:
        name = answers(call, first, signed({"round": 1}))["step1"]["content"]["name"]
        raise Question(second, signed({"round": 2, "name": name}))
    color = answers(call, second, signed(state))["step2"]["content"]["color"]
    return [text("%s likes %s" % (state["name"], color))]


@tool("test_input_required_result_capabilities", "Asks what the client can answer")
def ask_what_it_can(call, _arguments, _token):
    possible = {"elicitation": ("name", NAME), "sampling": ("model", sampling("Say hello")),
                "roots": ("roots", ROOTS)}
    requests = dict(request for capability, request in possible.items()
                    if call.declares(capability))
    return [text(json.dumps(answers(call, requests)))]


def tools_call(call):
    found = TOOLS.get(call.params.get("name"))
    if not found:
        raise Refused(INVALID_PARAMS, "unknown tool: %s" % call.params.get("name"))
    try:
        return {"content": found[0](call, call.params.get("arguments") or {},
                                    call.meta.get("progressToken"))}
    except (Refused, Question):
        raise
    except Exception as e:  # the tool's own failure is a result
        return {"content": [text(str(e))], "isError": True}


# --- the rest -------------------------------------------------------------------------------

CACHED = {"ttlMs": 60000, "cacheScope": "private"}


def discover(_call):
    return {"supportedVersions": [VERSION],
            "capabilities": {"tools": {"listChanged": True}, "prompts": {"listChanged": True},
                             "resources": {}, "completions": {}}, **CACHED}


def listed(name, things):
    return lambda _call: {name: things, **CACHED}


def resources_read(call):
    try:
        return {**mcp_fixture.resources_read(call, call.params), **CACHED}
    except Refused as e:
        raise Detailed(INVALID_PARAMS, str(e), {"uri": call.params.get("uri")}) from None


def prompts_get(call):
    if call.params.get("name") != "test_input_required_result_prompt":
        return mcp_fixture.prompts_get(call, call.params)
    request = elicitation("What context should the prompt use?", context="string")
    given = answers(call, {"user_context": request})
    return {"messages": [{"role": "user", "content": text(json.dumps(given))}]}


lock = threading.Lock()
listeners = []  # (call, what it wants to hear of)
cancellations = 0


def cancel(call):
    global cancellations  # pylint: disable=global-statement
    with lock:
        cancellations += 1
        call.over.set()


def subscribed(call, params):
    return {**params, "_meta": {META + "subscriptionId": call.message["id"]}}


def tell(what, method):
    with lock:
        heard = [call for call, wanted in listeners
                 if wanted.get(what) and not call.over.is_set()]
    for call in heard:
        call.notify(method, subscribed(call, {}))


def listen(call):
    """Until it is cancelled: no answer is owed."""
    wanted = call.params.get("notifications") or {}
    offered = {name: True for name in ("toolsListChanged", "promptsListChanged")
               if wanted.get(name)}
    with lock:  # who reads the acknowledgement is one of them
        call.notify("notifications/subscriptions/acknowledged",
                    subscribed(call, {"notifications": offered}))
        listeners.append((call, offered))
    call.over.wait()
    with lock:
        listeners.remove((call, offered))


PROMPTS = mcp_fixture.PROMPTS + [
    {"name": "test_input_required_result_prompt", "description": "A prompt that asks first"}]

METHODS = {
    "server/discover": discover,
    "subscriptions/listen": listen,
    "completion/complete": lambda _call: mcp_fixture.METHODS["completion/complete"](None, None),
    "tools/list": listed("tools", [told for _, told in TOOLS.values()]),
    "tools/call": tools_call,
    "resources/list": listed("resources", mcp_fixture.RESOURCES),
    "resources/templates/list": lambda _call: {
        **mcp_fixture.METHODS["resources/templates/list"](None, None), **CACHED},
    "resources/read": resources_read,
    "prompts/list": listed("prompts", PROMPTS),
    "prompts/get": prompts_get,
}


def check_meta(call):
    for name in ("protocolVersion", "clientCapabilities"):
        if META + name not in call.meta:
            raise Detailed(INVALID_PARAMS, "_meta lacks " + META + name, status=400)
    version = call.meta[META + "protocolVersion"]
    if version != VERSION:
        raise Detailed(VERSION_UNSUPPORTED, "Unsupported protocol version",
                       {"supported": [VERSION], "requested": version})


def answer(call, check):
    """(status, message); None where there is no answer."""
    message = {"jsonrpc": "2.0", "id": call.message["id"]}
    status = 200
    try:
        method = METHODS.get(call.message["method"])
        if not method:
            raise Refused(NOT_FOUND, "method not found: %s" % call.message["method"])
        check(call)
        result = method(call)
        if result is None:
            return None
        message["result"] = {"resultType": "complete", **result}
    except Question as e:
        message["result"] = {"resultType": "input_required", "inputRequests": e.requests}
        if e.state is not None:
            message["result"]["requestState"] = e.state
    except Refused as e:
        message["error"] = {"code": e.code, "message": str(e)}
        if getattr(e, "data", None) is not None:
            message["error"]["data"] = e.data
        status = getattr(e, "status", None) or STATUS.get(e.code, 200)
    if "result" in message:
        message["result"]["_meta"] = {META + "serverInfo": {"name": "modern", "version": "1.0.0"}}
    return status, message


# --- stdio ----------------------------------------------------------------------------------

class Lines:
    def __init__(self, is_dual):
        self.calls = {}
        self.is_dual = is_dual
        self.peer = mcp_fixture.Peer(sys.stdout)
        self.lock = self.peer.lock  # of stdout

    def send(self, message):
        line = json.dumps(message, separators=(",", ":"))
        with self.lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def serve(self, call):
        answered = answer(call, check_meta)
        self.calls.pop(call.message["id"], None)
        if answered and not call.over.is_set():
            self.send(answered[1])

    def cancel(self, number):
        call = self.calls.pop(number, None)
        if call:
            cancel(call)

    def is_older(self, message):
        return (self.is_dual and message.get("method") != "server/discover" and
                META + "protocolVersion" not in message.get("params", {}).get("_meta", {}))

    def run(self):
        for line in sys.stdin:
            message = json.loads(line)
            if "method" not in message:
                self.peer.answered(message)
            elif "id" in message and self.is_older(message):
                threading.Thread(target=mcp_fixture.serve, args=(self.peer, message),
                                 daemon=True).start()
            elif "id" in message:
                call = Call(message, self.send)
                self.calls[message["id"]] = call
                threading.Thread(target=self.serve, args=(call,), daemon=True).start()
            elif message.get("method") == "notifications/cancelled":
                self.cancel(message["params"].get("requestId"))


# --- HTTP -----------------------------------------------------------------------------------

def decoded(value):
    """What a field says."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except ValueError:
        raise Refused(HEADER_MISMATCH, "a field is no base64") from None


def fields_of(call):
    """{name: what it has to say}; None: it must not be there."""
    params = call.params
    fields = {"MCP-Protocol-Version": call.meta.get(META + "protocolVersion"),
              "Mcp-Method": call.message["method"]}
    if call.message["method"] in ("tools/call", "prompts/get"):
        fields["Mcp-Name"] = params.get("name")
    elif call.message["method"] == "resources/read":
        fields["Mcp-Name"] = params.get("uri")
    if call.message["method"] == "tools/call" and params.get("name") in TOOLS:
        schema = TOOLS[params["name"]][1]["inputSchema"]
        for name, about in schema["properties"].items():
            value = (params.get("arguments") or {}).get(name)
            if "x-mcp-header" in about and value is not None:
                fields["Mcp-Param-" + about["x-mcp-header"]] = (
                    value if isinstance(value, str) else json.dumps(value))
    return fields


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    is_stream = False

    def log_message(self, *_args):
        pass

    def check(self, call):
        if "MCP-Protocol-Version" not in self.headers:
            raise Refused(HEADER_MISMATCH, "MCP-Protocol-Version is missing")
        if META + "protocolVersion" in call.meta:
            for name, value in fields_of(call).items():
                if value is None:
                    continue
                if name not in self.headers or decoded(self.headers[name].strip()) != value:
                    raise Refused(HEADER_MISMATCH, name + " does not say what the body says")
        check_meta(call)

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, message):
        if not self.is_stream:
            self.is_stream = self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
        self.wfile.write(b"data: %s\n\n" % json.dumps(message).encode())
        self.wfile.flush()

    def watch(self, call, done):
        """Until the call is answered: whether its client is there."""
        while not done.wait(0.02):
            if select.select([self.connection], [], [], 0)[0]:
                if not done.is_set():
                    cancel(call)
                return

    def do_POST(self):
        local = [host % self.server.server_port for host in ("localhost:%d", "127.0.0.1:%d")]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in local or (
                origin and origin.split("://")[-1] not in local):
            self.reply(403, b"", "text/plain")
            return
        message = json.loads(body)
        if "id" not in message:
            self.reply(202, b"", "text/plain")
            return
        call = Call(message, self.event, is_http=True)
        done = threading.Event()
        watcher = threading.Thread(target=self.watch, args=(call, done))
        watcher.start()
        self.is_stream = False
        try:
            answered = answer(call, self.check)
            done.set()
            if answered and self.is_stream:
                self.event(answered[1])
            elif answered:
                self.reply(answered[0], json.dumps(answered[1]).encode())
        except OSError:
            self.close_connection = True
        finally:
            done.set()
            watcher.join()

    def refuse(self):
        self.reply(405, b"", "text/plain")

    do_GET = do_DELETE = refuse


def main():
    if sys.argv[1:] != ["--http"]:
        Lines(sys.argv[1:] == ["--dual"]).run()
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listening", server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
