#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=240
"""The weft command as its users meet it: arguments, exit statuses, lines on stderr, and
bytes through every pair of endpoints."""
import contextlib
import hashlib
import json
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
# pylint: disable=wrong-import-position
from weftlib import (AT_ONCE, FLAVOUR, PATIENCE, WEFT, Bridge, Case, Server, connect_from, echo,
                     free_port, is_listening, is_refused, is_reset, read_all, reset, run, until)


class Arguments(Case):
    def usage(self, args, *parts):
        start = time.monotonic()
        status, out, err = run("bridge", *args)
        self.assertEqual(status, 2, (args, err))
        self.assertEqual(out, b"")
        self.assert_one_line(err, *parts)
        self.assertLess(time.monotonic() - start, AT_ONCE)

    def test_bad_arguments_are_one_line_and_status_2(self):
        cases = [
            (["foo:x", "tcp://:1"], "unknown scheme", "foo:", "stdio:", "unix:"),
            (["stdio:", "foo"], "foo", "no scheme"),
            (["stdio:", "stdio"], "stdio:"),
            (["stdio:", "tcp://localhost"], "tcp://localhost", "port is missing"),
            (["stdio:", "tcp://localhost:70000"], "70000", "65535"),
            (["listen:tcp://:70000", "tcp://:1"], "70000"),
            (["stdio:", "tcp://:0"], "port 0"),
            (["stdio:", "tcp://:1?nodelay=maybe"], "nodelay", "maybe"),
            (["stdio:", "tcp://:1?nodlay=1"], "nodlay"),
            (["listen:unix:/x?mode=rw", "tcp://:1"], "mode", "rw"),
            (["--frobnicate", "stdio:", "tcp://:1"], "--frobnicate"),
            (["stdio:", "tcp://:1", "--idle-timout", "1s"], "--idle-timeout"),
            (["-x", "stdio:", "tcp://:1"], "-x"),
            (["--idle-timeout", "5", "stdio:", "tcp://:1"], "--idle-timeout", '"5"'),
            (["--idle-timeout=", "stdio:", "tcp://:1"], "--idle-timeout"),
            (["--connect-timeout=0s", "stdio:", "tcp://:1"], "--connect-timeout"),
            (["stdio:", "tcp://:1", "--read-timeout"], "--read-timeout", "missing"),
            (["--max-connections=0", "stdio:", "tcp://:1"], "--max-connections"),
            (["--max-connections=many", "stdio:", "tcp://:1"], "many"),
            (["--max-children=99999999", "stdio:", "exec:cat"], "99999999"),
            (["--insecure=yes", "stdio:", "tcp://:1"], "--insecure"),
            (["--log-level=loud", "stdio:", "tcp://:1"], "loud"),
            (["--log-format=xml", "stdio:", "tcp://:1"], "xml"),
            (["--env=A", "stdio:", "exec:cat"], '"A"'),
            (["--env=A=1", "stdio:", "tcp://:1"], "environment"),
            (["--session", "shared", "stdio:", "exec:cat"], "--session", "http"),
            (["--max-message-size=1MiB", "stdio:", "exec:cat"], "--max-message-size", "http"),
            (["--token-file=x", "stdio:", "exec:cat"], "--token-file", "http"),
            (["--allow-origin=x", "stdio:", "exec:cat"], "--allow-origin"),
            (["--allow-host=x", "stdio:", "exec:cat"], "--allow-host"),
            (["--server", "a=b", "listen:tcp://:0"], "--server"),
            ([], "FROM is missing"),
            (["stdio:"], "TO is missing"),
            (["stdio:", "--"], "command"),
            (["stdio:", "tcp://:1", "x"], '"x"'),
            (["stdio:", "tcp://:1", "--", "cat"], "both"),
            (["stdio:", "stdio:"], "stdio:"),
            (["exec:cat", "stdio:"], "exec:cat", "child"),
            (["tcp://:1", "stdio:"], "listen:tcp://:1"),
            (["listen:tcp://:0", "listen:tcp://:0"], "listen:"),
            (["listen:tcp://0.0.0.0:0", "--", "cat"], "--insecure", "cat"),
            (["listen:tcp://[::]:0", "exec:cat"], "--insecure"),
            (["stdio:", "exec:'cat"], "'"),
            (["stdio:", "exec:"], "missing"),
            (["stdio:", "unix:/a%zz"], "%"),
            (["stdio:", "unix:" + "/x" * 100], "107"),
        ]
        for scheme in ("ws", "wss"):
            cases.append((["stdio:", scheme + "://h:1"], scheme + ":", "yet"))
        for args, *parts in cases:
            with self.subTest(args=args):
                self.usage(args, *parts)

    def test_hostile_bytes_stay_on_the_line(self):
        status, _, err = run("bridge", "stdio:", "a\nb\x1b[2J:c")
        self.assertEqual(status, 2)
        self.assert_one_line(err)
        self.assertNotIn("\x1b", err)

    def test_flags_take_both_forms_and_any_place(self):
        for args in (["--idle-timeout", "5s", "stdio:", "exec:cat"],
                     ["stdio:", "--idle-timeout=1.5s", "exec:cat"],
                     ["stdio:", "exec:cat", "--idle-timeout=off", "--drain-timeout", "0s"],
                     ["--max-children=1", "stdio:", "--log-format=json", "--", "cat"]):
            with self.subTest(args=args):
                self.assertEqual(run("bridge", *args, stdin=b"x"), (0, b"x", ""))

    def test_a_command_keeps_its_own_flags(self):
        status, out, _ = run("bridge", "stdio:", "--", "echo", "--", "--help", "--idle-timeout")
        self.assertEqual((status, out), (0, b"-- --help --idle-timeout\n"))

    def test_help_and_version(self):
        for args in (["--help"], ["-h"], ["help"]):
            status, out, err = run(*args)
            self.assertEqual((status, err), (0, ""))
            self.assertIn(b"usage: weft COMMAND", out)
        for args in (["bridge", "--help"], ["help", "bridge"], ["bridge", "x", "-h"]):
            status, out, err = run(*args)
            self.assertEqual((status, err), (0, ""))
            self.assertIn(b"--drain-timeout", out)
        status, out, err = run("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out.decode(), r"^weft \d+\.\d+\.\d+\n$")

    def test_unknown_commands(self):
        for args, part in ((["brigde"], "did you mean bridge?"), (["frobnicate"], "frobnicate"),
                           (["--verison"], "--verison"), ([], "--help"), (["help", "x"], '"x"')):
            status, out, err = run(*args)
            self.assertEqual((status, out), (2, b""))
            self.assert_one_line(err, part)


class World(Case):
    """What the world refuses: status 1, one line that names it, at once."""

    def fails(self, args, *parts):
        start = time.monotonic()
        status, out, err = run("bridge", *args)
        self.assertEqual(status, 1, (args, err))
        self.assertEqual(out, b"")
        self.assert_one_line(err, *parts)
        self.assertLess(time.monotonic() - start, AT_ONCE)

    def test_port_in_use(self):
        with Server(echo) as server:
            self.fails(["listen:" + server.url, "exec:cat"], f":{server.port}")

    def test_socket_file_in_use(self):
        with Server(echo, self.path("s")):
            self.fails(["listen:unix:" + self.path("s"), "exec:cat"], self.path("s"))

    def test_socket_path_that_is_a_file(self):
        with open(self.path("f"), "w", encoding="ascii") as file:
            file.write("precious")
        self.fails(["listen:unix:" + self.path("f"), "exec:cat"], self.path("f"))
        with open(self.path("f"), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_refused_connection(self):
        port = free_port()
        self.fails(["stdio:", f"tcp://127.0.0.1:{port}"], f":{port}", "refused")

    def test_name_that_does_not_resolve(self):
        self.fails(["stdio:", "tcp://nosuch.invalid:1"], "nosuch.invalid")

    def test_no_socket_file(self):
        self.fails(["stdio:", "unix:" + self.path("none")], self.path("none"))

    def test_not_an_address_of_this_host(self):
        self.fails(["listen:tcp://192.0.2.1:0", "tcp://:1"], "192.0.2.1")

    def test_missing_program(self):
        self.fails(["stdio:", "--", "no-such-program"], "no-such-program")
        self.fails(["listen:tcp://:0", "exec:no-such-program x"], "no-such-program")
        self.fails(["stdio:", "exec:/etc/passwd"], "/etc/passwd")
        self.fails(["stdio:", "exec:" + self.folder], self.folder)

    def test_connect_timeout(self):
        # A listener whose queue is full answers nothing.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            self.fails(["--connect-timeout=200ms", "stdio:", f"tcp://127.0.0.1:{port}"],
                       f":{port}", "timed out")
            for filler in fillers:
                filler.close()

    def test_a_world_error_is_json_when_asked(self):
        status, _, err = run("bridge", "--log-format=json", "stdio:", "tcp://nosuch.invalid:1")
        self.assertEqual(status, 1)
        self.assertEqual(json.loads(err)["level"], "error")
        self.assertEqual(json.loads(err)["error"], "WEFT_ERESOLVE")


class Stdio(Case):
    def test_a_child_echoes(self):
        self.assertEqual(run("bridge", "stdio:", "exec:cat", stdin=b"hello\n"), (0, b"hello\n", ""))

    @unittest.skipUnless(shutil.which("bc"), "no bc")
    def test_bc(self):
        self.assertEqual(run("bridge", "stdio:", "exec:bc -q", stdin=b"6*7\n2^70\n")[:2],
                         (0, b"42\n1180591620717411303424\n"))

    def test_words_reach_the_child(self):
        status, out, _ = run("bridge", "stdio:", "exec:printf '%s,' a\\ b \"c 'd'\" $HOME '*'")
        self.assertEqual((status, out), (0, b"a b,c 'd',$HOME,*,"))

    def test_tcp_with_half_close(self):
        with Server(lambda s: s.sendall(b"got %d" % len(read_all(s)))) as server:
            def handler(sock):
                body = read_all(sock)
                sock.sendall(b"got %d" % len(body))
                sock.close()
            server.handler = handler
            self.assertEqual(run("bridge", "stdio:", server.url, stdin=b"x" * 100000),
                             (0, b"got 100000", ""))

    def test_files_and_dev_null(self):
        data = os.urandom(3_000_000)
        with open(self.path("in"), "wb") as file:
            file.write(data)
        with open(self.path("in"), "rb") as stdin, open(self.path("out"), "wb") as stdout:
            done = subprocess.run([WEFT, "bridge", "stdio:", "exec:cat"], stdin=stdin,
                                  stdout=stdout, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)
        with open(self.path("out"), "rb") as file:
            self.assertEqual(file.read(), data)
        self.assertEqual(run("bridge", "stdio:", "exec:wc -c", stdin=subprocess.DEVNULL)[:2],
                         (0, b"0\n"))
        with open(os.devnull, "wb") as stdout:
            done = subprocess.run([WEFT, "bridge", "stdio:", "exec:cat"], stdin=subprocess.DEVNULL,
                                  stdout=stdout, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)

    def test_closed_stdio_is_dev_null(self):
        for closed, out in (("<&-", b""), (">&-", b""), ("2>&-", b"abc"),
                            ("<&- >&- 2>&-", b"")):
            shell = '"$0" bridge stdio: exec:cat ' + closed
            done = subprocess.run(["sh", "-c", shell, WEFT], input=b"abc", capture_output=True,
                                  timeout=PATIENCE, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, out), (closed, done.stderr))

    def test_inherited_descriptors_keep_their_flags(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = subprocess.Popen([WEFT, "bridge", "stdio:", "exec:cat"], stdin=theirs,
                                     stdout=theirs)
            ours.settimeout(PATIENCE)
            ours.sendall(b"x")
            self.assertEqual(ours.recv(10), b"x")
            self.assertTrue(os.get_blocking(theirs.fileno()))
            ours.shutdown(socket.SHUT_WR)
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_a_terminal(self):
        leader, follower = pty.openpty()
        child = subprocess.Popen([WEFT, "bridge", "stdio:", "exec:cat"], stdin=follower,
                                 stdout=follower, stderr=subprocess.PIPE)
        os.write(leader, b"line\n")
        seen = b""
        while seen.count(b"line") < 2:  # the terminal's echo, and cat's
            seen += os.read(leader, 100)
        os.write(leader, b"\x04")
        self.assertEqual(child.wait(PATIENCE), 0)
        self.assertTrue(os.get_blocking(follower))
        child.stderr.close()
        os.close(leader)
        os.close(follower)

    def test_a_child_that_ends_first_ends_the_bridge_though_stdin_stays_open(self):
        leader, follower = pty.openpty()
        child = subprocess.Popen([WEFT, "bridge", "stdio:", "exec:echo bye"], stdin=follower,
                                 stdout=subprocess.PIPE)
        self.assertEqual(child.stdout.read(), b"bye\n")
        self.assertEqual(child.wait(PATIENCE), 0)
        child.stdout.close()
        os.close(leader)
        os.close(follower)

    def test_the_childs_status_is_told(self):
        status, out, err = run("bridge", "stdio:", "exec:sh -c 'echo out; exit 3'")
        self.assertEqual((status, out), (1, b"out\n"))
        self.assert_one_line(err, "sh", "status 3")
        status, _, err = run("bridge", "stdio:", "exec:sh -c 'kill -9 $$'")
        self.assertEqual(status, 1)
        self.assert_one_line(err, "signal 9")

    def test_stderr_is_the_childs_too(self):
        self.assertEqual(run("bridge", "stdio:", "exec:sh -c 'echo oops >&2'")[2], "oops\n")

    def test_a_child_that_reads_only_some(self):
        status, out, err = run("bridge", "stdio:", "exec:head -c 5", stdin=b"0123456789" * 200000)
        self.assertEqual((status, out, err), (0, b"01234", ""))

    def test_a_grandchild_does_not_hold_the_bridge(self):
        start = time.monotonic()
        status, out, _ = run("bridge", "stdio:", "--", "sh", "-c",
                             "setsid sleep 60 2>/dev/null & echo $!; cat", stdin=b"x")
        self.assertEqual(status, 0)
        self.assertIn(b"x", out)
        self.assertLess(time.monotonic() - start, 20)
        os.kill(int(out.split()[0]), signal.SIGKILL)

    def test_the_environment(self):
        env = {**os.environ, "WEFT_SECRET": "s", "WEFT_WANTED": "w", "LC_X": "l"}
        for flags, wanted, absent in (
                ([], ["PATH=", "LC_X=l"], ["WEFT_SECRET", "WEFT_WANTED"]),
                (["--pass-env=WEFT_WANTED,NOSUCH", "--env=NEW=1", "--env", "LC_X=other"],
                 ["PATH=", "WEFT_WANTED=w", "NEW=1", "LC_X=other"], ["WEFT_SECRET", "LC_X=l"]),
                (["--pass-env=*"], ["WEFT_SECRET=s", "WEFT_WANTED=w"], [])):
            out = run("bridge", *flags, "stdio:", "exec:env", env=env)[1].decode()
            for part in wanted:
                self.assertIn("\n" + part, "\n" + out)
            for part in absent:
                self.assertNotIn("\n" + part, "\n" + out)

    def test_children_get_the_limit_that_the_bridge_was_given(self):
        def lower():
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        done = subprocess.run([WEFT, "bridge", "stdio:", "exec:sh -c 'ulimit -n'"],
                              preexec_fn=lower, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.stdout, b"512\n")

    def test_a_broken_stdout_ends_it(self):
        read, write = os.pipe()
        child = subprocess.Popen([WEFT, "bridge", "stdio:", "exec:yes"], stdin=subprocess.DEVNULL,
                                 stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        os.read(read, 10)
        os.close(read)
        self.assertEqual(child.wait(PATIENCE), 1)
        self.assert_one_line(child.stderr.read().decode(), "stdio:")
        child.stderr.close()

    def test_a_server_that_resets_is_status_1(self):
        with Server(lambda s: (s.recv(1), reset(s))) as server:
            status, _, err = run("bridge", "stdio:", server.url, stdin=b"x")
        self.assertEqual(status, 1)
        self.assert_one_line(err, "reset")

    def test_one_byte_at_a_time(self):
        def handler(sock):
            while byte := sock.recv(1):
                sock.sendall(byte)
            sock.shutdown(socket.SHUT_WR)
        data = os.urandom(3000)
        with Server(handler) as server:
            self.assertEqual(run("bridge", "stdio:", server.url, stdin=data)[:2], (0, data))

    def test_stdio_as_to_takes_one_session(self):
        with Bridge("listen:tcp://:0", "stdio:") as bridge:
            with bridge.connect() as first:
                first.sendall(b"into stdout")
                until(lambda: bridge.out == b"into stdout", "the bytes")
                until(lambda: not is_listening(bridge.port), "no second session")
                first.shutdown(socket.SHUT_WR)
                self.assertEqual(first.recv(1), b"")
            self.assertEqual(bridge.wait(), 0)
            self.assertEqual(len(bridge.lines), 1)


class Listeners(Case):
    def test_the_first_line_is_the_url(self):
        with Bridge("--log-format=json", "--log-level=trace", "listen:tcp://:0",
                    "exec:cat") as bridge:
            self.assertRegex(bridge.lines[0], r"^weft: listening on tcp://127\.0\.0\.1:[1-9]\d*$")
        with Bridge("listen:unix:" + self.path("s"), "exec:cat") as bridge:
            self.assertEqual(bridge.lines[0], "weft: listening on unix:" + self.path("s"))
        with Bridge("listen:tcp://[::1]:0", "exec:cat") as bridge:
            self.assertRegex(bridge.lines[0], r"^weft: listening on tcp://\[::1\]:[1-9]\d*$")

    def test_tcp_to_tcp_both_ways_with_half_close(self):
        data = os.urandom(5_000_000)
        with Server(echo) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                sender = threading.Thread(
                    target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
                sender.start()
                back = read_all(sock)
                sender.join()
            self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())
            self.assertEqual(bridge.stop(), 0)
            self.assertEqual(len(bridge.lines), 1)

    def test_the_server_may_half_close_first(self):
        got = []

        def handler(sock):
            sock.sendall(b"greeting")
            sock.shutdown(socket.SHUT_WR)
            got.append(read_all(sock))
        with Server(handler) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                self.assertEqual(read_all(sock), b"greeting")
                sock.sendall(b"still here")
                sock.shutdown(socket.SHUT_WR)
                until(lambda: got, "the server's end")
            self.assertEqual(got, [b"still here"])

    def test_unix_sockets_at_both_ends(self):
        odd = self.path("odd?name%")
        with Server(echo, odd) as _, \
                Bridge("listen:unix:" + self.path("s") + "?mode=0600",
                       "unix:" + odd.replace("%", "%25").replace("?", "%3F")) as bridge:
            self.assertEqual(os.stat(self.path("s")).st_mode & 0o777, 0o600)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(self.path("s"))
                sock.sendall(b"hi")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"hi")
            self.assertEqual(bridge.stop(), 0)
            self.assertFalse(os.path.exists(self.path("s")))

    def test_a_stale_socket_file_is_replaced(self):
        with Bridge("listen:unix:" + self.path("s"), "exec:cat") as bridge:
            bridge.stop(signal.SIGKILL)
        self.assertTrue(os.path.exists(self.path("s")))
        with Bridge("listen:unix:" + self.path("s"), "exec:cat"):
            pass

    def test_a_child_for_each_session(self):
        with Bridge("listen:tcp://:0", "exec:sh -c 'echo $$; cat'") as bridge:
            socks = [bridge.connect() for _ in range(5)]
            pids = {sock.recv(100) for sock in socks}
            self.assertEqual(len(pids), 5)
            for i, sock in enumerate(socks):
                sock.sendall(b"%d" % i)
                self.assertEqual(sock.recv(10), b"%d" % i)
            for sock in socks:
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(1), b"")
                sock.close()
            until(lambda: bridge.children() == 0, "no child left")

    def test_a_child_that_exits_ends_the_session(self):
        with Bridge("listen:tcp://:0", "exec:echo bye", "--log-level=info") as bridge:
            with bridge.connect() as sock:
                self.assertEqual(read_all(sock), b"bye\n")
                bridge.await_line("ended")

    def test_output_arrives_though_the_client_still_sends(self):
        size = 200_000  # what buffers hold: the child ends while nobody reads
        with Bridge("listen:tcp://:0", f"exec:head -c {size} /dev/zero") as bridge:
            with bridge.connect(rcvbuf=4096) as sock:
                sock.sendall(b"x" * 4_000_000)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(len(read_all(sock)), size)

    def test_a_failing_child_is_logged_and_does_not_end_the_bridge(self):
        with Bridge("listen:tcp://:0", "exec:sh -c 'exit 4'") as bridge:
            for _ in range(2):
                with bridge.connect() as sock:
                    self.assertEqual(read_all(sock), b"")
            bridge.await_line("session 2 from tcp://127.0.0.1:")
            self.assertTrue(bridge.has_line("status 4"))
            self.assertEqual(bridge.stop(), 0)

    def test_a_to_that_does_not_open_resets_from(self):
        port = free_port()
        with Bridge("listen:tcp://:0", f"tcp://127.0.0.1:{port}") as bridge:
            with connect_from(bridge.port) as (sock, name):
                self.assertTrue(sock is None or is_reset(sock))
            bridge.await_line("refused")
            self.assertEqual(bridge.lines[1:], [
                f"weft: session 1 from {name}: connect tcp://127.0.0.1:{port}: connection refused"])

    def test_a_reset_of_either_side_reaches_the_other(self):
        ends = []

        def handler(sock):
            ends.append(sock)
            sock.sendall(b"ready")
            if sock.recv(100) == b"reset me":
                reset(sock)
        with Server(handler) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                self.assertEqual(sock.recv(5), b"ready")
                sock.sendall(b"reset me")
                self.assertTrue(is_reset(sock))
            bridge.await_line("reset")
            sock = bridge.connect()
            self.assertEqual(sock.recv(5), b"ready")

            def second(peer):
                peer.sendall(b"ready")
                ends.append(is_reset(peer))
            server.handler = second
            sock2 = bridge.connect()
            self.assertEqual(sock2.recv(5), b"ready")
            reset(sock2)
            until(lambda: True in ends, "the server sees a reset")
            sock.close()

    def test_connections_over_the_limit_are_reset(self):
        with Server(echo) as server, \
                Bridge("--max-connections=2", "listen:tcp://:0", server.url) as bridge:
            held = [bridge.connect() for _ in range(2)]
            for sock in held:
                sock.sendall(b"x")
                self.assertEqual(sock.recv(1), b"x")
            for _ in range(3):
                self.assertTrue(is_refused(bridge.port))
            bridge.await_line("ECAPACITY")
            held.pop().close()

            def admitted():
                try:
                    with bridge.connect() as sock:
                        sock.sendall(b"y")
                        return sock.recv(1) == b"y"
                except OSError:
                    return False
            until(admitted, "a place is free again")
            held.pop().close()
            self.assertLess(server.accepted, 6)

    def test_children_over_the_limit_are_not_started(self):
        with Bridge("--max-children=1", "listen:tcp://:0", "exec:cat") as bridge:
            with bridge.connect() as held:
                held.sendall(b"x")
                self.assertEqual(held.recv(1), b"x")
                self.assertTrue(is_refused(bridge.port))
                bridge.await_line("ECAPACITY")
                self.assertEqual(bridge.children(), 1)

    def test_read_timeout(self):
        def handler(sock):
            sock.recv(1)
            sock.sendall(b"one")
            read_all(sock)
        with Server(handler) as server, \
                Bridge("--read-timeout=1200ms", "listen:tcp://:0", server.url) as bridge, \
                bridge.connect() as silent, bridge.connect() as answered, \
                bridge.connect() as owed:
            for sock in (answered, owed):
                sock.sendall(b"x")
                self.assertEqual(sock.recv(3), b"one")
            start = time.monotonic()
            owed.sendall(b"y")
            self.assertTrue(is_reset(owed))
            self.assertGreaterEqual(time.monotonic() - start, 1.19)
            time.sleep(0.3)
            # nothing is owed yet, and nothing any more
            silent.sendall(b"x")
            self.assertEqual(silent.recv(3), b"one")
            answered.setblocking(False)
            self.assertRaises(BlockingIOError, answered.recv, 1)
            bridge.await_line("no reply")

    def test_idle_timeout(self):
        with Server(echo) as server, \
                Bridge("--idle-timeout=400ms", "listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                last = start = time.monotonic()
                alive = True
                while alive and last < start + 0.7:
                    time.sleep(0.15)
                    now = time.monotonic()
                    # a machine that stands still meanwhile makes it idle
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(b"x")
                        alive = sock.recv(1) == b"x"
                    last = now if alive else last
                self.assertEqual(sock.recv(1), b"")
                self.assertGreaterEqual(time.monotonic() - last, 0.39)

    def test_a_client_that_never_reads_holds_little_memory(self):
        def flood(sock):
            block = b"z" * 65536
            while True:
                sock.sendall(block)
        with Server(flood) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                self.assertEqual(sock.recv(1), b"z")
            before = bridge.rss()
            socks = [bridge.connect(rcvbuf=4096) for _ in range(20)]
            for sock in socks:
                self.assertEqual(sock.recv(1), b"z")
            time.sleep(1)
            self.assertLess(bridge.rss() - before, 64 << 20 if FLAVOUR != "release" else 16 << 20)
            for sock in socks:
                sock.close()

    def test_http(self):
        with open(self.path("page"), "wb") as file:
            file.write(os.urandom(2_000_000))
        port = free_port()
        web = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind",
                                "127.0.0.1", "--directory", self.folder],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: is_listening(port), "the web server")
            with Bridge("listen:tcp://:0", f"tcp://127.0.0.1:{port}") as bridge:
                with urllib.request.urlopen(f"http://127.0.0.1:{bridge.port}/page",
                                            timeout=PATIENCE) as reply:
                    body = reply.read()
                with open(self.path("page"), "rb") as file:
                    self.assertEqual(body, file.read())
                if shutil.which("curl"):
                    done = subprocess.run(
                        ["curl", "-sf", "-o", self.path("got"), f"http://127.0.0.1:{bridge.port}/page"],
                        timeout=PATIENCE, check=False)
                    self.assertEqual(done.returncode, 0)
                    with open(self.path("got"), "rb") as file:
                        self.assertEqual(file.read(), body)
        finally:
            web.kill()
            web.wait()

    def test_kill_9_of_either_end_mid_transfer(self):
        def flood(sock):
            while True:
                sock.sendall(b"z" * 65536)
        drain = ("import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
                 "print(s.recv(65536)[:1],flush=True)\nwhile s.recv(65536): pass")
        serve = ("import socket\nl=socket.create_server(('127.0.0.1',0))\n"
                 "print(l.getsockname()[1],flush=True)\ns,_=l.accept()\n"
                 "while True: s.sendall(b'z'*65536)")
        with Server(flood) as server, \
                Bridge("listen:tcp://:0", server.url, "--log-level=info") as bridge:
            client = subprocess.Popen([sys.executable, "-c", drain, str(bridge.port)],
                                      stdout=subprocess.PIPE)
            client.stdout.readline()
            client.kill()
            client.wait()
            client.stdout.close()
            bridge.await_line("session 1 from")
        peer = subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE)
        port = int(peer.stdout.readline())
        with Bridge("listen:tcp://:0", f"tcp://127.0.0.1:{port}", "--log-level=info") as bridge:
            with bridge.connect() as sock:
                self.assertEqual(sock.recv(1), b"z")
                peer.kill()
                peer.wait()
                peer.stdout.close()
                try:
                    read_all(sock)
                except ConnectionResetError:
                    pass
            bridge.await_line("session 1 from")


class Signals(Case):
    def test_a_signal_ends_an_idle_bridge(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Bridge("listen:tcp://:0", "exec:cat") as bridge:
                self.assertEqual(bridge.stop(number), 0)
                self.assertEqual(len(bridge.lines), 1)

    def test_sessions_under_way_are_drained(self):
        with Server(echo) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                sock.sendall(b"x")
                self.assertEqual(sock.recv(1), b"x")
                bridge.send(signal.SIGTERM)

                until(lambda: not is_listening(bridge.port), "no more accepted")
                sock.sendall(b"still")
                self.assertEqual(sock.recv(5), b"still")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(1), b"")
            self.assertEqual(bridge.wait(), 0)
            self.assertEqual(len(bridge.lines), 1)

    def test_what_the_drain_cuts_is_told(self):
        with Server(echo) as server, \
                Bridge("--drain-timeout=200ms", "listen:tcp://:0", server.url) as bridge:
            socks = [bridge.connect() for _ in range(3)]
            for sock in socks:
                sock.sendall(b"x")
                self.assertEqual(sock.recv(1), b"x")
            start = time.monotonic()
            bridge.send(signal.SIGTERM)
            for sock in socks:
                self.assertTrue(is_reset(sock))
                sock.close()
            self.assertEqual(bridge.wait(), 0)
            self.assertGreaterEqual(time.monotonic() - start, 0.19)
            self.assertEqual(len(bridge.lines), 2)
            self.assertIn("3 sessions were cut", bridge.lines[1])

    def test_children_are_ended(self):
        with Bridge("--drain-timeout=0s", "listen:tcp://:0",
                    "exec:sh -c 'echo $$; exec cat'") as bridge:
            with bridge.connect() as sock:
                pid = int(sock.recv(100))
                self.assertEqual(bridge.stop(), 0)
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_a_stdio_session_is_drained_too(self):
        child = subprocess.Popen([WEFT, "bridge", "--drain-timeout=100ms", "stdio:", "exec:cat"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        child.stdin.write(b"x")
        child.stdin.flush()
        self.assertEqual(child.stdout.read(1), b"x")
        child.terminate()
        self.assertEqual(child.wait(PATIENCE), 0)
        self.assertIn(b"cut", child.stderr.read())
        for file in (child.stdin, child.stdout, child.stderr):
            file.close()

    def test_a_terminal_is_let_go(self):
        leader, follower = pty.openpty()
        child = subprocess.Popen([WEFT, "bridge", "--drain-timeout=0s", "stdio:", "exec:cat"],
                                 stdin=follower, stdout=follower, stderr=subprocess.PIPE)
        os.write(leader, b"x\n")
        seen = b""
        while seen.count(b"x") < 2:
            seen += os.read(leader, 100)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(PATIENCE), 0)
        child.stderr.close()
        os.close(leader)
        os.close(follower)

    def test_a_second_signal_ends_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Server(echo) as server, \
                    Bridge("--drain-timeout=60s", "listen:tcp://:0", server.url) as bridge:
                with bridge.connect() as sock:
                    sock.sendall(b"x")
                    self.assertEqual(sock.recv(1), b"x")
                    bridge.send(signal.SIGTERM)
                    until(lambda: not is_listening(bridge.port), "the drain")
                    self.assertEqual(bridge.stop(number), 128 + number)

    def test_sigquit_dumps_fibers(self):
        with Server(echo) as server, Bridge("listen:tcp://:0", server.url) as bridge:
            idle = bridge.fibers()
            with bridge.connect() as sock:
                sock.sendall(b"x")
                self.assertEqual(sock.recv(1), b"x")
                self.assertEqual(bridge.fibers(), idle + 2)
            bridge.await_line("session 1")  # behind the count of its worker
            until(lambda: bridge.fibers() == idle, "the session's fibers are gone")

    def test_children_die_with_a_killed_bridge(self):
        with Bridge("listen:tcp://:0", "exec:sh -c 'echo $$; exec cat'") as bridge:
            with bridge.connect() as sock:
                pid = int(sock.recv(100))
                bridge.stop(signal.SIGKILL)

            def gone():
                try:
                    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                        return file.read().split(")")[1].split()[0] == "Z"
                except FileNotFoundError:
                    return True
            until(gone, "the child is gone")


class Logs(Case):
    def test_json_lines_parse_and_have_their_fields(self):
        port = free_port()
        with Bridge("--log-format", "json", "--log-level", "debug", "listen:tcp://:0",
                    f"tcp://127.0.0.1:{port}") as bridge:
            with connect_from(bridge.port) as (sock, name):
                self.assertTrue(sock is None or is_reset(sock))
            bridge.await_line("refused")
            self.assertEqual(bridge.stop(), 0)
            lines = [json.loads(line) for line in bridge.lines[1:]]
            for line in lines:
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
                for field in ("level", "module", "msg"):
                    self.assertIsInstance(line[field], str)
            failed = [line for line in lines if line.get("session") == 1 and line["level"] == "error"]
            self.assertEqual(len(failed), 1)
            self.assertEqual(failed[0]["peer"], name)
            self.assertEqual(failed[0]["error"], "WEFT_EREFUSED")
            self.assertEqual(failed[0]["module"], "bridge")

    def test_odd_bytes_are_escaped_in_json(self):
        path = self.path('a"b\\c\nd\u00e9') + "\udcff"
        status, _, err = run("bridge", "--log-format=json", "stdio:", "unix:" + path)
        self.assertEqual(status, 1)
        self.assertEqual(err.count("\n"), 1)
        self.assertIn("\u00e9", json.loads(err)["msg"])

    def test_levels(self):
        with Server(echo) as server, \
                Bridge("--log-level=info", "listen:tcp://:0", server.url) as bridge:
            with bridge.connect() as sock:
                sock.sendall(b"12345")
                self.assertEqual(sock.recv(10), b"12345")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(1), b"")
            bridge.await_line("ended: 5 bytes in, 5 out")
            self.assertEqual(bridge.stop(), 0)
            self.assertEqual(len(bridge.lines), 2)


class Tools(Case):
    def git(self, *args):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
               "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}
        return subprocess.run(["git", *args], check=True, capture_output=True, timeout=60, env=env)

    @unittest.skipUnless(shutil.which("git"), "no git")
    def test_git_clones_through_a_bridge(self):
        repo = self.path("repo")
        self.git("init", "-q", repo)
        with open(os.path.join(repo, "blob"), "wb") as file:
            file.write(os.urandom(3_000_000))
        self.git("-C", repo, "add", ".")
        self.git("-C", repo, "commit", "-qm", "one")
        with Bridge("--env=GIT_CONFIG_GLOBAL=/dev/null", "listen:tcp://:0", "--", "git", "daemon",
                    "--inetd", "--export-all", "--base-path=" + self.folder, self.folder) as bridge:
            self.git("clone", "-q", f"git://127.0.0.1:{bridge.port}/repo", self.path("clone"))
            self.assertEqual(bridge.stop(), 0)
            self.assertEqual(len(bridge.lines), 1, bridge.lines)
        with open(os.path.join(repo, "blob"), "rb") as one, \
                open(self.path("clone/blob"), "rb") as two:
            self.assertEqual(one.read(), two.read())

    @unittest.skipUnless(shutil.which("ssh") and os.path.exists("/usr/sbin/sshd"), "no sshd")
    def test_ssh_through_a_proxy_command(self):
        key, host_key = self.path("key"), self.path("host_key")
        for path in (key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with open(self.path("sshd_config"), "w", encoding="ascii") as file:
            file.write(f"HostKey {host_key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n"
                       f"UsePAM no\nPidFile none\nPermitRootLogin yes\n")
        ssh = ["ssh", "-F", "/dev/null", "-i", key, "-o", "StrictHostKeyChecking=no", "-o",
               "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
        with Bridge("listen:tcp://:0", "--", "/usr/sbin/sshd", "-i", "-e", "-f",
                    self.path("sshd_config")) as bridge:
            probe = subprocess.run([*ssh, "-o", f"ProxyCommand={WEFT} bridge stdio: "
                                    f"tcp://127.0.0.1:{bridge.port}", "weft-test",
                                    "cat; exit 7"], input=b"over ssh" * 100000,
                                   capture_output=True, timeout=60, check=False)
        if probe.returncode == 255:
            self.skipTest("sshd does not let this user in: " + probe.stderr.decode()[:200])
        self.assertEqual(probe.returncode, 7, probe.stderr)
        self.assertEqual(probe.stdout, b"over ssh" * 100000)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
