# SPDX-License-Identifier: MIT
"""A web server that says byte for byte what a test tells it to, a proxy, and certificates: for
tests of weft http."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from weftlib import FLAVOUR, PATIENCE, WEFT, Server, run, until

PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
                   "ALL_PROXY", "no_proxy", "NO_PROXY")


def environment(**variables):
    """Ours, with no proxies but those named here."""
    env = {name: value for name, value in os.environ.items() if name not in PROXY_VARIABLES}
    env.update(variables)
    return env


def http(*args, stdin=b"", **variables):
    """weft http with these arguments: (status, stdout, stderr)."""
    return run("http", *args, stdin=stdin, env=environment(**variables))


class Request:
    """Read from a socket up to the end of its head, and on by body()."""

    def __init__(self, file):
        self.file = file
        self.line = file.readline().decode().rstrip("\r\n")
        if not self.line:
            raise EOFError
        self.method, self.target, self.version = self.line.split(" ")
        self.fields = []
        while (line := file.readline().decode().rstrip("\r\n")):
            name, _, value = line.partition(": ")
            self.fields.append((name, value))

    def __getitem__(self, name):
        """All values of that name, joined; None: none."""
        values = [value for other, value in self.fields if other.lower() == name.lower()]
        return ", ".join(values) if values else None

    def chunk(self):
        """Of a body in chunks; b"": the end."""
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        self.file.readline()
        return data

    def body(self):
        if self["Transfer-Encoding"] == "chunked":
            parts = []
            while (data := self.chunk()):
                parts.append(data)
            return b"".join(parts)
        return self.file.read(int(self["Content-Length"] or 0))


def response(body=b"", status="200 OK", **fields):
    lines = [f"HTTP/1.1 {status}"]
    fields.setdefault("Content_Length", len(body))
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Web(Server):
    """answer(request, sock) returns what is to be sent, or None when it has sent it; whether
    another request may follow is up to .closes. All requests are in .requests."""

    def __init__(self, answer, path=None, context=None):
        self.answer = answer
        self.requests = []
        self.context = context
        self.closes = False
        super().__init__(self.converse, path)
        if not path:
            scheme = "https" if context else "http"
            self.url = f"{scheme}://127.0.0.1:{self.port}"

    def converse(self, sock):
        if self.context:
            try:
                sock = self.context.wrap_socket(sock, server_side=True)
            except (ssl.SSLError, OSError):
                return
        with sock.makefile("rb") as file:
            while True:
                try:
                    request = Request(file)
                except (EOFError, OSError):
                    break
                request.bytes = request.body() if not getattr(self, "by_hand", False) else b""
                self.requests.append(request)
                data = self.answer(request, sock)
                if data is not None:
                    sock.sendall(data)
                if self.closes:
                    break
        if self.context:
            with sock:
                sock.unwrap()
        else:
            sock.shutdown(socket.SHUT_WR)


class ConnectProxy(Server):
    """A proxy that knows CONNECT. What it was asked is in .requests; refuse: its reply."""

    def __init__(self, refuse=None):
        self.refuse = refuse
        self.requests = []
        super().__init__(self.tunnel)
        self.url = f"http://127.0.0.1:{self.port}"

    def tunnel(self, sock):
        with sock.makefile("rb", buffering=0) as file:
            request = Request(file)
        self.requests.append(request)
        if self.refuse:
            sock.sendall(self.refuse)
            return
        host, _, port = request.target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.carry, args=(far, sock), daemon=True)
            back.start()
            self.carry(sock, far)
            back.join(PATIENCE)

    @staticmethod
    def carry(source, target):
        try:
            while (data := source.recv(65536)):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def certificate(folder, name, issuer=None):
    """(certificate, key) for localhost and 127.0.0.1, as paths; needs openssl(1)."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert,
               "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if issuer:
        command += ["-CA", issuer[0], "-CAkey", issuer[1],
                    "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return cert, key


HAS_OPENSSL = shutil.which("openssl") is not None


class Running:
    """weft http as a process under way: its output as it comes in .out and .err."""

    def __init__(self, *args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=None,
                 **variables):
        self.process = subprocess.Popen(
            [WEFT, "http", *args], stdin=stdin, stdout=stdout, stderr=stderr or subprocess.PIPE,
            env=environment(**variables))
        self.out, self.err = bytearray(), bytearray()
        self.number = None  # of the signal that was sent
        self.readers = [threading.Thread(target=self.collect, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out),
                                     (self.process.stderr, self.err)) if pair[0]]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def collect(file, into):
        while (data := file.read1(65536)):
            into += data

    def await_out(self, text):
        until(lambda: text in bytes(self.out), f"{text!r} on stdout: {bytes(self.out)!r}")

    def await_err(self, text):
        until(lambda: text in self.err.decode(), f"{text!r} on stderr: {self.err.decode()!r}")

    def interrupt(self, number=signal.SIGINT):
        self.number = number
        self.process.send_signal(number)

    def wait(self):
        if FLAVOUR == "tsan" and self.number:
            # the thread sanitizer now and then keeps a signal to itself for ever
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE / 2)
            if self.process.poll() is None:
                self.process.send_signal(self.number)
        status = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            if file:
                file.close()
