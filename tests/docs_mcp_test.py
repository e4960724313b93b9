#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# weft-test: timeout=180
"""What docs/mcp.md, the README and the manual show of the bridge for MCP: the commands are run, and
say what is said there.

A block of console has commands after "$ ", which go on after "> ", and what they say; "..." stands
for anything, on a line of its own for any lines. A block "json NAME" is a file of that name.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from mcplib import VERSION  # noqa: E402
from weftlib import PATIENCE, WEFT, Bridge, run, until  # noqa: E402

SRC = os.environ["WEFT_SRC"]
EXAMPLES = os.environ["WEFT_EXAMPLES"]
DONE = "--- done ---"


def text_of(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as file:
        return file.read()


def blocks(path):
    """(language and name, text) of each fenced block."""
    return re.findall(r"^```(.+)\n((?:.*\n)*?)```$", text_of(path), re.MULTILINE)


def pattern(expected):
    """A regular expression of what is shown."""
    out = ""
    for line in expected.splitlines():
        if line.strip() == "...":
            out += r"(?:.*\n)*?"
        else:
            out += ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return out


def as_json(said):
    """An answer that takes more than 100 ms comes as events: the answers in these."""
    found = re.findall(r"^data: (\{.*\n)", said, re.MULTILINE)
    return "".join(found) if found else said


def count_lines(path):
    with open(path, "rb") as file:
        return file.read().count(b"\n")


def commands(text):
    """[command, what it says] of a block of console."""
    found = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0] += line[2:]
        else:
            found[-1][1] += line
    return found


class Doc(unittest.TestCase):
    """A folder with the files that a document shows, weft and the example in PATH, a shell."""

    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        self.addCleanup(self.temp.cleanup)
        self.folder = os.path.join(self.temp.name, "folder")
        programs = os.path.join(self.temp.name, "bin")
        for made in (self.folder, programs):
            os.mkdir(made)
        os.symlink(WEFT, os.path.join(programs, "weft"))
        os.symlink(os.path.join(EXAMPLES, "mcp_server"), os.path.join(programs, "mcp_server"))
        self.env = {**os.environ, "PATH": programs + ":" + os.environ["PATH"]}
        self.bridges = {}  # by the port that the document says
        self.addCleanup(self.end_all)
        self.shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, cwd=self.folder, env=self.env,
                                      text=True)
        self.addCleanup(self.end_shell)
        # bridges run here, too
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    def end_shell(self):
        self.shell.stdin.close()
        self.shell.wait(PATIENCE)
        self.shell.stdout.close()

    def end(self, name):
        with self.bridges.pop(name) as bridge:
            self.assertEqual(bridge.stop(), 0)

    def end_all(self):
        for name in list(self.bridges):
            self.end(name)

    def to_real(self, text):
        for port, bridge in self.bridges.items():
            text = text.replace(port, str(bridge.port))
        return text

    def to_shown(self, text):
        for port, bridge in self.bridges.items():
            text = text.replace(str(bridge.port), port)
        return text

    def in_shell(self, command):
        self.shell.stdin.write(self.to_real(command) + f"echo '{DONE}'\n")
        self.shell.stdin.flush()
        said = ""
        for line in self.shell.stdout:
            if line.endswith(DONE + "\n"):
                said += line[:-len(DONE) - 1]
                break
            said += line
        if said and not said.endswith("\n"):
            said += "\n"
        return self.to_shown(said)

    def start(self, command, expected):
        """A listener; what it says first."""
        port = re.search(r"listen:https?://[0-9.]+:(\d+)", command).group(1)
        if port in self.bridges:
            self.end(port)
        words = subprocess.run(["bash", "-c", "printf '%s\\0' " + command.replace(":" + port, ":0")],
                               capture_output=True, check=True, text=True).stdout.split("\0")[:-1]
        self.assertEqual(words[:2], ["weft", "bridge"])
        bridge = Bridge(*words[2:], env=self.env)
        self.bridges[port] = bridge
        count = expected.count("\n")
        until(lambda: len(bridge.lines) >= count, f"{count} lines of {command}")
        return self.to_shown("".join(line + "\n" for line in bridge.lines[:count]))

    def check(self, command, expected):
        with self.subTest(command=command):
            if re.search("^weft bridge.* listen:", command) and "weft: listening on" in expected:
                said = self.start(command, expected)
            else:
                if "rec.jsonl" in command and command.startswith("sleep "):
                    # in that time, on a machine that is not busy
                    until(lambda: count_lines("rec.jsonl") >= expected.count("\n"), "its lines")
                said = self.in_shell(command)
            if expected.startswith("{"):
                said = as_json(said)
            if not re.fullmatch(pattern(expected), said):
                self.fail(f"{command}shows\n{expected}but says\n{said}")

    def write_files(self, path):
        for kind, text in blocks(path):
            if kind.startswith("json "):
                with open(kind.split()[1], "w", encoding="utf-8") as file:
                    file.write(text)


class McpDocument(Doc):
    path = "docs/mcp.md"

    def test_commands_say_what_is_shown(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        self.write_files(self.path)
        count = 0
        for kind, text in blocks(self.path):
            for command, expected in commands(text) if kind == "console" else ():
                self.check(command, expected)
                count += 1
        self.assertGreater(count, 10)
        until(lambda: self.bridges["8080"].has_line("sh: no licence"), "the child's last words")

    def test_a_local_client_reaches_a_remote_server_as_its_list_says(self):
        self.write_files(self.path)
        with open("client.json", encoding="utf-8") as file:
            servers = json.load(file)["mcpServers"]
        with open("tokens", "w", encoding="ascii") as file:
            file.write("s3cret\n")
        with open("far.headers", "w", encoding="ascii") as file:
            file.write("Authorization: Bearer s3cret\n")
        for name, flags in (("far", []), ("closed", ["--token-file", "tokens"])):
            far = Bridge(*flags, "listen:http://127.0.0.1:0/mcp", "--", "mcp_server", env=self.env)
            self.bridges[name] = far
            args = [word.replace("https://host.example", far.url.removesuffix("/mcp"))
                    for word in servers[name]["args"]]
            self.assertNotEqual(args, servers[name]["args"])
            with subprocess.Popen([servers[name]["command"], *args], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, env=self.env, text=True) as client:
                for message in (
                        {"id": 0, "method": "initialize", "params": {
                            "protocolVersion": VERSION, "capabilities": {},
                            "clientInfo": {"name": "test", "version": "1"}}},
                        {"id": 1, "method": "tools/call", "params": {
                            "name": "echo", "arguments": {"text": "there"}}}):
                    client.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                    client.stdin.flush()
                    answer = json.loads(client.stdout.readline())
                self.assertEqual(answer["result"]["content"][0]["text"], "there", name)
                client.stdin.close()
                self.assertEqual(client.wait(PATIENCE), 0)

    def test_the_example_of_the_first_screen_is_what_make_run_shows(self):
        (text,) = [text for kind, text in blocks("README.md")
                   if kind == "console" and text.startswith("$ make run\n")]
        said = subprocess.run([os.path.join(SRC, "tools", "run.sh")], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=2 * PATIENCE, check=True,
                              env={**self.env, "TMPDIR": self.folder}, text=True).stdout
        port = re.search(r"127\.0\.0\.1:(\d+)", said).group(1)
        shown_port = re.search(r"127\.0\.0\.1:(\d+)", text).group(1)
        said = said.replace(port, shown_port).replace(EXAMPLES + "/", "build/examples/")
        # one that is late is none
        said = re.sub(r"(answered as JSON:\n)(?:    (?!\{).*\n)*    data: (?=\{)", r"\1    ", said)
        expected = text.removeprefix("$ make run\n")
        if not re.fullmatch(pattern(expected), said):
            self.fail(f"the README shows\n{expected}but make run says\n{said}")


class Flags(unittest.TestCase):
    """Flags that are written of are there, and those that are there are written of."""

    def setUp(self):
        status, out, _ = run("bridge", "--help")
        self.assertEqual(status, 0)
        # in the list, not in its sentences
        self.known = set(re.findall(r"^  (--[a-z-]+)", out.decode(), re.MULTILINE))
        self.assertGreater(len(self.known), 15)

    def test_the_document_names_flags_that_are_there(self):
        text = text_of("docs/mcp.md")
        begin = text.index("## In place of others")
        # of the tables there the second column is about weft
        rows = [row.split(" | ")[1] for row in text[begin:].splitlines() if " | " in row]
        self.assertGreater(len(rows), 20)
        ours = re.sub(r"^.*curl .*$", "", text[:begin], flags=re.MULTILINE) + "\n".join(rows)
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours))
        replay = set(re.findall(r"^  (--[a-z-]+)", run("replay", "--help")[1].decode(),
                                re.MULTILINE))
        self.assertLessEqual(named - {"--json"}, self.known | replay)
        self.assertGreater(len(named), 12)

    def test_the_manual_lists_every_flag_and_no_other(self):
        listed = set(re.findall(r"^\.It Fl \\-([a-z-]+)", text_of("man/weft-bridge.1"),
                                re.MULTILINE))
        self.assertEqual({"--" + name for name in listed}, self.known)


if __name__ == "__main__":
    unittest.main()
