#!/bin/bash
# SPDX-License-Identifier: MIT
# make run: a server of the Model Context Protocol that knows only stdin and stdout, the bridge
# that puts it on the web, and a call through each transport.
#
#	curl == Streamable HTTP, HTTP+SSE ==> weft bridge listen:http://... -- mcp_server
#	a client of stdio --> weft bridge stdio: http://... == Streamable HTTP ==> the same
#
#   WEFT_RUN_ONCE=1   end after the calls (also when standard input is no terminal)
#   WEFT_BUILD=DIR    where weft and examples/ are; build
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/run-lib.sh
build=${WEFT_BUILD:-build}
weft=${WEFT:-$build/weft}
server=${WEFT_EXAMPLES:-$build/examples}/mcp_server
wait_s=20 # for an answer

show() { sed '/^\r*$/d; s/^/    /'; }

command -v curl >/dev/null || die "curl is missing: make setup installs it"
for program in "$weft" "$server"; do
	[ -x "$program" ] || die "$program is missing: make build makes it"
done

initialize='{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
initialize+='"capabilities":{},"clientInfo":{"name":"make run","version":"1"}}}'
initialized='{"jsonrpc":"2.0","method":"notifications/initialized"}'
call() { # ID TOOL ARGUMENTS [PROGRESS_TOKEN]
	local meta=
	[ -z "${4:-}" ] || meta=',"_meta":{"progressToken":"'$4'"}'
	printf '{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"%s","arguments":%s%s}}' \
		"$1" "$2" "$3" "$meta"
}

# ---- the bridge ----

: >"$work/bridge" >"$work/stdio" # there before anybody looks into them
"$weft" bridge listen:http://127.0.0.1:0/mcp -- "$server" 2>"$work/bridge" &
bridge=$!
pids+=("$bridge")
url=$(listening_url "$bridge" "$work/bridge") || die "the bridge did not start"
say "weft bridge listen:$url -- $server"

# ---- Streamable HTTP ----

accept='Accept: application/json, text/event-stream'
post() { # URL MESSAGE [FLAG...]
	curl -sS --fail-with-body --max-time "$wait_s" -H "$accept" "${@:3}" --json "$2" "$1" ||
		die "curl could not post to $1"
}

post "$url" "$initialize" -D "$work/head" >"$work/answer"
session=$(sed -n 's/\r$//; s/^[Mm]cp-[Ss]ession-[Ii]d: //p' "$work/head")
[ -n "$session" ] || die "no Mcp-Session-Id came with: $(cat "$work/answer")"
session="Mcp-Session-Id: $session"
post "$url" "$initialized" -H "$session"

say "Streamable HTTP, answered as JSON:"
post "$url" "$(call 1 add '{"a":2,"b":3}')" -H "$session" | tee "$work/answer" | show
grep -q '"text":"5"' "$work/answer" || die "that is not the answer"
echo
say "Streamable HTTP, answered as an event stream:"
post "$url" "$(call 2 progress '{"steps":3}' mine)" -H "$session" | tee "$work/answer" | show
grep -q '"text":"3 steps"' "$work/answer" || die "that is not the answer"

# ---- HTTP+SSE ----

say "HTTP+SSE: a stream of the server's messages, and an endpoint to post to:"
exec {events}< <(exec curl -sSN --fail "${url%/*}/sse")
pids+=($!)
# The stream's next event, in event and data.
next_event() {
	local line
	event=message data=
	while IFS= read -r -t "$wait_s" -u "$events" line; do
		line=${line%$'\r'}
		case $line in
		'event: '*) event=${line#event: } ;;
		'data: '*) data=${line#data: } ;;
		'') [ -z "$data" ] || return 0 ;;
		esac
	done
	die "the stream of ${url%/*}/sse ended before its next event"
}
show_event() { printf 'event: %s\ndata: %s\n' "$event" "$data" | show; }

next_event
show_event
[ "$event" = endpoint ] || die "that is not the endpoint"
case $data in
http*) endpoint=$data ;;
*) endpoint=${url%/*}$data ;;
esac
post "$endpoint" "$initialize" >"$work/answer"
next_event
post "$endpoint" "$initialized" >"$work/answer"
post "$endpoint" "$(call 1 echo '{"text":"hello over SSE"}')" >"$work/answer"
next_event
show_event
[[ $data = *'"text":"hello over SSE"'* ]] || die "that is not the answer"
exec {events}<&-

# ---- stdio ----

say "a client of stdio, by weft bridge stdio: $url"
coproc stdio { exec "$weft" bridge stdio: "$url" 2>"$work/stdio"; }
stdio_pid=$!
pids+=("$stdio_pid")
answer() {
	IFS= read -r -t "$wait_s" -u "${stdio[0]}" line ||
		die "no answer over stdio: $(cat "$work/stdio")"
}
printf '%s\n' "$initialize" >&"${stdio[1]}"
answer
printf '%s\n' "$initialized" "$(call 1 echo '{"text":"hello over stdio"}')" >&"${stdio[1]}"
answer
printf '%s\n' "$line" | show
[[ $line = *'"text":"hello over stdio"'* ]] || die "that is not the answer"
exec {stdio[1]}>&-
wait "$stdio_pid" || die "weft bridge stdio: failed: $(cat "$work/stdio")"

# ---- the end ----

say "try it yourself:"
printf "curl -H '%s' -H '%s' --json '%s' %s\n" "$accept" "$session" \
	"$(call 3 add '{"a":20,"b":22}')" "$url"
if [ -z "${WEFT_RUN_ONCE:-}" ] && [ -t 0 ]; then
	say "still up: $url   (Enter ends it)"
	while kill -0 "$bridge" 2>/dev/null; do
		read -r -t 0.5 && break
		[ $? -gt 128 ] || break # not the time: the end of input
	done
fi
kill -TERM "$bridge" 2>/dev/null || die "the bridge ended by itself: $(tail -n 1 "$work/bridge")"
wait "$bridge" || die "the bridge failed: $(tail -n 1 "$work/bridge")"
say "ended"
