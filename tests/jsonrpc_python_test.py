# SPDX-License-Identifier: MIT
"""The scanner of JSON-RPC messages beside Python's json: the same texts are JSON, the same of these
are messages, and each part is the value that Python reads at that place.

Texts are generated: values in many spellings, envelopes of every shape, and both damaged. Python's
json is made strict: bytes are decoded as UTF-8 first, NaN and its like are refused. Then one
difference is left, which is expected: the depth, 64 here."""
import json
import os
import random
import re
import struct
import subprocess
import sys
import unittest

sys.set_int_max_str_digits(0)
TEXTS = 12000
DEPTH_MAX = 64
SPACES = ["", "", "", " ", "\n", "\t", "\r\n", "  \n\t "]
PARTS = ["id", "method", "params", "result", "error"]
NAMES = ["jsonrpc", "id", "method", "params", "result", "error"]


class Members(list):
    """An object, as pairs: names may repeat."""

    def all(self, name):
        return [value for key, value in self if key == name]


class Number(str):
    """A number as it is written: 1 and 1.0 differ."""


def refuse(word):
    raise ValueError(word)


def parse(text):
    return json.loads(text.decode("utf-8"), object_pairs_hook=Members, parse_constant=refuse,
                      parse_int=Number, parse_float=Number)


def depth_of(text):
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text, flags=re.S)
    depth = most = 0
    for byte in bare:
        if byte in b"[{":
            depth += 1
            most = max(most, depth)
        elif byte in b"]}":
            depth -= 1
    return most


# ---- what a message is, once more ----

def same_in_case(name):
    return name not in NAMES and \
        name.replace("\u017f", "s").translate({i: i + 32 for i in range(65, 91)}) in NAMES


def has_twice(value, names):
    return isinstance(value, Members) and any(len(value.all(name)) > 1 for name in names)


def only(value, name):
    found = value.all(name) if isinstance(value, Members) else []
    return found[0] if found else None


def is_text(value):
    return isinstance(value, str) and not isinstance(value, Number)


def kind_of(value):
    """request, notification, response, error, batch or invalid"""
    if isinstance(value, list) and not isinstance(value, Members):
        return "batch" if value else "invalid"
    if not isinstance(value, Members):
        return "invalid"
    has = {name: bool(value.all(name)) for name in NAMES}
    params, result, error = (only(value, name) for name in ("params", "result", "error"))
    meta_names = ["progressToken", "io.modelcontextprotocol/protocolVersion",
                  "io.modelcontextprotocol/subscriptionId"]
    if has_twice(value, NAMES) or any(same_in_case(name) for name, _ in value) or \
            has_twice(params, ["_meta", "name", "uri", "progressToken", "requestId"]) or \
            has_twice(result, ["_meta"]) or has_twice(error, ["code", "message", "data"]) or \
            has_twice(only(params, "_meta"), meta_names) or \
            has_twice(only(result, "_meta"), meta_names):
        return "invalid"
    one_id = only(value, "id")
    if not is_text(only(value, "jsonrpc")) or only(value, "jsonrpc") != "2.0" or \
            (has["id"] and not isinstance(one_id, str) and one_id is not None):
        return "invalid"
    if has["method"]:
        good = is_text(only(value, "method")) and not has["result"] and not has["error"] and \
            (not has["params"] or isinstance(params, list))
        return ("request" if has["id"] else "notification") if good else "invalid"
    if has["params"] or has["result"] == has["error"]:
        return "invalid"
    if has["result"]:
        return "response" if has["id"] else "invalid"
    code = only(error, "code") if isinstance(error, Members) else None
    good = isinstance(code, Number) and re.fullmatch(r"-?\d+", code) and \
        is_text(only(error, "message"))
    return "error" if good else "invalid"


# ---- texts ----

class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, *choices):
        return self.random.choice(choices)

    def space(self):
        return self.random.choice(SPACES)

    def string(self):
        parts = ["a", "é", "漢", "😀", "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\ud83d\\ude00",
                 "\\ud800", "\\u0000", "{", "]", ",", "x" * 40, "\u2028", "\x7f", " "]
        return '"' + "".join(self.random.choice(parts) for _ in range(self.random.randrange(6))) + '"'

    def number(self):
        return self.one_of("0", "-0", "1", "-12", "3.25", "1e5", "1E-7", "-0.0e+00", "9" * 30,
                           "1.5e999", str(self.random.randrange(10**9)))

    def items(self, opening, closing, items):
        inner = (self.space() + "," + self.space()).join(items)
        return opening + self.space() + inner + self.space() + closing

    def value(self, depth=0):
        pick = self.random.randrange(9 if depth < 5 else 6)
        if pick < 2:
            return self.string()
        if pick < 4:
            return self.number()
        if pick < 6:
            return self.one_of("true", "false", "null")
        count = self.random.randrange(5)
        if pick < 8:
            return self.items("[", "]", [self.value(depth + 1) for _ in range(count)])
        return self.object([(self.string(), self.value(depth + 1)) for _ in range(count)])

    def object(self, members):
        return self.items("{", "}", [name + self.space() + ":" + self.space() + value
                                     for name, value in members])

    def name(self, name):
        if self.random.randrange(12) == 0:
            at = self.random.randrange(len(name))
            name = name[:at] + f"\\u{ord(name[at]):04x}" + name[at + 1:]
        if self.random.randrange(40) == 0:
            name = self.one_of(name.upper(), name.capitalize(), name.replace("s", "ſ"))
        return '"' + name + '"'

    def some(self, chances):
        """Members of which each is there by its chance, or twice, in any order."""
        members = []
        for name, chance, make in chances:
            for _ in range(2 if self.random.random() < 0.02 else 1):
                if self.random.random() < chance:
                    members.append((self.name(name), make()))
        for _ in range(self.random.randrange(2)):
            members.append((self.string(), self.value(3)))
        self.random.shuffle(members)
        return self.object(members)

    def meta(self):
        return self.some([("progressToken", .5, lambda: self.one_of("1", '"t"')),
                          ("io.modelcontextprotocol/subscriptionId", .3, self.number)])

    def params(self):
        return self.some([("_meta", .4, self.meta), ("name", .4, self.string),
                          ("uri", .2, self.string), ("progressToken", .2, self.number),
                          ("requestId", .2, self.number), ("arguments", .4, self.value)])

    def error(self):
        return self.some([("code", .95, lambda: self.one_of("-32600", "1", "0", "1.5", "null")),
                          ("message", .95, self.string), ("data", .4, self.value)])

    def odd(self, make):
        return lambda: make() if self.random.random() < .95 else self.value(3)

    def message(self):
        call = self.random.random() < .5
        result = self.random.random() < .5
        return self.some([
            ("jsonrpc", .99, lambda: '"2.0"' if self.random.random() < .98 else self.value(4)),
            ("id", .8, self.odd(lambda: self.one_of(self.number(), self.string(), "null"))),
            ("method", .97 if call else .02, self.odd(self.string)),
            ("params", .7 if call else .02, self.odd(self.params)),
            ("result", .02 if call or not result else .97,
             lambda: self.one_of(self.value(), self.params())),
            ("error", .02 if call or result else .97, self.odd(self.error))])

    def damaged(self, text):
        data = bytearray(text)
        for _ in range(self.random.randrange(1, 3)):
            at = self.random.randrange(len(data) + 1)
            junk = self.one_of(b"\xc3", b"\xff", b"\xed\xa0\x80", b"\x00", b"\x1f", b"\n", b'"', b",",
                               b"\\", b"}", b"]", b"{", b"0", b"-", b".", b"e", b"\\u12", b"\xa9",
                               b"\xef\xbb\xbf", b"\xe2\x80\xa8", b":", b"NaN", b"'", b"/", b"\x7f")
            drop = self.one_of(0, 0, 1, 2)
            data[at:at + drop] = self.one_of(junk, b"")
        return bytes(data)

    def text(self):
        pick = self.random.randrange(20)
        if pick < 12:
            text = self.message()
        elif pick < 15:
            text = self.items("[", "]", [self.message() if self.random.random() < .9
                                         else self.value(4) for _ in range(self.random.randrange(5))])
        elif pick < 19:
            text = self.value()
        else:
            depth = self.random.randrange(55, 75)
            text = "[" * depth + "]" * depth
        text = (self.space() + text + self.space()).encode("utf-8")
        return self.damaged(text) if self.random.random() < .4 else text


# ---- the comparison ----

def read_parts(words):
    parts = {}
    for word in words:
        name, _, span = word.partition("=")
        if name == "text":
            parts[name] = span
            continue
        at, length = span.split("+")
        parts[name] = (int(at), int(length))
    return parts


class PythonsJson(unittest.TestCase):
    def verdicts(self, texts):
        program = os.path.join(os.environ["WEFT_BUILD"], "tests", "jsonrpc_verdict")
        data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        done = subprocess.run([program], input=data, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace")[-3000:])
        return iter(done.stdout.decode().splitlines())

    def check_part(self, text, parts, name, want):
        """want: a list with the value, or none"""
        self.assertEqual(name in parts, bool(want), (text, name))
        if want:
            at, length = parts[name]
            self.assertEqual(parse(text[at:at + length]), want[0], (text, name))

    def check_message(self, text, value, line):
        kind, code, _, *words = line.split()
        want = kind_of(value)
        self.assertEqual(kind, want, (text, line))
        parts = read_parts(words)
        self.check_part(text, parts, "message", [value])
        if kind == "invalid":
            self.assertEqual(code, "-32600", (text, line))
            return
        if kind == "batch":
            return
        for name in PARTS:
            self.check_part(text, parts, name, value.all(name))
        error, params = only(value, "error"), only(value, "params")
        if isinstance(error, Members):
            self.check_part(text, parts, "code", error.all("code"))
            self.check_part(text, parts, "error_message", error.all("message"))
            self.check_part(text, parts, "data", error.all("data"))
        if isinstance(params, Members):
            self.check_part(text, parts, "name", params.all("name"))
            self.check_part(text, parts, "request", params.all("requestId"))
            self.check_part(text, parts, "token", params.all("progressToken"))
        if "method" in parts:
            self.check_method(value.all("method")[0], parts["text"])

    def check_method(self, method, said):
        decoded, encoded = (bytes.fromhex(half) for half in said.split(","))
        # halves of surrogates, which Python keeps, are replaced
        want = re.sub("[\ud800-\udfff]", "\ufffd", method)
        self.assertEqual(decoded.decode("utf-8"), want)
        self.assertEqual(json.loads(encoded.decode("utf-8")), want)

    def check_text(self, text, lines, counts):
        line = next(lines)
        try:
            value = parse(text)
            good = depth_of(text) <= DEPTH_MAX
        except ValueError:
            good = False
        kind, code, _ = line.split()[:3]
        self.assertEqual(good, not (kind == "invalid" and code == "-32700"), (text, line))
        counts[kind if good else "no JSON"] = counts.get(kind if good else "no JSON", 0) + 1
        if good:
            self.check_message(text, value, line)
        if kind == "batch":
            for element in value:
                line = next(lines)
                self.assertTrue(line.startswith("- "), line)
                if isinstance(element, list) and not isinstance(element, Members):
                    self.assertTrue(line.startswith("- invalid -32600"), (text, line))
                else:
                    self.check_message(text, element, line[2:])
            self.assertEqual(next(lines), ".")

    def test_texts_are_read_alike(self):
        seed = int(os.environ.get("WEFT_TEST_SEED") or random.randrange(2**32))
        print("WEFT_TEST_SEED=%d" % seed)
        maker = Maker(seed)
        texts = [maker.text() for _ in range(TEXTS)]
        lines = self.verdicts(texts)
        counts = {}
        for text in texts:
            self.check_text(text, lines, counts)
        self.assertEqual(list(lines), [])
        print(counts)
        for kind in ("request", "notification", "response", "error", "batch", "invalid", "no JSON"):
            self.assertGreater(counts.get(kind, 0), TEXTS // 100, kind)


if __name__ == "__main__":
    unittest.main()
