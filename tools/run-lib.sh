# SPDX-License-Identifier: MIT
# For run.sh and run-tunnel.sh, which source it: what they say, a folder "$work", the processes of
# "${pids[@]}", which end with the script, and where a program listens.

say() { printf 'run: %s\n' "$*"; }
die() { printf 'run: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/weft-run.XXXXXX")
pids=()
cleanup() {
	trap '' INT TERM
	for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The program's first line on stderr, "NAME: listening on URL", gives the URL.
listening_url() { # PID FILE
	local url
	while :; do
		url=$(sed -n '1s/^.*: listening on //p' "$2")
		if [ -n "$url" ]; then
			printf '%s\n' "$url"
			return
		fi
		if ! kill -0 "$1" 2>/dev/null; then
			cat "$2" >&2
			return 1
		fi
		read -r -t 0.02 <> <(:) || true
	done
}
