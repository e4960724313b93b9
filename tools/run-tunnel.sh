#!/bin/bash
# SPDX-License-Identifier: MIT
# make run-tunnel: a file server; a bridge in front of it that takes many streams over one
# connection; a bridge that puts each of its clients on a stream to that; and a file that
# travels through both.
#
#	curl -> listen:tcp (near) == mux+tcp, one connection ==> listen:mux+tcp (far) -> server
#
#   WEFT_RUN_MIB=N    size of the file; 256
#   WEFT_RUN_ONCE=1   end after the check (also when standard input is no terminal)
#   WEFT_BUILD=DIR    where weft and examples/ are; build
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/run-lib.sh
build=${WEFT_BUILD:-build}
mib=${WEFT_RUN_MIB:-256}
rounds=3
weft=${WEFT:-$build/weft}
server=${WEFT_EXAMPLES:-$build/examples}/file_server


case $mib in '' | *[!0-9]* | 0) die "WEFT_RUN_MIB is \"$mib\", not a number of MiB" ;; esac
for tool in curl sha256sum awk; do
	command -v "$tool" >/dev/null || die "$tool is missing: make setup installs it"
done
for program in "$weft" "$server"; do
	[ -x "$program" ] || die "$program is missing: make build makes it"
done

# Bytes a second.
fetch() { # URL
	curl -sS --fail -o /dev/null -w '%{speed_download}\n' "$1"
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
gib() { awk -v b="$1" 'BEGIN { printf "%.2f GiB/s", b / 1073741824 }'; }

mkdir "$work/files"
file=$work/files/data
say "making a file of $mib MiB"
head -c "${mib}M" /dev/urandom >"$file"
want=$(sha256sum <"$file")

# there before anybody looks into them: what runs behind & opens them in its own time
: >"$work/server.err" >"$work/far.err" >"$work/near.err"
"$server" "$work/files" 2>"$work/server.err" &
pids+=($!)
direct=$(listening_url $! "$work/server.err") || die "the file server did not start"
"$weft" bridge listen:mux+tcp://127.0.0.1:0 "$direct" 2>"$work/far.err" &
pids+=($!)
mux=$(listening_url $! "$work/far.err") || die "the tunnel's far end did not start"
"$weft" bridge listen:tcp://127.0.0.1:0 "$mux" 2>"$work/near.err" &
pids+=($!)
near=$(listening_url $! "$work/near.err") || die "the tunnel's near end did not start"
direct_url=http://${direct#tcp://}/data
url=http://${near#tcp://}/data
say "file server  $direct"
say "far end      weft bridge listen:$mux $direct"
say "near end     weft bridge listen:$near $mux"
say "try          curl -o data $url"

say "fetching $mib MiB through the tunnel"
if [ -t 2 ]; then progress=(--progress-bar); else progress=(-sS); fi
got=$(curl --fail "${progress[@]}" "$url" | sha256sum)
[ "$got" = "$want" ] || die "the file arrived changed: sha256 ${got%% *}, not ${want%% *}"
say "sha256 ${got%% *}: as sent"

for ((i = 0; i < rounds; i++)); do
	fetch "$direct_url" >>"$work/direct"
	fetch "$url" >>"$work/through"
done
d=$(median <"$work/direct")
t=$(median <"$work/through")
say "through the tunnel $(gib "$t"), direct $(gib "$d"): $(awk -v a="$t" -v b="$d" \
	'BEGIN { printf "%.0f %%", 100 * a / b }') (medians of $rounds)"

if [ -n "${WEFT_RUN_ONCE:-}" ] || [ ! -t 0 ]; then
	exit 0
fi
say "still up: $url   (Ctrl-C ends it)"
wait -n "${pids[@]}" || true
die "a program ended by itself; last words: $(tail -qn 1 "$work"/{near,far,server}.err | tr '\n' ' ')"
