#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Dependencies point downward only: checks every #include against the layers.

    cli, examples   public headers only
    src/bridge
    src/ws src/http src/mux         not one another
    src/net
    src/sync
    src/rt
    src/io
    src/proto       only src/base and the public headers of both; no system calls
    src/base

Tests, fuzzers and benchmarks may include anything. _GNU_SOURCE is for src/io, src/rt and
src/net (and tests, and the checker of models)."""
import re

from lintlib import Lint, is_test, line_of, split_c

RANK = {"base": 0, "proto": 1, "io": 2, "rt": 3, "sync": 4, "net": 5,
        "ws": 6, "http": 6, "mux": 6, "bridge": 7}

# The layer that implements each public header: who may include it is at or above it.
PUBLIC = {
    "base": "base", "buf": "base", "log": "base",
    "cancel": "rt", "mutex": "rt", "park": "rt", "runtime": "rt", "scope": "rt",
    "signal": "rt", "sim": "rt", "offload": "rt", "time": "rt",
    "broadcast": "sync", "cell": "sync", "chan": "sync", "hub": "sync", "map": "sync",
    "once": "sync", "oneshot": "sync", "select": "sync", "watch": "sync",
    "conn": "net", "net": "net", "process": "net",
    "json": "proto", "jsonrpc": "proto", "sse": "proto", "tls": "net",
    "http": "http", "http_client": "http", "http_server": "http", "sse_client": "http",
    "ws": "ws", "mux": "mux", "mux_poller": "mux",
    "bridge": "bridge", "transport": "bridge", "rpc": "bridge", "replay": "bridge",
    "mcp_server": "bridge", "mcp_client": "bridge",
    "weft": "bridge",
}
# Beneath their layer's rank: the simulator's options are the backend's to read.
ALSO = {("src/io/", "weft/sim.h")}

GNU_SOURCE_IN = ("src/io/", "src/rt/", "src/net/", "model/checker/")
# A codec has no system calls, clock or threads.
PROTO_SYSTEM = {"assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "stdarg.h",
                "stdbool.h", "stddef.h", "stdint.h", "string.h", "immintrin.h", "emmintrin.h",
                "arm_neon.h", "nmmintrin.h", "smmintrin.h", "tmmintrin.h"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">\n]*)[>"]', re.M)


def layer_of(path):
    match = re.match(r"src/([^/]+)/", path)
    return match.group(1) if match else None


def check_public(lint, path, line, target, rank, who):
    name = re.fullmatch(r"weft/([a-z0-9_]+)\.h", target)
    if not name or name.group(1) not in PUBLIC:
        lint.error(path, line, f"<{target}>: give it a layer in PUBLIC of tools/lint-layers.py")
        return
    layer = PUBLIC[name.group(1)]
    if RANK[layer] > rank and not any(path.startswith(p) and target == t for p, t in ALSO):
        lint.error(path, line, f"<{target}> belongs to {layer}, which is above {who}")


def check_internal(lint, path, line, target, layer):
    match = re.match(r"([a-z0-9_]+)/([a-z0-9_]+/)*[^/]+\.h$", target)
    if not match or match.group(1) not in RANK:
        lint.error(path, line, f'"{target}": internal headers are named from src/, as "rt/rt.h"')
        return
    to = match.group(1)
    if to == layer:
        return
    if RANK[to] >= RANK[layer] or (layer == "proto" and to != "base"):
        lint.error(path, line, f'"{target}": {layer} must not depend on {to}')


def check_src(lint, path, line, kind, target):
    layer = layer_of(path)
    if layer not in RANK:
        lint.error(path, 1, "is in no layer that tools/lint-layers.py knows")
        return
    if kind == '"':
        check_internal(lint, path, line, target, layer)
    elif target.startswith("weft/"):
        check_public(lint, path, line, target, RANK[layer], layer)
    elif layer == "proto" and target not in PROTO_SYSTEM:
        lint.error(path, line, f"<{target}>: codecs do no system calls; see PROTO_SYSTEM")


def check_include(lint, path, line, kind, target):
    if ".." in target.split("/"):
        lint.error(path, line, f"{target}: no '..' in an #include")
    elif path.startswith("src/"):
        check_src(lint, path, line, kind, target)
    elif path.startswith("include/weft/"):
        name = path[len("include/weft/"):-len(".h")]
        if kind == '"':
            lint.error(path, line, f'"{target}": public headers include only <...>')
        elif name not in PUBLIC:
            lint.error(path, line, "give it a layer in PUBLIC of tools/lint-layers.py")
        elif target.startswith("weft/"):
            check_public(lint, path, line, target, RANK[PUBLIC[name]], path)
    elif path.startswith("cli/"):
        if kind == '"' and "/" in target:
            lint.error(path, line, f'"{target}": the command uses public headers only')
    elif path.startswith("examples/"):
        if kind == '"':
            lint.error(path, line, f'"{target}": examples use public headers only')


def main():
    lint = Lint(__doc__.splitlines()[0])
    for path in lint.files(".c", ".h", ".S"):
        if is_test(path):
            continue
        text = lint.read(path)
        code, _ = split_c(text)
        for match in INCLUDE.finditer(text):
            if not code[match.start():match.end()].strip().startswith("#"):
                continue  # inside a comment
            check_include(lint, path, line_of(text, match.start()), *match.groups())
        gnu = re.search(r"\b_GNU_SOURCE\b", code)
        if gnu and not path.startswith(GNU_SOURCE_IN):
            lint.error(path, line_of(code, gnu.start()),
                       "_GNU_SOURCE is for src/io, src/rt, src/net and the checker of models")
    lint.exit()


main()
