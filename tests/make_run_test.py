#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=180
"""The file server of the examples; make run and make run-tunnel as somebody at a terminal meets
them."""
import glob
import hashlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import mcpraw  # noqa: E402
from weftlib import PATIENCE, connect, read_all, until  # noqa: E402

SERVER = os.path.join(os.environ["WEFT_EXAMPLES"], "file_server")


def answer_of(sock):
    """One answer, its body by Content-Length: (status, headers, body)."""
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, value = line.decode().split(": ", 1)
        headers[name.lower()] = value
    return status, headers, file


class FileServer(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.temp.name, "served")
        os.mkdir(self.root)
        self.data = os.urandom(3 << 20)
        for path, data in (("served/data", self.data), ("served/a b", b"blank"),
                           ("served/empty", b""), ("secret", b"secret")):
            with open(os.path.join(self.temp.name, path), "wb") as file:
                file.write(data)
        os.mkdir(os.path.join(self.root, "dir"))
        os.symlink("../secret", os.path.join(self.root, "out"))
        self.server = subprocess.Popen([SERVER, self.root], stderr=subprocess.PIPE)
        line = self.server.stderr.readline().decode()
        match = re.fullmatch(r"file_server: listening on tcp://127\.0\.0\.1:(\d+)\n", line)
        self.assertTrue(match, line)
        self.port = int(match.group(1))

    def tearDown(self):
        self.server.send_signal(signal.SIGTERM)
        try:
            self.assertEqual(self.server.wait(PATIENCE), 0)
        finally:
            self.server.kill()
            self.server.wait()
            self.server.stderr.close()
            self.temp.cleanup()

    def ask(self, *lines):
        """The answer to a request, and all that follows it on the connection."""
        with connect(self.port) as sock:
            sock.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            status, headers, file = answer_of(sock)
            body = file.read()
            file.close()
            return status, headers, body

    def test_files_arrive_as_they_are(self):
        status, headers, body = self.ask("GET /data HTTP/1.1", "Host: x")
        self.assertEqual((status, headers["content-length"]), (200, str(len(self.data))))
        self.assertTrue(body == self.data)
        self.assertEqual(self.ask("GET /a%20b?query HTTP/1.1")[2], b"blank")
        self.assertEqual(self.ask("GET /empty HTTP/1.1")[::2], (200, b""))

    def test_head_sends_no_body(self):
        status, headers, body = self.ask("HEAD /data HTTP/1.1")
        self.assertEqual((status, headers["content-length"], body), (200, str(3 << 20), b""))

    def test_ranges(self):
        status, headers, body = self.ask("GET /data HTTP/1.1", "Range: bytes=10-19")
        self.assertEqual((status, body), (206, self.data[10:20]))
        self.assertEqual(headers["content-range"], f"bytes 10-19/{3 << 20}")
        status, _, body = self.ask("GET /data HTTP/1.1", "Range: bytes=3145720-")
        self.assertEqual((status, body), (206, self.data[-8:]))
        self.assertEqual(self.ask("GET /data HTTP/1.1", "Range: bytes=99999999-")[0], 416)

    def test_nothing_outside_is_served(self):
        for target in ("/../secret", "/%2e%2e/secret", "/dir/../../secret", "/out", "//etc/passwd",
                       "/%2fetc/passwd", "/dir", "/", "/nothing"):
            status, _, body = self.ask(f"GET {target} HTTP/1.1")
            self.assertEqual(status, 404, target)
            self.assertNotIn(b"secret", body)

    def test_a_connection_serves_many_requests(self):
        with connect(self.port) as sock:
            for _ in range(3):
                sock.sendall(b"GET /a%20b HTTP/1.1\r\n\r\n")
                status, headers, file = answer_of(sock)
                self.assertEqual((status, headers["connection"]), (200, "keep-alive"))
                self.assertEqual(file.read(5), b"blank")
                file.close()
            sock.sendall(b"GET /empty HTTP/1.0\r\n\r\n")
            self.assertIn(b"Connection: close", read_all(sock))

    def test_bad_requests_are_answered_and_closed(self):
        for request in (b"nonsense\r\n\r\n", b"GET /%zz HTTP/1.1\r\n\r\n",
                        b"GET /%00 HTTP/1.1\r\n\r\n", b"GET data HTTP/1.1\r\n\r\n",
                        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"):
            with connect(self.port) as sock:
                sock.sendall(request)
                try:
                    self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 400 "), request)
                except ConnectionResetError:
                    self.assertGreater(len(request), 1000)  # unread headers: a reset is fair
        self.assertEqual(self.ask("PUT /data HTTP/1.1")[0], 405)

    def test_clients_that_leave_do_no_harm(self):
        for _ in range(50):
            with connect(self.port, rcvbuf=4096) as sock:
                sock.sendall(b"GET /data HTTP/1.1\r\n\r\n")
                sock.recv(1)
        fds = f"/proc/{self.server.pid}/fd"
        self.assertEqual(self.ask("GET /empty HTTP/1.1")[0], 200)
        until(lambda: not any(os.path.realpath(f"{fds}/{n}").endswith("/data")
                              for n in os.listdir(fds)), "every file is closed again")


class Shown(unittest.TestCase):
    """A script of make's, as somebody at a terminal meets it."""
    script = None

    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.addCleanup(self.temp.cleanup)
        # what it runs has the folder's name among its arguments
        os.symlink(os.environ["WEFT_EXAMPLES"], os.path.join(self.temp.name, "examples"))
        self.work = os.path.join(self.temp.name, "work")
        os.mkdir(self.work)
        self.env = {**os.environ, "TMPDIR": self.work, "WEFT_RUN_MIB": "4",
                    "WEFT_EXAMPLES": os.path.join(self.temp.name, "examples")}
        self.env.pop("WEFT_RUN_ONCE", None)
        self.path = os.path.join(os.environ["WEFT_SRC"], "tools", self.script)

    def mentions(self):
        """Processes that have the test's folder among their arguments."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    if self.temp.name.encode() in file.read():
                        found.append(path)
            except OSError:
                pass
        return found

    def at_a_terminal(self, last_words, look, keys):
        """Runs it until it has said last_words, then look(text), then types keys; its status."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("bash", ["bash", self.path], self.env)
        text = b""
        end = time.monotonic() + 2 * PATIENCE
        try:
            while last_words not in text:
                self.assertLess(time.monotonic(), end, text)
                if select.select([terminal], [], [], 1)[0]:
                    text += os.read(terminal, 65536)
            look(text.replace(b"\r\n", b"\n"))
            self.assertTrue(self.mentions())
            os.write(terminal, keys)
            status = until(lambda: [status for ended, status in [os.waitpid(pid, os.WNOHANG)]
                                    if ended], f"{self.script} ends")[0]
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(terminal)
        self.assertEqual(os.listdir(self.work), [])
        self.assertEqual(self.mentions(), [])
        return os.waitstatus_to_exitcode(status)

    def assert_closed(self, port):
        with socket.socket() as sock:
            self.assertNotEqual(sock.connect_ex(("127.0.0.1", port)), 0)

    def refused(self, words, **env):
        done = subprocess.run(["bash", self.path], env={**self.env, **env},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(words, done.stderr.decode())
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertEqual(os.listdir(self.work), [])


class MakeRun(Shown):
    script = "run.sh"

    def look(self, text):
        """The line that it shows does what it says when it is pasted."""
        port = re.search(rb"still up: http://127\.0\.0\.1:(\d+)/mcp", text)
        self.assertTrue(port, text)
        self.port = int(port.group(1))
        (line,) = [line for line in text.decode().splitlines() if line.startswith("curl ")]
        for _ in range(2):
            done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=PATIENCE,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            answer = mcpraw.answer_of(done.stdout)
            self.assertEqual(answer["result"]["content"][0]["text"], "42")

    def test_stays_up_until_enter_and_leaves_nothing(self):
        self.assertEqual(self.at_a_terminal(b"Enter ends it", self.look, b"\n"), 0)
        self.assert_closed(self.port)

    def test_an_interrupt_leaves_nothing(self):
        self.assertEqual(self.at_a_terminal(b"Enter ends it", self.look, b"\x03"), 130)
        self.assert_closed(self.port)

    def test_what_is_missing_is_named(self):
        self.refused("make build", WEFT=os.path.join(self.temp.name, "weft"))
        self.refused("mcp_server is missing", WEFT_EXAMPLES=self.temp.name)
        self.refused("the bridge did not start", WEFT="/bin/false")


class MakeRunTunnel(Shown):
    script = "run-tunnel.sh"

    def look(self, text):
        url = re.search(rb"still up: http://127\.0\.0\.1:(\d+)/data", text)
        self.assertTrue(url, text)
        self.port = int(url.group(1))
        with connect(self.port) as sock:
            sock.sendall(b"GET /data HTTP/1.0\r\n\r\n")
            body = read_all(sock).split(b"\r\n\r\n", 1)[1]
        said = re.search(rb"sha256 ([0-9a-f]{64}): as sent", text).group(1).decode()
        self.assertEqual(hashlib.sha256(body).hexdigest(), said)
        self.assertRegex(text, rb"through the tunnel [\d.]+ GiB/s, direct [\d.]+ GiB/s: \d+ %")

    def test_stays_up_until_interrupted_and_leaves_nothing(self):
        self.assertEqual(self.at_a_terminal(b"Ctrl-C", self.look, b"\x03"), 130)
        self.assert_closed(self.port)

    def test_what_is_missing_is_named(self):
        self.refused("make build", WEFT=os.path.join(self.temp.name, "weft"))
        self.refused("WEFT_RUN_MIB", WEFT_RUN_MIB="lots")
        self.refused("the tunnel's far end did not start", WEFT="/bin/false")


if __name__ == "__main__":
    unittest.main()
