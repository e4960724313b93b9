#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stdio server of the Model Context Protocol with the tools, resources and prompts that the
protocol's conformance suite asks for: what is behind the bridge in those runs.

One message a line on stdin and stdout, a thread for each call, nothing but the standard library.
"""
import json
import os
import re
import sys
import threading
import time

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
# One red pixel, and a WAV file without a sample.
PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5E"
       "rkJggg==")
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
NO_ARGUMENTS = {"type": "object", "properties": {}}


class Cancelled(Exception):
    """Nobody wants the answer."""


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Peer:
    """The client's end: what is sent to it, and what it was asked."""

    def __init__(self, out):
        self.out = out
        self.lock = threading.Lock()
        self.last = 0
        self.asked = {}
        self.capabilities = {}
        self.current = threading.local()  # .id of the request that this thread answers
        self.wanted = {}  # by id: set when it is cancelled
        self.cancelled = 0
        self.gate = threading.Semaphore(0)

    def send(self, message):
        line = json.dumps(dict(message, jsonrpc="2.0"), separators=(",", ":"))
        with self.lock:
            self.out.write(line + "\n")
            self.out.flush()

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def ask(self, capability, method, params):
        """A request to the client, and its answer."""
        if capability not in self.capabilities:
            raise Refused(-32600, "the client does not support %s" % capability)
        answered = threading.Event()
        with self.lock:
            self.last += 1
            number = "ask-%d" % self.last
            self.asked[number] = answered
        self.send({"id": number, "method": method, "params": params})
        answered.wait()
        message = self.asked.pop(number)
        if "error" in message:
            raise Refused(-32603, "the client said: %s" % message["error"].get("message"))
        return message["result"]

    def answered(self, message):
        answered = self.asked.get(message.get("id"))
        if isinstance(answered, threading.Event):
            self.asked[message["id"]] = message
            answered.set()


def text(words):
    return {"type": "text", "text": words}


def resource(uri, kind, words):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": words}}


def image():
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


# --- tools ----------------------------------------------------------------------------------

TOOLS = {}


def tool(name, description, schema=None):
    def keep(function):
        TOOLS[name] = (function, {"name": name, "description": description,
                                  "inputSchema": schema or NO_ARGUMENTS})
        return function
    return keep


def texts(*names):
    return {"type": "object", "required": list(names),
            "properties": {name: {"type": "string"} for name in names}}


@tool("test_simple_text", "Answers with a text")
def simple_text(_peer, _arguments, _token):
    return [text("This is a simple text response for testing.")]


@tool("test_image_content", "Answers with an image")
def image_content(_peer, _arguments, _token):
    return [image()]


@tool("test_audio_content", "Answers with a sound")
def audio_content(_peer, _arguments, _token):
    return [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]


@tool("test_embedded_resource", "Answers with a resource")
def embedded_resource(_peer, _arguments, _token):
    return [resource("test://embedded-resource", "text/plain",
                     "This is an embedded resource content.")]


@tool("test_multiple_content_types", "Answers with a text, an image and a resource")
def multiple(_peer, _arguments, _token):
    return [text("Multiple content types test:"), image(),
            resource("test://mixed-content-resource", "application/json",
                     '{"test":"data","value":123}')]


@tool("test_tool_with_logging", "Logs three lines while it runs")
def logging(peer, _arguments, _token):
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        peer.notify("notifications/message", {"level": "info", "data": words})
        time.sleep(0.05)
    return [text("logged")]


@tool("test_tool_with_progress", "Tells its progress three times while it runs")
def progress(peer, _arguments, token):
    for done in (0, 50, 100):
        if token is not None:
            peer.notify("notifications/progress",
                        {"progressToken": token, "progress": done, "total": 100})
        time.sleep(0.05)
    return [text("done")]


@tool("test_error_handling", "Fails")
def error_handling(_peer, _arguments, _token):
    raise RuntimeError("This tool intentionally returns an error for testing")


@tool("test_sampling", "Has the client's model answer a prompt", texts("prompt"))
def sampling(peer, arguments, _token):
    answer = peer.ask("sampling", "sampling/createMessage", {
        "messages": [{"role": "user", "content": text(arguments["prompt"])}], "maxTokens": 100})
    return [text("LLM response: %s" % answer["content"]["text"])]


def elicit(peer, message, properties, required=()):
    return peer.ask("elicitation", "elicitation/create", {
        "message": message,
        "requestedSchema": {"type": "object", "properties": properties,
                            "required": list(required)}})


def elicited(answer):
    return [text("Elicitation completed: action=%s, content=%s"
                 % (answer["action"], json.dumps(answer.get("content", {}))))]


@tool("test_elicitation", "Asks the user", texts("message"))
def elicitation(peer, arguments, _token):
    answer = elicit(peer, arguments["message"], {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }, ("username", "email"))
    return [text("User response: action: %s, content: %s"
                 % (answer["action"], json.dumps(answer.get("content", {}))))]


@tool("test_elicitation_sep1034_defaults", "Asks the user, with a default for everything")
def elicitation_defaults(peer, _arguments, _token):
    return elicited(elicit(peer, "Please look through the defaults", {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"],
                   "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }))


@tool("test_elicitation_sep1330_enums", "Asks the user to choose, in five forms")
def elicitation_enums(peer, _arguments, _token):
    plain = ["option1", "option2", "option3"]

    def titled(last):
        return [{"const": "value%d" % n, "title": "%s %s" % (word, last)}
                for n, word in ((1, "First"), (2, "Second"), (3, "Third"))]

    return elicited(elicit(peer, "Please choose", {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
                       "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }))


@tool("test_reconnection", "Takes a while to answer")
def reconnection(_peer, _arguments, _token):
    time.sleep(0.3)
    return [text("answered after a while")]


@tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {
        "street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                   "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                   "phone": {"type": "string"}, "email": {"type": "string"}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
})
def json_schema(_peer, arguments, _token):
    return [text(json.dumps(arguments))]


@tool("echo", "Answers with its text", texts("text"))
def echo(_peer, arguments, _token):
    return [text(arguments["text"])]


@tool("add", "The sum of two numbers", {"type": "object", "required": ["a", "b"], "properties": {
    "a": {"type": "number"}, "b": {"type": "number"}}})
def add(_peer, arguments, _token):
    return [text(str(arguments["a"] + arguments["b"]))]


@tool("pid", "Answers with the number of its process")
def pid(_peer, _arguments, _token):
    return [text(str(os.getpid()))]


def tell(peer, token, done):
    if token is not None:
        peer.notify("notifications/progress", {"progressToken": token, "progress": done})


@tool("hang", "Says that it has begun, and waits until it is cancelled")
def hang(peer, _arguments, token):
    tell(peer, token, 0)
    peer.wanted[peer.current.id].wait()
    with peer.lock:
        peer.cancelled += 1
    raise Cancelled()


@tool("cancelled", "How many calls of hang were cancelled")
def cancelled(peer, _arguments, _token):
    return [text(str(peer.cancelled))]


@tool("steps", "Tells its progress for each call of go, count times", {
    "type": "object", "properties": {"count": {"type": "integer"}}})
def steps(peer, arguments, token):
    for done in range(1, arguments["count"] + 1):
        peer.gate.acquire()
        tell(peer, token, done)
    return [text("%d steps" % arguments["count"])]


@tool("go", "Lets steps take one")
def go(peer, _arguments, _token):
    peer.gate.release()
    return [text("went")]


@tool("roots", "Answers with the client's roots")
def roots(peer, _arguments, _token):
    return [text(json.dumps(peer.ask("roots", "roots/list", {})["roots"]))]


def tools_call(peer, params):
    found = TOOLS.get(params.get("name"))
    if not found:
        raise Refused(-32602, "unknown tool: %s" % params.get("name"))
    token = params.get("_meta", {}).get("progressToken")
    try:
        return {"content": found[0](peer, params.get("arguments", {}), token)}
    except (Refused, Cancelled):
        raise
    except Exception as e:  # the tool's own failure is a result
        return {"content": [text(str(e))], "isError": True}


# --- resources, prompts ---------------------------------------------------------------------

RESOURCES = [
    {"uri": "test://static-text", "name": "Text", "description": "A text",
     "mimeType": "text/plain"},
    {"uri": "test://static-binary", "name": "Binary", "description": "An image",
     "mimeType": "image/png"},
    {"uri": "test://watched-resource", "name": "Watched", "description": "One to subscribe to",
     "mimeType": "text/plain"},
]


def resources_read(_peer, params):
    uri = params.get("uri", "")
    template = re.fullmatch(r"test://template/([^/]+)/data", uri)
    if uri == "test://static-text":
        found = {"mimeType": "text/plain",
                 "text": "This is the content of the static text resource."}
    elif uri == "test://static-binary":
        found = {"mimeType": "image/png", "blob": PNG}
    elif uri == "test://watched-resource":
        found = {"mimeType": "text/plain", "text": "Watched resource content"}
    elif template:
        found = {"mimeType": "application/json", "text": json.dumps(
            {"id": template[1], "templateTest": True, "data": "Data for ID: " + template[1]})}
    else:
        raise Refused(-32002, "no such resource: %s" % uri)
    return {"contents": [dict(found, uri=uri)]}


def argument(name, description):
    return {"name": name, "description": description, "required": True}


PROMPTS = [
    {"name": "test_simple_prompt", "description": "A simple prompt"},
    {"name": "test_prompt_with_arguments", "description": "A prompt with arguments",
     "arguments": [argument("arg1", "First test argument"),
                   argument("arg2", "Second test argument")]},
    {"name": "test_prompt_with_embedded_resource", "description": "A prompt with a resource",
     "arguments": [argument("resourceUri", "URI of the resource to embed")]},
    {"name": "test_prompt_with_image", "description": "A prompt with an image"},
]


def prompts_get(_peer, params):
    given = params.get("arguments", {})
    name = params.get("name")
    if name == "test_simple_prompt":
        parts = [text("This is a simple prompt for testing.")]
    elif name == "test_prompt_with_arguments":
        parts = [text("Prompt with arguments: arg1='%s', arg2='%s'"
                      % (given.get("arg1"), given.get("arg2")))]
    elif name == "test_prompt_with_embedded_resource":
        parts = [resource(given.get("resourceUri"), "text/plain",
                          "Embedded resource content for testing."),
                 text("Please process the embedded resource above.")]
    elif name == "test_prompt_with_image":
        parts = [image(), text("Please analyze the image above.")]
    else:
        raise Refused(-32602, "unknown prompt: %s" % name)
    return {"messages": [{"role": "user", "content": part} for part in parts]}


# --- the protocol ---------------------------------------------------------------------------

def initialize(peer, params):
    peer.capabilities = params.get("capabilities", {})
    version = params.get("protocolVersion")
    return {
        "protocolVersion": version if version in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": True}, "logging": {}, "completions": {},
                         "prompts": {"listChanged": True},
                         "resources": {"subscribe": True, "listChanged": True}},
        "serverInfo": {"name": "fixture", "version": "1.0.0"},
    }


def subscribe(peer, params):
    uri = params.get("uri")
    peer.notify("notifications/resources/updated", {"uri": uri})
    return {}


METHODS = {
    "initialize": initialize,
    "ping": lambda _peer, _params: {},
    "logging/setLevel": lambda _peer, _params: {},
    "completion/complete": lambda _peer, _params: {
        "completion": {"values": ["paris", "park", "party"], "total": 3, "hasMore": False}},
    "tools/list": lambda _peer, _params: {"tools": [told for _, told in TOOLS.values()]},
    "tools/call": tools_call,
    "resources/list": lambda _peer, _params: {"resources": RESOURCES},
    "resources/templates/list": lambda _peer, _params: {"resourceTemplates": [
        {"uriTemplate": "test://template/{id}/data", "name": "Template",
         "description": "A resource with a parameter", "mimeType": "application/json"}]},
    "resources/read": resources_read,
    "resources/subscribe": subscribe,
    "resources/unsubscribe": lambda _peer, _params: {},
    "prompts/list": lambda _peer, _params: {"prompts": PROMPTS},
    "prompts/get": prompts_get,
}


def serve(peer, message):
    answer = {"id": message["id"]}
    peer.current.id = message["id"]
    try:
        method = METHODS.get(message["method"])
        if not method:
            raise Refused(-32601, "method not found: %s" % message["method"])
        answer["result"] = method(peer, message.get("params", {}))
    except Refused as e:
        answer["error"] = {"code": e.code, "message": str(e)}
    except Cancelled:
        return
    finally:
        peer.wanted.pop(message["id"], None)
    peer.send(answer)


def main():
    peer = Peer(sys.stdout)
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError:
            peer.send({"id": None, "error": {"code": -32700, "message": "parse error"}})
            continue
        if "method" not in message:
            peer.answered(message)
        elif message["method"] == "notifications/cancelled":
            call = peer.wanted.get(message["params"]["requestId"])
            if call:
                call.set()
        elif "id" in message:
            peer.wanted[message["id"]] = threading.Event()
            threading.Thread(target=serve, args=(peer, message), daemon=True).start()


if __name__ == "__main__":
    main()
