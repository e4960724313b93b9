# SPDX-License-Identifier: MIT
"""The suite of HTTP: parser, scanner, server, client, TLS, the client's pool; and how the
servers of others are set up."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from measure import (BOTH, HERE, ONE, OTHER, WEFT, Aim, Row, lines, package, pinned, say, version,
                     weft)

BODY = b"0123456789abcdef" * 8  # of http_rows.h
CPUCLOCK_SCHED = 2              # linux/posix-timers.h: a process's time on processors, in ns
START_S = 10                    # that a server may take
AT_ONCE = (1, 16, 64)


# --- servers --------------------------------------------------------------------------------

def family(pid):
    """The process and its children, theirs too."""
    found = [pid]
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, task), encoding="utf-8") as f:
            for child in f.read().split():
                found += family(int(child))
    return found


def cpu_ns(pid):
    """Processor time, user and system, of all threads of a process and its children."""
    return sum(time.clock_gettime_ns(~p << 3 | CPUCLOCK_SCHED) for p in family(pid))


def free_port():
    """For those that must be told one."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise SystemExit("bench: nothing listens on port %d" % port)


def check(port):
    """What the server says is what all others say."""
    with socket.create_connection(("127.0.0.1", port), timeout=START_S) as s:
        for _ in range(100):
            s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            data = b""
            while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < len(BODY):
                more = s.recv(65536)
                if not more:
                    raise SystemExit("bench: the server closed after %r" % data)
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            if not head.startswith(b"HTTP/1.1 200 ") or body != BODY:
                raise SystemExit("bench: another reply: %r" % data)


class Program:
    """A server that prints "port N"."""

    def __init__(self, *command):
        self.command = command

    @contextlib.contextmanager
    def running(self, cpus):
        """(port, pid) of it, on these processors."""
        with subprocess.Popen(pinned(cpus, *self.command), stdout=subprocess.PIPE,
                              text=True) as server:
            try:
                first = server.stdout.readline().split()
                if len(first) != 2:
                    raise SystemExit("bench: %s did not start" % " ".join(self.command))
                yield int(first[1]), server.pid
            finally:
                server.kill()


class Configured(Program):
    """One that reads a file: config(folder, port) says what is in it."""

    def __init__(self, config, *command):
        super().__init__(*command)
        self.config = config

    @contextlib.contextmanager
    def running(self, cpus):
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            path = os.path.join(folder, "config")
            with open(path, "w", encoding="utf-8") as f:
                f.write(self.config(folder, port))
            with open(os.path.join(folder, "body.txt"), "wb") as f:
                f.write(BODY)
            command = [word.replace("CONFIG", path) for word in self.command]
            with subprocess.Popen(pinned(cpus, *command), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as server:
                try:
                    wait_for(port)
                    yield port, server.pid
                finally:
                    server.terminate()


def user(line):
    """Who is root is made somebody else, unless told."""
    return line if os.geteuid() == 0 else ""


def nginx_config(folder, port):
    return """%sworker_processes 1;
daemon off;
pid %s/pid;
error_log /dev/null emerg;
events { worker_connections 1024; }
http {
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    default_type text/plain;
    server {
        listen 127.0.0.1:%d;
        location / { return 200 "%s"; }
    }
}
""" % (user("user root;\n"), *[folder] * 6, port, BODY.decode())


def h2o_config(folder, port):
    return """%slisten: {host: 127.0.0.1, port: %d}
num-threads: 1
error-log: /dev/null
send-server-name: OFF
hosts:
  default:
    paths:
      "/":
        file.file: %s/body.txt
        file.etag: OFF
""" % (user("user: root\n"), port, folder)


def missing(what, where="make setup-bench"):
    say("bench: %s is left out (%s)" % (what, where))


def servers(p):
    """Label -> Program, of those there are; weft's too."""
    found = {"weft": Program(*weft("http_server"))}
    if shutil.which("nginx"):
        found["nginx " + version("nginx", "-v")] = Configured(
            nginx_config, "nginx", "-c", "CONFIG", "-e", "/dev/null")
    else:
        missing("nginx")
    if shutil.which("h2o"):
        found["h2o " + version("h2o", "--version")] = Configured(
            h2o_config, "h2o", "-c", "CONFIG")
    else:
        missing("h2o")
    mhd = p.c("mhd_http", "-lmicrohttpd")
    if mhd:
        found["libmicrohttpd " + package("libmicrohttpd-dev")] = Program(mhd)
    go = p.go_program("go_http")
    if go:
        found[p.go] = Program(go, "server")
    raw = p.c("epoll_http")
    if raw:
        found["raw epoll"] = Program(raw)
    return found


class Server(Row):
    """wrk loads it from another core, with so many connections."""

    def __init__(self, connections, programs):
        super().__init__("server-%d" % connections, ONE, programs)
        self.connections = connections

    def measure(self, who, quick):
        with self.programs[who].running(ONE) as (port, pid):
            check(port)
            before = cpu_ns(pid)
            out = subprocess.run(pinned(OTHER, "wrk", "-t1", "-c%d" % self.connections,
                                        "-d1s" if quick else "-d2s",
                                        "http://127.0.0.1:%d/" % port),
                                 capture_output=True, text=True, check=True).stdout
            used = cpu_ns(pid) - before
        if "Socket errors" in out or "Non-2xx" in out:
            raise SystemExit("bench: %s: %s" % (who, out))
        count = float(re.search(r"(\d+) requests in", out).group(1))
        rate = float(re.search(r"Requests/sec: +([\d.]+)", out).group(1))
        return {self.name: (rate, "requests/s"), self.name + "-cpu": (used / count, "ns")}

    def aim(self, name):
        if name.endswith("-cpu"):
            return Aim("below nginx's and h2o's", ("nginx", "h2o"), lambda ratio, _: ratio < 1)
        return Aim(None, ("nginx", "h2o", "libmicrohttpd", "go"))


# --- clients --------------------------------------------------------------------------------

class Client(Row):
    """So many requests under way at once, towards the raw server on another core."""

    def __init__(self, at_once, programs, server):
        super().__init__("client-%d" % at_once, ONE, programs)
        self.server = server

    def measure(self, who, quick):
        with self.server.running(OTHER) as (port, _):
            return lines(pinned(ONE, *self.programs[who], self.name, str(port)), quick)

    def aim(self, name):
        if name.endswith("-cpu"):
            return Aim(None, "raw epoll")
        return Aim("at least 0.85 of raw epoll", "raw epoll", lambda ratio, _: ratio >= 0.85)


def undici():
    """(label, command); Debian's modules are where its own node looks for them."""
    script = os.path.join(HERE, "peers", "undici_http.js")
    where = "/usr/share/nodejs"
    if not shutil.which("node") or not os.path.isdir(where + "/undici"):
        missing("undici")
        return None
    label = "undici %s, node %s" % (package("node-undici").split("+")[0],
                                    version("node", "--version"))
    return label, ["env", "NODE_PATH=" + where, "node", script]


def clients(p):
    programs = {"weft": weft("http_client")}
    raw, curl, go = p.c("epoll_http_client"), p.c("curl_http", "-lcurl"), p.go_program("go_http")
    if raw:
        programs["raw epoll"] = [raw]
    if curl:
        programs["libcurl " + package("libcurl4-openssl-dev")] = [curl]
    if go:
        programs[p.go] = [go]
    node = undici()
    if node:
        programs[node[0]] = node[1]
    return programs


# --- TLS ------------------------------------------------------------------------------------

class Tls(Row):
    """One end, server or client; the other is OpenSSL's alone, on another core."""

    def __init__(self, end, kind, programs, raw):
        super().__init__("tls-%s-%s" % (end, kind), ONE, programs)
        self.end, self.kind, self.raw = end, kind, raw
        self.cert, self.key = (os.path.join(WEFT, name) for name in ("cert.pem", "key.pem"))

    def certify(self):
        """ECDSA, P-256; signed by itself, and the root that clients trust."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        self.key, "-out", self.cert], check=True, capture_output=True)

    def measure(self, who, quick):
        self.certify()
        server, client = self.programs[who], self.raw
        if self.end == "client":
            server, client = client, server
        cpus = (ONE, OTHER) if self.end == "server" else (OTHER, ONE)
        program = Program(*server, "server", self.kind, self.cert, self.key)
        with program.running(cpus[0]) as (port, pid):
            before = cpu_ns(pid)
            found = lines(pinned(cpus[1], *client, "client", self.kind, self.cert, str(port)),
                          quick)
            used = cpu_ns(pid) - before
        rate, cpu = found["rate"], found["cpu"]
        if self.end == "server":
            cpu = (used / found["units"][0] / (1e9 if self.kind == "bulk" else 1e3), cpu[1])
        return {self.name: rate, self.name + "-cpu": cpu}


def tls_rows(p):
    raw = p.c("openssl_tls", "-lssl", "-lcrypto")
    if not raw or not shutil.which("openssl"):
        missing("openssl, and with it the rows of TLS,")
        return []
    programs = {"weft": weft("tls")}
    programs["OpenSSL " + version("openssl", "version")] = [raw]
    return [Tls(end, kind, programs, [raw]) for end in ("server", "client")
            for kind in ("full", "resumed", "bulk")]


# --- codecs ---------------------------------------------------------------------------------

class Codec(Row):
    """One core; what the programs call it has no prefix."""

    def __init__(self, prefix, name, programs, goal=None, target=None, of=None, limit=None):
        super().__init__(prefix + name, ONE, programs, [name], goal, target, of, limit)
        self.prefix = prefix

    def places(self, name, who):
        return [(self.prefix + name, who)]


def parse_rows():
    """The program has llhttp in it, of the sources that Debian's node-llhttp brings."""
    program, header = weft("http1_parse"), "/usr/share/include/llhttp/llhttp.h"
    programs = {"weft": program}
    if os.path.exists(header):
        with open(header, encoding="utf-8") as f:
            found = re.findall(r"LLHTTP_VERSION_\w+ (\d+)", f.read())
        programs["llhttp " + ".".join(found)] = [*program, "llhttp"]
    else:
        missing("llhttp")
    rows = []
    for name, ns in (("small", 40), ("browser", 150), ("response", 100), ("chunked", None)):
        row = Codec("parse-", name, programs, "no slower than llhttp", of="llhttp", limit=1)
        if ns:
            row.goal = "%d ns, and no slower than llhttp" % ns
            row.limit = None
            row.target = lambda w, peers, ns=ns: w <= ns and w <= min(peers.values())
        rows.append(row)
    return rows


class Scan(Row):
    """A message; what it prints besides is the same in bytes a second."""

    def is_beside(self, name):
        return name.endswith("-rate")

    def rank(self, name):
        return self.is_beside(name)

    def aim(self, name):
        if self.is_beside(name):
            return Aim(None, "cJSON")
        return Aim("7 times as fast as cJSON", "cJSON", lambda ratio, _: ratio <= 1 / 7)


def scan_rows(p):
    programs = {"weft": weft("jsonrpc_scan")}
    cjson = p.c("cjson_scan", "-lcjson")
    if cjson:
        programs["cJSON " + package("libcjson-dev")] = [cjson]
    return [Scan(name, ONE, programs) for name in
            ("scan-300-call", "scan-300-reply", "scan-100k-text", "scan-100k-escaped",
             "scan-100k-unicode", "scan-100k-objects", "scan-100k-indented", "scan-100k-numbers")]


# --- the client's pool ----------------------------------------------------------------------

def pool_rows(p):
    """Threads on two cores. Reported: no goal."""
    programs = {"weft": weft("http_pool")}
    plain = p.c("lock_http_pool")
    if plain:
        programs["one mutex and a table"] = [plain]
    return [Row("http-pool-%dt" % n, ONE if n == 1 else BOTH, programs) for n in (1, 4, 16)]


# --- the suite ------------------------------------------------------------------------------

def suite_http(p):
    rows = parse_rows() + scan_rows(p)
    if shutil.which("wrk"):
        rows += [Server(n, servers(p)) for n in AT_ONCE]
    else:
        missing("wrk, and with it the servers' rows,")
    raw = p.c("epoll_http")
    rows += [Client(n, clients(p), Program(raw)) for n in AT_ONCE]
    return rows + tls_rows(p) + pool_rows(p)
