# SPDX-License-Identifier: MIT
"""A small client of the Model Context Protocol over Streamable HTTP, for tests: what it sends and gets
is there to be looked at."""
import http.client
import json
import os
import sys

from weftlib import PATIENCE

FIXTURE = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                        "mcp_fixture.py")]
MODERN = [sys.executable, os.path.join(os.path.dirname(FIXTURE[1]), "mcp_modern.py")]
VERSION = "2025-11-25"
JSON_WAIT = 0.1  # seconds after which the bridge begins a stream of events to answer on
ACCEPT = "application/json, text/event-stream"


def events(response):
    """The events of a stream as they come: dictionaries of their fields."""
    event = {}
    for line in response:
        line = line.decode().rstrip("\r\n")
        if not line:
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            event[name] = event[name] + "\n" + value if name == "data" and name in event else value


def messages(response):
    """The messages of a response, whichever form it has."""
    if response.headers.get_content_type() == "text/event-stream":
        for event in events(response):
            if event.get("data"):
                yield json.loads(event["data"])
    else:
        body = response.read()
        if body:
            yield json.loads(body)


class Client:
    """A session; requests of it one after the other, each on a connection of its own."""

    def __init__(self, port, path="/mcp", **headers):
        self.port = port
        self.path = path
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.session = None
        self.version = None
        self.last = 0
        self.other = []  # messages that came beside an answer

    def http(self, method, body=None, **headers):
        """(connection, response)"""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = {"Accept": ACCEPT}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self.session:
            sent["Mcp-Session-Id"] = self.session
        if self.version:
            sent["MCP-Protocol-Version"] = self.version
        sent.update(self.headers)
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        conn.request(method, self.path, body, {k: v for k, v in sent.items() if v is not None})
        return conn, conn.getresponse()

    def status(self, method, body=None, **headers):
        """The status alone, the body read."""
        conn, response = self.http(method, body, **headers)
        response.read()
        conn.close()
        return response.status

    def post(self, message, **headers):
        body = message if isinstance(message, (str, bytes)) else json.dumps(message)
        return self.http("POST", body, **headers)

    def ask(self, method, params=None, number=None):
        """The answer to a request: its message."""
        self.last += 1
        number = self.last if number is None else number
        message = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            message["params"] = params
        conn, response = self.post(message)
        if method == "initialize":
            self.session = response.headers.get("Mcp-Session-Id")
        answer = None
        for got in messages(response):
            if "method" not in got and got.get("id") == number:
                answer = got
            else:
                self.other.append(got)
        conn.close()
        if answer is None:
            raise AssertionError(f"{response.status}, no answer to {message}: {self.other}")
        return answer

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        conn, response = self.post(message)
        response.read()
        conn.close()
        return response.status

    def initialize(self, version=VERSION, capabilities=None):
        answer = self.ask("initialize", {
            "protocolVersion": version, "capabilities": capabilities or {},
            "clientInfo": {"name": "test", "version": "1"}})
        self.version = answer["result"]["protocolVersion"]
        self.notify("notifications/initialized")
        return answer

    def call(self, tool, arguments=None, token=None, number=None):
        params = {"name": tool, "arguments": arguments or {}}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        return self.ask("tools/call", params, number)

    def echo(self, text, number=None):
        return self.call("echo", {"text": text}, number=number)["result"]["content"][0]["text"]

    def end(self):
        status = self.status("DELETE")
        self.session = None
        return status
