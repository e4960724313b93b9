#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds a peer written in Go from what the distribution installs: build_go.sh FOLDER PROGRAM.
# When that fails the build goes on, without PROGRAM: the tests that need it fail then, and
# tell what PROGRAM.log says.
set -u
folder=$1 program=$2
mkdir -p "$(dirname "$program")"
rm -f "$program"
exec 3>&2 >"$program.log" 2>&1

cd "$folder" || exit 1
export GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOTOOLCHAIN=local CGO_ENABLED=0
GOCACHE=$(dirname "$program")/go-cache
export GOCACHE
if ! command -v go >/dev/null; then
	echo "no go"
elif go vet . && go build -o "$program.new" .; then
	mv "$program.new" "$program"
	exit 0
fi
echo "$program was not built (make setup installs what it needs): $(cat "$program.log")" >&3
exit 0
