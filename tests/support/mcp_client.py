#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client of the Model Context Protocol that speaks over stdio: what the protocol's conformance
suite runs to look at clients, with the URL of a server of its own as the last argument. Between
them is "weft bridge stdio: URL", so that what the server sees is weft's doing.

    WEFT=... MCP_CONFORMANCE_SCENARIO=... mcp_client.py URL
"""
import json
import os
import subprocess
import sys

WEFT = os.environ["WEFT"]
SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
REVISION = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
META = "io.modelcontextprotocol/"
INFO = {"name": "stdio-client", "version": "1.0.0"}
CAPABILITIES = {"elicitation": {}, "sampling": {}, "roots": {}}


class Failed(Exception):
    pass


def defaults(schema):
    return {name: about["default"] for name, about in schema["properties"].items()
            if "default" in about}


class Client:
    def __init__(self, url):
        # pylint: disable=consider-using-with
        self.bridge = subprocess.Popen([WEFT, "bridge", "stdio:", url], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.last = 0

    def send(self, message):
        self.bridge.stdin.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
        self.bridge.stdin.flush()

    def answer(self, request):
        """A question of the server's, in the era with sessions."""
        if request["method"] == "elicitation/create":
            result = {"action": "accept",
                      "content": defaults(request["params"]["requestedSchema"])}
        else:
            result = {}
        self.send({"id": request["id"], "result": result})

    def message(self, method, params):
        self.last += 1
        params = dict(params or {})
        if REVISION >= "2026-07-28":
            params["_meta"] = {META + "protocolVersion": REVISION, META + "clientInfo": INFO,
                               META + "clientCapabilities": CAPABILITIES}
        return {"id": self.last, "method": method, "params": params}

    def ask(self, method, params=None):
        """The result; what fails is told on stderr."""
        self.send(self.message(method, params))
        for line in self.bridge.stdout:
            message = json.loads(line)
            if "method" in message and "id" in message:
                self.answer(message)
            elif "method" not in message:
                if message["id"] != self.last:
                    raise Failed(f"{message['id']} is not the id {self.last}")
                if "error" in message:
                    print(method, message["error"], file=sys.stderr)
                return message.get("result")
        raise Failed("the bridge has ended")

    def call(self, name, arguments=None):
        """A tool's result; what it asks first is answered."""
        params = {"name": name, "arguments": arguments or {}}
        result = self.ask("tools/call", params)
        if result and result.get("resultType") == "input_required":
            params["inputResponses"] = {
                key: {"action": "accept", "content": {"confirmed": True}}
                for key in result["inputRequests"]}
            if "requestState" in result:
                params["requestState"] = result["requestState"]
            result = self.ask("tools/call", params)
        return result

    def begin(self):
        if REVISION >= "2026-07-28":
            return
        self.ask("initialize", {"protocolVersion": REVISION, "capabilities": CAPABILITIES,
                                "clientInfo": INFO})
        self.send({"method": "notifications/initialized"})

    def tools(self):
        return self.ask("tools/list")["tools"]

    def end(self):
        self.bridge.stdin.close()
        return self.bridge.wait(20)


def argument(schema):
    return {"string": "text", "integer": 7, "number": 7, "boolean": True}.get(schema["type"])


def call_all(client):
    """Each tool that there is."""
    for tool in client.tools():
        properties = tool["inputSchema"].get("properties", {})
        client.call(tool["name"], {name: argument(about) for name, about in properties.items()
                                   if "type" in about})


def standard_headers(client):
    call_all(client)
    for resource in client.ask("resources/list")["resources"]:
        client.ask("resources/read", {"uri": resource["uri"]})
    for prompt in client.ask("prompts/list")["prompts"]:
        client.ask("prompts/get", {"name": prompt["name"]})


def custom_headers(client):
    client.tools()
    for call in CONTEXT["toolCalls"]:
        client.call(call["name"], call["arguments"])


def echo_schema(client):
    tools = {tool["name"]: tool for tool in client.tools()}
    client.call("json_schema_echo",
                {"schema": tools["json_schema_2020_12_tool"]["inputSchema"]})


def metadata(client):
    """Its first request is refused: this is the retry that a client is to make."""
    if client.ask("tools/list") is None:
        client.ask("tools/list")


PARTS = {
    "initialize": Client.tools,
    "json-schema-2020-12-preservation": echo_schema,
    "request-metadata": metadata,
    "http-standard-headers": standard_headers,
    "http-custom-headers": custom_headers,
}


def main():
    client = Client(sys.argv[-1])
    client.begin()
    PARTS.get(SCENARIO, call_all)(client)
    sys.exit(client.end())


if __name__ == "__main__":
    main()
