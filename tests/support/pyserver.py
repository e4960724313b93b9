# SPDX-License-Identifier: MIT
"""python's http.server as a peer: answers what tests/peers/README.md lists, in threads."""
import gzip
import hashlib
import http.server
import ssl
import threading
import urllib.parse

from peerlib import BLOCK, PATIENCE, digest, pattern


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    wbufsize = 65536

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        name = url.path.split("/")[1]
        size = url.path.rsplit("/", 1)[1]
        route = getattr(self, "get_" + name, None)
        if route is None:
            self.reply(404)
            return
        route(int(size) if size.isdigit() else 0, urllib.parse.parse_qs(url.query))
    do_POST = do_HEAD = do_PUT = do_GET

    def handle_expect_100(self):
        if self.path == "/refuse":
            return True  # answered as any other, without a 100
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def reply(self, status, body=b"", **fields):
        self.send_response(status)
        for field, value in fields.items():
            self.send_header(field.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def body(self):
        """The parts of the request's body; trailers are in self.trailers after the last."""
        self.trailers = []
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while (line := self.rfile.readline().strip()):
                self.trailers.append(line.decode())
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            part = self.rfile.read(min(left, 65536))
            if not part:
                raise ConnectionError("the body ends early")
            left -= len(part)
            yield part

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def get_bytes(self, size, _):
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(pattern(size))
        self.wfile.flush()

    def start_chunked(self, **fields):
        self.send_response(200)
        for field, value in fields.items():
            self.send_header(field.replace("_", "-"), value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def get_chunked(self, size, _):
        self.start_chunked(Trailer="X-Digest")
        left = size
        while left > 0:
            self.chunk(BLOCK[:left])
            left -= min(left, len(BLOCK))
        self.wfile.write(b"0\r\nX-Digest: %s\r\n\r\n" % digest(size).encode())
        self.wfile.flush()

    def get_gzip(self, size, _):
        if "gzip" not in self.headers.get("Accept-Encoding", ""):
            self.reply(406)
            return
        self.reply(200, gzip.compress(pattern(size), 1), Content_Encoding="gzip")

    def get_digest(self, *_):
        hashed, size = hashlib.sha256(), 0
        for part in self.body():
            hashed.update(part)
            size += len(part)
        lines = [f"{size} {hashed.hexdigest()}"]
        for trailer in self.trailers:
            name, value = trailer.split(":", 1)
            lines.append(f"{name.lower()}:{value}")
        self.reply(200, ("\n".join(lines) + "\n").encode())

    def get_echo(self, *_):
        self.start_chunked()
        for part in self.body():
            self.chunk(part)
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def get_fields(self, *_):
        lines = sorted(f"{name.lower()}: {value}\n" for name, value in self.headers.items())
        self.reply(200, "".join(lines).encode())

    def get_redirect(self, status, query):
        for _ in self.body():
            pass
        self.reply(status, Location=query["to"][0])

    def get_refuse(self, *_):
        self.close_connection = True
        self.reply(413)

    def get_peer(self, *_):
        self.reply(200, b"%s:%d\n" % (self.client_address[0].encode(), self.client_address[1]))

    def get_close(self, *_):
        self.close_connection = True
        self.reply(200, b"%d\n" % self.client_address[1], Connection="close")

    def get_tls(self, *_):
        self.reply(200, f"resumed={str(self.connection.session_reused).lower()} "
                        f"protocol={self.connection.selected_alpn_protocol() or ''}\n".encode())

    def get_early(self, *_):
        self.send_response_only(103)
        self.send_header("Link", "</style.css>; rel=preload")
        self.end_headers()
        self.reply(200, b"late\n")

    def get_events(self, *_):
        """Three a connection, from the one after Last-Event-ID, nine in all; then 204."""
        last = int(self.headers.get("Last-Event-ID", 0))
        if last >= 9:
            self.send_response(204)
            self.end_headers()
            self.wfile.flush()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 20\n\n")
        for i in range(last + 1, last + 4):
            self.wfile.write(b": a comment\nevent: tick\nid: %d\n"
                             b"data: number %d\ndata: second line\n\n" % (i, i))
            self.wfile.flush()
        self.wfile.write(b"data: unfinished")
        self.wfile.flush()


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that goes away is no news

    def finish_request(self, request, client_address):
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(PATIENCE)
            request.do_handshake()
        super().finish_request(request, client_address)


class PythonServer:
    def __init__(self, certs=None, client_ca=False):
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.base = f"http{'s' if certs else ''}://127.0.0.1:{self.port}"
        self.connections = []
        if certs:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certs.chain("server"), certs.key)
            context.set_alpn_protocols(["http/1.1"])
            if client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(certs.root)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join(PATIENCE)
        self.server.server_close()  # joins the handlers: their clients have gone
