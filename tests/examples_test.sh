#!/bin/bash
# SPDX-License-Identifier: MIT
# The examples do what their first comment says.
set -euo pipefail
out=$("$WEFT_EXAMPLES/hello")
[ "$out" = $'got 1\ngot 2\ngot 3' ] || { echo "hello said: $out" >&2; exit 1; }
# the README shows this very program
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$WEFT_SRC/README.md" >"$work/readme"
tail -n +2 "$WEFT_SRC/examples/hello.c" | diff - "$work/readme"
# a seed repeats its run, and another is another
a=$("$WEFT_EXAMPLES/simulated" 7)
b=$("$WEFT_EXAMPLES/simulated" 7)
c=$("$WEFT_EXAMPLES/simulated" 8)
[ "$a" = "$b" ] || { printf 'seed 7 gave\n%s\nand then\n%s\n' "$a" "$b" >&2; exit 1; }
[ "${a#*hash}" != "${c#*hash}" ] || { echo "seeds 7 and 8 gave the same run" >&2; exit 1; }
if "$WEFT_EXAMPLES/file_server" 2>/dev/null; then
	echo "file_server without arguments ended well" >&2
	exit 1
fi
out=$("$WEFT_EXAMPLES/echo")
[ "$(grep -c 'heard: hello, weft' <<<"$out")" = 3 ] || { echo "echo said: $out" >&2; exit 1; }
# as a server: until SIGTERM, on the port that it says
"$WEFT_EXAMPLES/echo" tcp://:0 >"$work/echo" &
server=$!
for _ in $(seq 200); do
	if grep -q serving "$work/echo"; then break; fi
	sleep 0.05
done
port=$(sed 's/.*://' "$work/echo")
exec 3<>"/dev/tcp/127.0.0.1/$port"
echo through >&3
read -r line <&3
exec 3>&-
kill -TERM "$server"
wait "$server"
[ "$line" = through ] || { echo "echo answered: $line" >&2; exit 1; }

out=$("$WEFT_EXAMPLES/http_server" | tr -d '\r')
[[ "$out" =~ ^serving\ on\ tcp://127.0.0.1:[0-9]+$'\nHTTP/1.1 200 OK\n'.*$'\n\nhello, weft\nstopped'$ ]] ||
	{ echo "http_server said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/mux")
[ "$out" = $'stream 1? Yes.\nstream 2? Yes.\nstream 3? Yes.' ] || { echo "mux said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/mux_epoll")
[ "$out" = $'stream 1? Yes.\nstream 2? Yes.\nstream 3? Yes.' ] ||
	{ echo "mux_epoll said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/mux_threads")
[ "$out" = $'one? Yes.\nwhy: timed out\ntwo? Yes.' ] || { echo "mux_threads said: $out" >&2; exit 1; }
if [ -x "$WEFT_EXAMPLES/tls" ]; then
	out=$("$WEFT_EXAMPLES/tls")
	[ "$out" = $'TLSv1.3, greeting/1, new: hello\nTLSv1.3, greeting/1, resumed: hello' ] ||
		{ echo "tls said: $out" >&2; exit 1; }
fi
out=$("$WEFT_EXAMPLES/rpc")
want=$'add [1,2,39]: 42\nadd [1,true]: error -32602: true\nthink: timed out\nserver says: thinking ended: cancelled'
[ "$out" = "$want" ] || { echo "rpc said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/map")
want=$'fetched\nthe: 12, page 7: 700, words: 7\nfrequent: 2'
[ "$out" = "$want" ] || { echo "map said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/hub")
want=$'alice: first request\nbob: first request\nalice: 2000 requests\nbob: 2000 requests'
[ "$out" = "$want" ] || { echo "hub said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/once")
want=$'sum 328350\nsum 328350\nsum 328350\nattempts 2, failed 1'
[ "$out" = "$want" ] || { echo "once said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/cancel")
want=$'quick: success\ntoo slow: timed out\nclient leaves\nwithout a client: cancelled\nafter the end: closed'
[ "$out" = "$want" ] || { echo "cancel said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/pool")
[ "$out" = "sum 338350" ] || { echo "pool said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/feed")
[ "$out" = "sum 250500" ] || { echo "feed said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/buf")
[[ "$out" =~ ^sum\ 124716$'\n'1000\ blocks,\ [0-9]+\ of\ them\ made,\ 0\ still\ out$ ]] ||
	{ echo "buf said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/cell")
[ "$out" = "3 handlers found the last of 2 routes" ] || { echo "cell said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/fanout")
want=$'kept up: sum 36\nkept up: sum 36\nlate: missed 4\nlate: 5\nlate: 6\nlate: 7\nlate: 8'
[ "$out" = "$want" ] || { echo "fanout said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/settings")
[ "$out" = $'level 3, limit 400\nnow level 8, limit 800' ] || { echo "settings said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/http_client" | sed 's,http://127.0.0.1:[0-9]*,,')
want=$'/page: status 200, 7 bytes\n/moved: status 200, 7 bytes'
[ "$out" = "$want" ] || { echo "http_client said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/http_get")
want=$'GET: 200, 7 bytes, a new connection\nGET: 200, 7 bytes, a kept connection\nPUT: 200, 21 bytes came'
[ "$out" = "$want" ] || { echo "http_get said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/events" | tr '\n' ,)
want='message 1: 1,message 2: 2,lost behind 2,message 3: 3,message 4: 4,lost behind 4,'
want+='message 5: 5,message 6: 6,lost behind 6,'
[ "$out" = "$want" ] || { echo "events said: $out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/sse")
want=$'message 1: \n''message 2: {"jsonrpc":"2.0","method":"hello"}
comment: still here
message 3: two
lines
after a loss: wait 1500 ms, Last-Event-ID: 3'
[ "$out" = "$want" ] || { printf 'sse said:\n%s\n' "$out" >&2; exit 1; }
out=$("$WEFT_EXAMPLES/jsonrpc")
want='server: {"jsonrpc":"2.0","id":1001,"method":"tools/call","params":{"name":"now","_meta":{"progressToken":1001}}}
server: {"jsonrpc":"2.0","id":1002,"method":"ping"}
client: {"jsonrpc":"2.0","id":7   ,"result":{}}
client: {"jsonrpc":"2.0","id":"c-\u0031","result":{}}
client: {"jsonrpc":"2.0","id":8,"error":{"code":-32600,"message":"a member that differs from the message'"'"'s in case only"}}'
[ "$out" = "$want" ] || { printf 'jsonrpc said:\n%s\n' "$out" >&2; exit 1; }
printf '#!/bin/sh\necho slow; exec sleep 100\n' >"$work/slow"
chmod +x "$work/slow"
out=$("$WEFT_EXAMPLES/children" true false no-such-program "$work/slow" | sed "s,$work/,," | LC_ALL=C sort)
want='false: exited with 1
no-such-program: start "no-such-program": no such program in PATH
slow: ended by signal 15
slow: slow
true: exited with 0'
[ "$out" = "$want" ] || { printf 'children said:\n%s\n' "$out" >&2; exit 1; }
# every file that a document points to is there
for doc in "$WEFT_SRC"/*.md "$WEFT_SRC"/docs/*.md "$WEFT_SRC"/docs/decisions/*.md; do
	while read -r target; do
		[ -e "$(dirname "$doc")/$target" ] && continue
		echo "$doc points to $target, which is not there" >&2
		exit 1
	done < <(sed 's/](/\n](/g' "$doc" | sed -n 's/^](\([^):#]*\)[)#].*/\1/p' | sed '/^$/d')
done
