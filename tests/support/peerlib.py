# SPDX-License-Identifier: MIT
"""Programs of others that weft's HTTP, TLS and SSE talk to in tests, and weft's own programs that
talk to them: started with ports that the kernel chose, told ready by a line they write, ended
and reaped whatever happens. What a program wrote is in the failure's text.

A peer that is not installed skips its tests; with CI=true that is a failure."""
import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from weftlib import PATIENCE, Case, until

BUILD = os.environ.get("WEFT_BUILD", "")
PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers")
MIB = 1 << 20
SIZES = (0, 1, 65536, 64 * MIB)
NODE_PATH = "/usr/share/nodejs"  # where Debian has node's packages

# What bodies are made of: byte i of a body is BLOCK[i % len(BLOCK)].
BLOCK = bytes((i * 2654435761 >> 24) & 0xff for i in range(65521))


def pattern(size):
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


@functools.lru_cache(maxsize=64)
def digest(size):
    return hashlib.sha256(pattern(size)).hexdigest()


def expected(size):
    """How the peers tell a body: its size and digest."""
    return f"{size} {digest(size)}"


def missing(what):
    if os.environ.get("CI") == "true":
        raise AssertionError(f"{what} is missing; make setup-peers installs it")
    raise unittest.SkipTest(f"{what} is not installed")


def need(program, *elsewhere):
    """The path of an installed program."""
    path = shutil.which(program) or next(filter(os.path.exists, elsewhere), None)
    return path or missing(program)


def built(name):
    """The path of a program of tests/peers."""
    path = os.path.join(BUILD, "tests", name)
    if not os.path.exists(path):
        raise AssertionError(f"{path} was not built")
    return path


class Program:
    """A process, its stdin kept open; .lines of stdout, .noise of stderr. It is killed with its
    whole group when its block is left, unless it has been waited for."""

    def __init__(self, args, env=None, pass_fds=(), cwd=None):
        self.args = args
        self.lines = []
        self.noise = []
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})}, pass_fds=pass_fds, cwd=cwd,
            start_new_session=True)
        self.pid = self.process.pid
        self.readers = [
            threading.Thread(target=self.read, args=(self.process.stdout, self.lines)),
            threading.Thread(target=self.read, args=(self.process.stderr, self.noise))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def read(pipe, lines):
        for line in pipe:
            lines.append(line.decode(errors="replace").rstrip("\n"))

    def story(self):
        return "\n".join([" ".join(self.args), *self.lines[-40:], *self.noise[-300:]])

    def await_line(self, words, lines=None):
        lines = self.lines if lines is None else lines

        def found():
            for line in list(lines):
                if words in line:
                    return line
            return "" if self.process.poll() is None else "\0"
        try:
            line = until(found, f"a line {words!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.story()}") from None
        if line == "\0":
            self.join()
            line = next((line for line in lines if words in line), None)
            if line is None:
                raise AssertionError(f"ended before it said {words!r}: {self.story()}")
        return line

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def join(self):
        for reader in self.readers:
            reader.join(PATIENCE)

    def end(self):
        """Closes its stdin and waits for it: its status."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"does not end: {self.story()}") from None
        self.join()
        return status

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.join()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.kill()
        self.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def rss(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Ours(Program):
    """A program of weft's: it ends in order, with status 0, and no sanitizer has a word."""

    def __exit__(self, kind, *rest):
        try:
            if kind is None and self.process.returncode is None:
                status = self.end()
                if status != 0:
                    raise AssertionError(f"status {status}: {self.story()}")
        finally:
            super().__exit__(kind, *rest)


    def dump(self):
        """What its fibers wait for."""
        before = len(self.noise)
        self.process.send_signal(signal.SIGQUIT)
        with contextlib.suppress(AssertionError):
            until(lambda: "worker" in "".join(self.noise[before:]), "a dump", 2)
        return "\n".join(self.noise[before:])


class PortServer(Program):
    """One that says "listening PORT" first."""

    scheme = "http"

    def __init__(self, args, **kwargs):
        super().__init__(args, **kwargs)
        try:
            self.port = int(self.await_line("listening ").split()[1])
        except BaseException:
            Program.__exit__(self)
            raise
        self.base = f"{self.scheme}://127.0.0.1:{self.port}"


class WeftServer(Ours, PortServer):
    """tests/peers/weft_http_server with these flags."""

    def __init__(self, *flags, env=None):
        self.scheme = "https" if "--cert" in flags else "http"
        super().__init__([built("weft_http_server"), *flags], env=env)

    def stats(self):
        return numbers(http_get(self, "/stats"))


def numbers(text):
    """A line of NAME=NUMBER words."""
    return {name: int(value) for name, value in
            (word.split("=") for word in text.split() if "=" in word)}


def http_get(server, path):
    """What a clear server answers, by python's client."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode("latin-1")


class WeftClient(Ours):
    """tests/peers/weft_http_client with these flags: one client, a request at a time."""

    def __init__(self, *flags, env=None):
        super().__init__([built("weft_http_client"), *flags], env=env)
        self.asked = 0

    def ask(self, method, url, *words):
        """Does one request; what it has to tell, as a dictionary. Words as in its head."""
        assert not any(c in word for c in "\t\n" for word in (method, url, *words))
        self.say("\t".join((method, url, *words)))
        self.asked += 1
        try:
            until(lambda: len(self.lines) >= self.asked or self.process.poll() is not None,
                  f"an answer to {method} {url}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.dump()}\n{self.story()}") from None
        if len(self.lines) < self.asked:
            self.join()
            raise AssertionError(f"ended at {method} {url}: {self.story()}")
        return json.loads(self.lines[self.asked - 1])


def tls_flags(certs, name="server", client_ca=False):
    flags = ["--cert", certs.chain(name), "--key", certs.key]
    return flags + (["--ca", certs.root] if client_ca else [])


class GoServer(PortServer):
    def __init__(self, *flags):
        self.scheme = "https" if "-cert" in flags else "http"
        super().__init__([need_go(), *flags, "serve"])


def need_go():
    path = os.path.join(BUILD, "tests", "go_http")
    return path if os.path.exists(path) else missing("go (or what it builds tests/go_http from)")


class NodeServer(PortServer):
    def __init__(self, *flags):
        self.scheme = "https" if "--cert" in flags else "http"
        super().__init__([need("node"), os.path.join(PEERS, "node_http.js"), *flags, "serve"],
                         env={"NODE_PATH": NODE_PATH})


def check_program(case, args, env=None):
    """Runs a peer's client to its end: it says "ok NAME" for each of its cases."""
    with Program(args, env=env) as program:
        status = program.end()
        good = [line for line in program.lines if line.startswith("ok ")]
        case.assertFalse(any(line.startswith("not ok") for line in program.lines),
                         program.story())
        case.assertEqual(status, 0, program.story())
        case.assertGreater(len(good), 5, program.story())
        return good


class Nginx(Program):
    """nginx with the body of its http block; PORT in it is the port, FOLDER its folder. Its
    socket is made here and handed down, as nginx hands its own to a new release of itself."""

    def __init__(self, folder, http_block):
        self.folder = os.path.join(folder, "nginx")
        os.makedirs(self.folder, exist_ok=True)
        listener = socket.socket()
        with listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            listener.setblocking(False)  # nginx takes that for granted
            self.port = listener.getsockname()[1]
            config = os.path.join(self.folder, "nginx.conf")
            body = http_block.replace("PORT", str(self.port)).replace("FOLDER", self.folder)
            user = "user root;" if os.geteuid() == 0 else ""
            with open(config, "w", encoding="ascii") as file:
                file.write(f"""{user} daemon off; worker_processes 1;
pid {self.folder}/pid; error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_max_body_size 0; keepalive_requests 100000;
    client_body_temp_path {self.folder}; proxy_temp_path {self.folder};
    fastcgi_temp_path {self.folder}; uwsgi_temp_path {self.folder}; scgi_temp_path {self.folder};
{body}
}}
""")
            super().__init__([need("nginx", "/usr/sbin/nginx"), "-p", self.folder, "-c", config,
                              "-e", "stderr"],
                             env={"NGINX": f"{listener.fileno()};"}, pass_fds=(listener.fileno(),))
        self.await_line("start worker process ", self.noise)
        self.base = f"http://127.0.0.1:{self.port}"


class OpensslServer(Program):
    """openssl s_server, which answers each request with a page (-www)."""

    def __init__(self, *flags):
        super().__init__([need("openssl"), "s_server", "-accept", "127.0.0.1:0", *flags])
        try:
            self.port = int(self.await_line("ACCEPT ").rsplit(":", 1)[1])
        except BaseException:
            Program.__exit__(self)
            raise
        self.base = f"https://127.0.0.1:{self.port}"


class Chromium(Program):
    """A headless browser at url, with a profile of its own."""

    def __init__(self, url, folder, trusted=""):
        """trusted: the hash of a certificate's key, to be taken whoever has signed it."""
        flags = ["--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update",
                 "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
                 "--user-data-dir=" + tempfile.mkdtemp(dir=folder)]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        if trusted:
            flags.append("--ignore-certificate-errors-spki-list=" + trusted)
        super().__init__([need("chromium", "/usr/bin/chromium-browser"), *flags, url])


class Certificates:
    """Made by openssl in a folder. Leaves are signed by an intermediate, that by the root; all
    leaves share one key.

    server, client   good; server is for localhost and 127.0.0.1
    expired, not_yet, wrong_host   what they are called
    self_signed      good but for that
    unknown          by a root that nobody knows"""

    NAMES = {"server": "DNS:localhost,IP:127.0.0.1", "client": "DNS:client.test",
             "expired": "DNS:localhost,IP:127.0.0.1", "not_yet": "DNS:localhost,IP:127.0.0.1",
             "wrong_host": "DNS:elsewhere.test", "unknown": "DNS:localhost,IP:127.0.0.1"}

    def __init__(self, folder):
        self.folder = folder
        self.key = self.path("leaf.key")
        self.root = self.path("root.pem")
        self.configure()
        self.make_key("leaf")
        for authority in ("root", "other"):
            self.make_key(authority)
            self.openssl("req", "-x509", "-new", "-key", self.path(authority + ".key"),
                         "-out", self.path(authority + ".pem"), "-days", "30",
                         "-subj", f"/CN=weft test {authority}", "-config", self.config,
                         "-extensions", "ca")
        self.make_key("intermediate")
        self.sign("intermediate", "root", "ca", key=self.path("intermediate.key"))
        for name in self.NAMES:
            times = {"expired": ("20200101000000Z", "20210101000000Z"),
                     "not_yet": ("21200101000000Z", "21300101000000Z")}.get(name)
            self.sign(name, "other" if name == "unknown" else "intermediate", name, times=times)
        self.openssl("req", "-x509", "-new", "-key", self.key, "-out", self.path("self_signed.pem"),
                     "-days", "30", "-subj", "/CN=self_signed", "-config", self.config,
                     "-extensions", "server")

    def path(self, name):
        return os.path.join(self.folder, name)

    def chain(self, name):
        return self.path(name + ".pem")

    def configure(self):
        self.config = self.path("openssl.cnf")
        leaves = "\n".join(
            f"[{name}]\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
            f"extendedKeyUsage={'clientAuth' if name == 'client' else 'serverAuth'}\n"
            f"subjectAltName={names}\n" for name, names in self.NAMES.items())
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f"""[req]
distinguished_name=name
prompt=no
[name]
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[issue]
new_certs_dir={self.folder}
database={self.path("index")}
unique_subject=no
default_md=sha256
default_days=30
policy=policy
email_in_dn=no
rand_serial=yes
[policy]
commonName=supplied
{leaves}""")
        with open(self.path("index"), "w", encoding="ascii"):
            pass

    @staticmethod
    def openssl(*args):
        done = subprocess.run([need("openssl"), *args], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise AssertionError(f"openssl {' '.join(args)}: {done.stderr.decode()}")

    def key_hash(self):
        """SHA-256 of the leaves' key, as browsers pin it."""
        der = self.path("leaf.der")
        self.openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER", "-out", der)
        with open(der, "rb") as file:
            return base64.b64encode(hashlib.sha256(file.read()).digest()).decode()

    def make_key(self, name):
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                     "-out", self.path(name + ".key"))

    def sign(self, name, issuer, extensions, key=None, times=None):
        """NAME.pem, followed by the intermediate when that signed it."""
        request, out = self.path(name + ".csr"), self.path(name + ".pem")
        self.openssl("req", "-new", "-key", key or self.key, "-out", request, "-config",
                     self.config, "-subj", f"/CN=weft test {name}")
        dates = ("-startdate", times[0], "-enddate", times[1]) if times else ()
        self.openssl("ca", "-batch", "-notext", "-config", self.config, "-name", "issue",
                     "-cert", self.path(issuer + ".pem"), "-keyfile", self.path(issuer + ".key"),
                     "-in", request, "-out", out, "-extensions", extensions, *dates)
        if issuer == "intermediate":
            with open(out, "a", encoding="ascii") as chain, \
                    open(self.path("intermediate.pem"), encoding="ascii") as file:
                chain.write(file.read())


class PeerCase(Case):
    """Has certificates, made once a class, in .certs, and a .folder for each test."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="weft-certs-")
        cls.addClassCleanup(folder.cleanup)
        cls.certs = Certificates(folder.name)


def main():
    """For the test files: unittest's own, but 77 (skipped, to ctest) when nothing ran."""
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.skipped and len(result.skipped) == result.testsRun:
        sys.exit(77)


def cases(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from cases(one)
        else:
            yield one


def run_one(case):
    """A test by itself, as one of several at once: what became of it."""
    result = unittest.TestResult()
    begin = time.monotonic()
    case.run(result)
    for what, _ in result.skipped:
        print(f"{what} ... skipped", flush=True)
    for what, story in result.failures + result.errors:
        print(f"{what} ... FAIL\n{story}", flush=True)
    if result.wasSuccessful() and not result.skipped:
        print(f"{case} ... ok, {time.monotonic() - begin:.1f} s", flush=True)
    return result


def main_parallel(count, at_the_end):
    """main for tests that mostly wait for processes: count of them at a time. Names of tests as
    arguments are those to run. at_the_end raises what still is wrong."""
    names = ["__main__." + name for name in sys.argv[1:]] or ["__main__"]
    chosen = list(cases(unittest.defaultTestLoader.loadTestsFromNames(names)))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        results = list(pool.map(run_one, chosen))
    at_the_end()
    if not all(result.wasSuccessful() for result in results):
        sys.exit(1)
    if all(result.skipped for result in results):
        sys.exit(77)
