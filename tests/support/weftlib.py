# SPDX-License-Identifier: MIT
"""What the tests of the command share: a bridge as a process, servers, clients, and looks
into /proc. Every wait has an end; nothing is left running after a test."""
import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

WEFT = os.environ["WEFT"]
FLAVOUR = os.environ.get("WEFT_FLAVOUR", "release")
PATIENCE = 30  # seconds that anything may take on a slow machine
# Seconds for what waits for no time-out: less than the least of those, --connect-timeout's. The
# thread sanitizer now and then keeps a signal to itself.
AT_ONCE = 9 if FLAVOUR != "tsan" else PATIENCE


def until(condition, what, seconds=PATIENCE):
    """Waits until condition() is true, looking often; its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def run(*args, stdin=b"", timeout=PATIENCE, env=None):
    """weft with these arguments, to its end: (status, stdout, stderr)."""
    kwargs = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run([WEFT, *args], capture_output=True, timeout=timeout, env=env,
                          check=False, **kwargs)
    return done.returncode, done.stdout, done.stderr.decode()


class Bridge:
    """weft bridge with a listener: .port or .url once it is ready, .lines of its stderr."""

    def __init__(self, *args, ready=True, env=None, preexec=None, weft=WEFT):
        self.process = subprocess.Popen([weft, "bridge", *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                                        preexec_fn=preexec)
        self.pid = self.process.pid
        self.lines = []
        self.out = b""
        self.readers = [threading.Thread(target=self.read_stderr),
                        threading.Thread(target=self.read_stdout)]
        for reader in self.readers:
            reader.start()
        if ready:
            until(lambda: self.lines or self.process.poll() is not None, "first line")
            if not self.lines or not self.lines[0].startswith("weft: listening on "):
                self.stop(signal.SIGKILL)
                raise AssertionError(f"not ready: {self.lines}")
            self.url = self.lines[0][len("weft: listening on "):]
            port = re.search(r":(\d+)(/|$)", self.url)
            self.port = int(port.group(1)) if port else None

    def read_stderr(self):
        for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))

    def read_stdout(self):
        while chunk := self.process.stdout.read1(65536):
            self.out += chunk

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        status = self.process.wait(timeout)
        for reader in self.readers:
            reader.join(PATIENCE)
        return status

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        if FLAVOUR == "tsan":
            # the thread sanitizer now and then keeps a signal to itself for ever; nothing
            # that is under way here takes as long
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait(PATIENCE / 2)
            self.process.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop(signal.SIGKILL)
        self.process.stderr.close()
        self.process.stdout.close()

    def connect(self, **kwargs):
        return connect(self.port, **kwargs)

    def has_line(self, text):
        return any(text in line for line in list(self.lines))

    def await_line(self, text):
        until(lambda: self.has_line(text), f"a line with {text!r}, among {self.lines}")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            direct = file.read().split()
        # Children are made by a thread of the runtime: look at every task.
        found = set(direct)
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{self.pid}/task/{task}/children", encoding="ascii") as file:
                    found |= set(file.read().split())
        return len(found)

    def rss(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024

    def fibers(self):
        """How many fibers a dump lists."""
        before = len(self.lines)
        self.send(signal.SIGQUIT)

        def announced():
            lines = [line for line in self.lines[before:]
                     if re.match(r"weft: worker \d+: \d+ fibers?", line)]
            return lines if len(lines) >= self.workers() else None
        lines = until(announced, "a dump")
        return sum(int(line.split(": ")[2].split()[0]) for line in lines)

    def workers(self):
        return len(os.sched_getaffinity(self.pid))


def connect(port, timeout=PATIENCE, rcvbuf=None):
    sock = socket.socket()
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(timeout)
    try:
        sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def read_all(sock):
    parts = []
    while chunk := sock.recv(65536):
        parts.append(chunk)
    return b"".join(parts)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def is_reset(sock):
    """The peer ended it by a reset, at whatever time."""
    try:
        while sock.recv(65536):
            pass
        return False
    except ConnectionResetError:
        return True


def is_refused(port):
    """A new connection to port is reset, before or after connect returns."""
    try:
        with connect(port) as sock:
            return is_reset(sock)
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def connect_from(port):
    """A connection, or None if it was reset before connect returned, and its name."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        name = "tcp://127.0.0.1:%d" % sock.getsockname()[1]
        try:
            sock.connect(("127.0.0.1", port))
        except ConnectionResetError:
            yield None, name
            return
        yield sock, name


held_ports = []


def is_listening(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """Serves each connection by handler(sock) in a thread."""

    def __init__(self, handler, path=None):
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
        else:
            self.listener = socket.socket()
            self.listener.bind(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.url = f"tcp://127.0.0.1:{self.port}"
        self.listener.listen(1024)
        self.handler = handler
        self.accepted = 0
        self.socks = []
        self.threads = []
        self.main = threading.Thread(target=self.serve, daemon=True)
        self.main.start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.socks.append(sock)
            thread = threading.Thread(target=self.handle, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def handle(self, sock):
        with contextlib.suppress(OSError):
            self.handler(sock)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.main.join(PATIENCE)
        for sock in self.socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self.threads:
            thread.join(PATIENCE)


def echo(sock):
    while chunk := sock.recv(65536):
        sock.sendall(chunk)
    sock.shutdown(socket.SHUT_WR)


def free_port():
    """One that nobody listens on, and that the kernel gives to nobody else while we run: it stays
    bound, which refuses connections, and with SO_REUSEADDR one may listen on it all the same."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    held_ports.append(sock)
    return sock.getsockname()[1]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-test-")
        self.folder = folder.name
        self.addCleanup(folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder, name)

    def assert_one_line(self, stderr, *parts):
        self.assertTrue(stderr.startswith("weft: ") and stderr.endswith("\n"), stderr)
        self.assertEqual(stderr.count("\n"), 1, stderr)
        for part in parts:
            self.assertIn(part, stderr)
