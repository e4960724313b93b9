# SPDX-License-Identifier: MIT
"""Clients of the Model Context Protocol over plain sockets, for tests of thousands of sessions: what they
send is bytes, what comes is read no further than asked for."""
import contextlib
import json
import os
import re
import socket
import struct

from weftlib import PATIENCE

CHILD = os.path.join(os.environ["WEFT_BUILD"], "tests", "mcp_child")
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {},
              "clientInfo": {"name": "raw", "version": "1"}}
LINGER = struct.pack("ii", 1, 0)


def request(number, method, params):
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}' % (
        number, method.encode(), json.dumps(params).encode())


def call(number, tool, **arguments):
    return request(number, "tools/call", {"name": tool, "arguments": arguments})


def hold(number):
    """A call that gets no answer, but tells when it is with the server."""
    return request(number, "tools/call", {"name": "hold", "_meta": {"progressToken": 7}})


class Conn:
    """A connection, with one response after the other."""

    def __init__(self, port, rcvbuf=None):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = bytearray()

    def more(self):
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the connection has ended")
        self.kept += data

    def take_until(self, end):
        at = 0
        while (found := self.kept.find(end, at)) < 0:
            at = max(0, len(self.kept) - len(end))
            self.more()
        taken = bytes(self.kept[:found])
        del self.kept[:found + len(end)]
        return taken

    def take(self, size):
        while len(self.kept) < size:
            self.more()
        taken = bytes(self.kept[:size])
        del self.kept[:size]
        return taken

    def head(self):
        """(status, fields) of a response."""
        head = self.take_until(b"\r\n\r\n").decode()
        status, *lines = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), fields

    def chunk(self):
        """b"": the last one."""
        size = int(self.take_until(b"\r\n"), 16)
        data = self.take(size)
        self.take(2)
        return data

    def body(self, fields):
        if fields.get("transfer-encoding") != "chunked":
            return self.take(int(fields.get("content-length", 0)))
        return b"".join(iter(self.chunk, b""))

    def response(self):
        """(status, fields, body), whole."""
        status, fields = self.head()
        return status, fields, self.body(fields)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self.sock.close()


def answer_of(body):
    """The last message of a body, JSON or events, as a dictionary."""
    if body.startswith(b"{"):
        return json.loads(body)
    lines = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
    return json.loads(lines[-1][6:])


class Session(Conn):
    """Streamable HTTP."""

    def __init__(self, port, path="/mcp", **options):
        super().__init__(port, **options)
        self.port = port
        self.path = path
        self.session = None

    def text(self, method, body=b"", fields=""):
        session = f"Mcp-Session-Id: {self.session}\r\n" if self.session else ""
        return (f"{method} {self.path} HTTP/1.1\r\nHost: localhost\r\n{session}{fields}"
                "Accept: application/json, text/event-stream\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                ).encode() + body

    def say(self, method, body=b"", fields=""):
        self.sock.sendall(self.text(method, body, fields))

    def ask(self, method, body=b""):
        self.say(method, body)
        return self.response()

    def begin(self):
        self.say("POST", request(0, "initialize", INITIALIZE))

    def begun(self):
        status, fields, body = self.response()
        assert status == 200 and "result" in answer_of(body), (status, body)
        self.session = fields["mcp-session-id"]

    def listen(self):
        self.sock.sendall((f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n"
                           f"Mcp-Session-Id: {self.session}\r\n"
                           "Accept: text/event-stream\r\n\r\n").encode())
        status, _ = self.head()
        assert status == 200, status

    def tool(self, tool, **arguments):
        """The text that a tool answers."""
        status, _, body = self.ask("POST", call(1, tool, **arguments))
        assert status == 200, (status, body[:300])
        answer = answer_of(body)
        assert "result" in answer, answer
        return answer["result"]["content"][0]["text"]

    def end(self):
        """By another connection."""
        with contextlib.closing(Session(self.port, self.path)) as other:
            other.session = self.session
            status, _, body = other.ask("DELETE")
            assert status == 204, (status, body)


class OldSession(Conn):
    """HTTP+SSE: this connection is the stream, and another one posts."""

    def __init__(self, port, path="/sse", **options):
        super().__init__(port, **options)
        self.poster = Session(port)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                          "Accept: text/event-stream\r\n\r\n".encode())

    def begin(self):
        status, _ = self.head()
        assert status == 200, status
        self.poster.path = re.search(rb"data: (\S+)", self.event()).group(1).decode()
        self.say(request(0, "initialize", INITIALIZE))

    def say(self, body):
        status, _, answer = self.poster.ask("POST", body)
        assert status == 202, (status, answer)

    def event(self):
        """What a chunk has: an event that is no comment."""
        while (chunk := self.chunk()).startswith(b":"):
            pass
        return chunk

    def begun(self):
        assert "result" in answer_of(self.event())

    def tool(self, tool, **arguments):
        self.say(call(1, tool, **arguments))
        while "result" not in (answer := answer_of(self.event())):
            pass
        return answer["result"]["content"][0]["text"]

    def close(self):
        super().close()
        self.poster.close()

    def reset(self):
        super().reset()
        self.poster.close()
