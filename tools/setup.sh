#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what this tree needs: tools/setup.sh [build|bench|peers]. Debian 12 and later,
# Ubuntu 24.04 and later. Asks the network only when something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(
	gcc g++ make cmake ninja-build pkg-config ccache git
	openssl libssl-dev zlib1g-dev # TLS, compressed bodies
	check libsubunit-dev        # unit tests
	node-llhttp libcjson-dev    # what codecs are compared with
	clang libclang-rt-dev llvm  # TSan and fuzzing; llvm has the symbolizer
	clang-tidy cppcheck mandoc  # lint
	python3 gdb curl socat bc valgrind
	golang-go golang-github-xtaci-smux-dev # the mux's peer
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
)
# What bench/run builds or runs beside weft. The Rust ones are sources: bench/run builds them
# by cargo without a network, from where Debian puts them.
bench=(
	libst-dev socat strace golang-github-hashicorp-yamux-dev
	rustc cargo liburcu-dev libck-dev
	librust-flume-dev librust-crossbeam-channel-dev librust-async-channel-dev
	librust-tokio-dev librust-tokio-util-dev
	librust-dashmap-dev librust-ahash-dev librust-arc-swap-dev librust-once-cell-dev
	node-undici nginx-light h2o wrk libmicrohttpd-dev libcurl4-openssl-dev
)
# Programs of others that tests talk to; without them those tests are skipped, but in CI.
peers=(
	openssh-client openssh-server
	nginx-light nodejs node-undici chromium
)

die()
{
	echo "setup: $*" >&2
	exit 1
}

what=${1:-build}
case $what in
build) packages=("${build[@]}") ;;
bench) packages=("${build[@]}" "${bench[@]}") ;;
peers) packages=("${build[@]}" ${peers[@]+"${peers[@]}"}) ;;
*) die "unknown set '$what': build, bench or peers" ;;
esac

ID=unknown VERSION_ID=
if [ -r /etc/os-release ]; then
	# shellcheck disable=SC1091
	. /etc/os-release
fi
major=${VERSION_ID%%.*}
case $ID in
debian) [ "${major:-99}" -ge 12 ] || unsupported=1 ;;
ubuntu) [ "${major:-0}" -ge 24 ] || unsupported=1 ;;
*) unsupported=1 ;;
esac
if [ -n "${unsupported-}" ]; then
	die "$ID $VERSION_ID is not known here; install what corresponds to Debian's: ${packages[*]}"
fi

# clang-format's layout differs between versions: exactly this one, where there is one.
case $ID$major in
debian12 | ubuntu24) packages+=(clang-format-14) ;;
*) echo "setup: no clang-format-14 on $ID $VERSION_ID: make lint will leave the layout unchecked" ;;
esac

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# npm is part of some packagings of nodejs, and a package of its own in others.
if [ "$what" != build ] && ! command -v npm >/dev/null; then packages+=(npm); fi

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
# The versions that package-lock.json names, and no others; their scripts are not run.
npm_modules()
{
	local folder=tests/peers/npm
	[ "$what" != build ] || return 0
	if ! cmp -s "$folder/package-lock.json" "$folder/node_modules/installed-lock.json"; then
		echo "setup: npm ci in $folder"
		(cd "$folder" && npm ci --loglevel=error)
		cp "$folder/package-lock.json" "$folder/node_modules/installed-lock.json"
	fi
}

if [ "${#missing[@]}" -eq 0 ]; then
	npm_modules
	echo "setup: everything for '$what' is installed"
	exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || die "not root and no sudo; as root: apt-get install ${missing[*]}"
	as_root=(sudo)
fi
echo "setup: apt-get update"
${as_root[@]+"${as_root[@]}"} apt-get update -q
echo "setup: apt-get install ${missing[*]}"
${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
	apt-get install -q -y --no-install-recommends "${missing[@]}"
npm_modules
