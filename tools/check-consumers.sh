#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs a build into an empty prefix, checks what came, moves the prefix, and builds
# programs against it in every way there is:
#	tools/check-consumers.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/.."
source=$PWD
build=$(realpath "${1:?usage: tools/check-consumers.sh BUILD_DIR}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/moved
consumers=$source/tests/consumers
export PKG_CONFIG_PATH=
cc=${CC:-cc}
warnings=(-Wall -Wextra -Wpedantic -Werror)

die()
{
	echo "consumers: $*" >&2
	exit 1
}

# "consumers: NAME: what it printed"
says_version()
{
	local name=$1 said
	shift
	said=$("$@") || die "$name: failed: $*"
	case $said in
	"weft $version"*) echo "consumers: $name: $said" ;;
	*) die "$name: said '$said', not 'weft $version'" ;;
	esac
}

version=$(sed -n 's/#define WEFT_VERSION "\(.*\)"/\1/p' include/weft/base.h)

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$prefix"
if grep -rIl "$work/first\|$source" "$prefix" --include='*.cmake' --include='*.pc' --include='*.h'; then
	die "the files above name folders of the build"
fi

# Exactly the files that belong there.
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[A-Z]*=//p' "$build/CMakeCache.txt")
libdir=${libdir:-lib}
{
	for header in include/weft/*.h; do echo "$header"; done
	for name in libweft.a libweft.so libweft.so.0 "libweft.so.$version" pkgconfig/weft.pc \
		cmake/weft/weft-config.cmake cmake/weft/weft-config-version.cmake \
		cmake/weft/weft-targets.cmake cmake/weft/weft-static-targets.cmake; do
		echo "$libdir/$name"
	done
	type=$(sed -n 's/^CMAKE_BUILD_TYPE:[A-Z]*=//p' "$build/CMakeCache.txt")
	echo "$libdir/cmake/weft/weft-targets-${type,,}.cmake"
	echo "$libdir/cmake/weft/weft-static-targets-${type,,}.cmake"
	if compgen -G 'cli/*.c' >/dev/null; then echo bin/weft; fi
	for page in man/*.[1357]; do
		[ ! -e "$page" ] || echo "share/man/man${page##*.}/${page##*/}"
	done
} | sort >"$work/expected"
(cd "$prefix" && find . -type f -o -type l | sed 's|^\./||' | sort) >"$work/installed"
diff -u "$work/expected" "$work/installed" || die "other files were installed than expected"
echo "consumers: $(wc -l <"$work/installed") files installed, as expected"

# Nothing but weft_* is visible.
lib=$prefix/$libdir
foreign=$({ nm -D --defined-only "$lib/libweft.so"; nm -g --defined-only "$lib/libweft.a"; } |
	awk 'NF == 3 && $3 !~ /^weft_/ && $3 !~ /^WEFT_0/ {print $3}')
[ -z "$foreign" ] || die "visible beside weft_*: $foreign"
readelf -d "$lib/libweft.so" | grep -q 'SONAME.*\[libweft.so.0\]' || die "no soname libweft.so.0"
readelf -lW "$lib/libweft.so" | grep -q 'GNU_STACK.*RW ' || die "the stack is executable"
missing=$(sed 's,/\*.*\*/,,' "$prefix"/include/weft/*.h | tr '\n' ' ' |
	grep -oP '\bWEFT_API\b[^;{]*?\b\Kweft_\w+(?=\()' | sort -u |
	comm -23 - <(nm -D --defined-only "$lib/libweft.so" | awk '{print $3}' | sed 's/@.*//' | sort -u))
[ -z "$missing" ] || die "declared in a header but not in the library: $(echo $missing)"

if [ -x "$prefix/bin/weft" ]; then
	says_version command "$prefix/bin/weft" --version
fi

cmake -S "$consumers/find_package" -B "$work/find" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/find" -j "$(nproc)" >/dev/null
says_version "find_package, shared" "$work/find/shared"
says_version "find_package, static" "$work/find/static"

# Where the development files of what the library was linked with are missing.
lacking=(-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON
	-DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON)
cmake -S "$consumers/find_package" -B "$work/lacking" "${lacking[@]}" >/dev/null
cmake --build "$work/lacking" -j "$(nproc)" >/dev/null
says_version "find_package, shared, without OpenSSL and zlib" "$work/lacking/shared"

export PKG_CONFIG_PATH=$lib/pkgconfig
[ "$(pkg-config --modversion weft)" = "$version" ] || die "weft.pc has another version"
read -ra flags <<<"$(pkg-config --cflags --libs weft)"
"$cc" "${warnings[@]}" -std=c17 -o "$work/pc" "$consumers/consumer.c" "${flags[@]}"
says_version "pkg-config, shared" env LD_LIBRARY_PATH="$lib" "$work/pc"
"${CXX:-c++}" "${warnings[@]}" -std=c++17 -o "$work/pcxx" "$consumers/consumer.cc" "${flags[@]}"
says_version "pkg-config, C++" env LD_LIBRARY_PATH="$lib" "$work/pcxx"

# By the static library alone, and a program that is static altogether.
read -ra flags <<<"$(pkg-config --static --cflags --libs weft)"
"$cc" "${warnings[@]}" -std=c17 -o "$work/archive" "$consumers/consumer.c" "${flags[@]/#-lweft/-l:libweft.a}"
says_version "pkg-config, libweft.a" "$work/archive"
if ldd "$work/archive" | grep -q libweft; then die "libweft.a: still needs libweft.so"; fi
"$cc" "${warnings[@]}" -std=c17 -static -o "$work/all" "$consumers/consumer.c" "${flags[@]}" 2>"$work/log" ||
	{ cat "$work/log"; die "static program: does not link"; }
says_version "static program" "$work/all"

cmake -S "$consumers/add_subdirectory" -B "$work/sub" -DWEFT_SOURCE_DIR="$source" >/dev/null
cmake --build "$work/sub" -j "$(nproc)" >/dev/null
says_version "add_subdirectory, shared" "$work/sub/shared"
says_version "add_subdirectory, static" "$work/sub/static"
