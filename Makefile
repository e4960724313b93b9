# SPDX-License-Identifier: MIT
# Names for what cmake, ctest and the scripts in tools/ do; nothing is built by make itself.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
CONFIGURE = tools/configure.sh
CTEST = ctest --output-on-failure -j $(JOBS)
UNITS = $(CTEST) -LE '^peers$$'

.PHONY: help setup setup-bench setup-peers build run run-tunnel test test-release test-peers bench bench-sync \
	bench-mux bench-http bench-bridge model asan tsan debug aarch64 fuzz fuzz-long lint format install clean coverage \
	soak soak-sim soak-campaigns soak-mcp soak-mux

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install what building and testing need (Debian, Ubuntu)
	tools/setup.sh
setup-bench: ## And what the benchmarks need
	tools/setup.sh bench
setup-peers: ## And the programs of others that tests talk to
	tools/setup.sh peers

build: ## Release build: build/weft, build/libweft.so, build/libweft.a
	$(CONFIGURE) release
	cmake --build build -j $(JOBS)

run: build ## An MCP server, the bridge in front of it, a call through each transport
	tools/run.sh
run-tunnel: build ## A file server, a tunnel to it, a file through both
	tools/run-tunnel.sh

test: build ## Build with ASan, UBSan, LSan and run every test
	$(CONFIGURE) asan
	cmake --build build-asan -j $(JOBS)
	$(UNITS) --test-dir build-asan $(TESTARGS)
asan: test ## The same as test
tsan: ## Run the tests under the thread sanitizer (clang)
	$(CONFIGURE) tsan
	cmake --build build-tsan -j $(JOBS)
	$(UNITS) --test-dir build-tsan $(TESTARGS)
debug: ## Run the tests without a sanitizer
	$(CONFIGURE) debug
	cmake --build build-debug -j $(JOBS)
	$(UNITS) --test-dir build-debug $(TESTARGS)
test-release: build ## Run the tests against the optimised build
	cmake --build build -j $(JOBS) --target tests
	$(UNITS) --test-dir build $(TESTARGS)
# Races of theirs are none of ours: each has two tries, of which ctest shows both.
test-peers: ## Let the tests talk to curl, nginx, Go, node, python, openssl and Chromium
	$(CONFIGURE) asan
	cmake --build build-asan -j $(JOBS)
	$(CTEST) -L '^peers$$' --repeat until-pass:2 --test-dir build-asan $(TESTARGS)
aarch64: ## Cross-build for 64-bit ARM and run the tests under qemu
	tools/test-aarch64.sh
coverage: ## Run the tests and list covered lines by file
	$(CONFIGURE) coverage
	cmake --build build-coverage -j $(JOBS)
	$(UNITS) --test-dir build-coverage $(TESTARGS)
	tools/coverage.py build-coverage
fuzz: ## Each fuzzer for 20 seconds
	$(CONFIGURE) fuzz
	cmake --build build-fuzz -j $(JOBS)
	tools/fuzz.sh build-fuzz $(or $(FUZZ_SECONDS),20)
fuzz-long: ## Each fuzzer for an hour (SECONDS_EACH=)
	$(CONFIGURE) fuzz
	cmake --build build-fuzz -j $(JOBS)
	tools/fuzz.sh build-fuzz $(or $(SECONDS_EACH),3600)
soak: soak-campaigns ## Hours of load, watching memory and descriptors; then seeds of the simulator
	tools/soak.sh
soak-sim: soak-campaigns ## New seeds of the simulator's campaigns, for SECONDS_IN_ALL
	tools/soak.sh sim
soak-campaigns: build
	cmake --build build -j $(JOBS) --target $(addprefix test_sim_,mux bridge net sync wake http tls relay mcp_server mcp_client)

soak-mcp: build ## Large messages and many clients of a bridge for MCP, for SECONDS_IN_ALL
	cmake --build build -j $(JOBS) --target tool_mcp_child
	WEFT=build/weft WEFT_BUILD=build WEFT_STRESS_SECONDS=$${SECONDS_IN_ALL:-3600} \
		python3 tests/mcp_stress_test.py -v Stress.test_all_of_it_for_long

soak-mux: build ## Streams and sessions that come and go at full rate, for SECONDS_IN_ALL; a plot of memory
	cmake --build build -j $(JOBS) --target tool_mux_soak
	python3 tools/soak_mux.py $${SECONDS_IN_ALL:-3600}

model: ## Run the lock-free sources under every schedule, and their mutants
	model/run.py --jobs $(JOBS)

bench: build ## Benchmarks against peers, into bench/results
	cmake --build build -j $(JOBS) --target benches
	bench/run

bench-sync: build ## Channels, maps, cells and tokens beside those of Rust, Go and C
	cmake --build build -j $(JOBS) --target benches
	bench/run sync

bench-mux: build ## The mux beside raw TCP, Go's smux and yamux
	cmake --build build -j $(JOBS) --target benches
	bench/run mux mux1p

bench-http: build ## HTTP and TLS beside nginx, h2o, libmicrohttpd, libcurl, Go, undici, OpenSSL
	cmake --build build -j $(JOBS) --target benches
	bench/run http

bench-bridge: build ## The bridge beside supergateway, mcp-proxy, socat (make setup-peers)
	cmake --build build -j $(JOBS) --target benches
	bench/run bridge

lint: ## Layers, atomics, formats, clang-tidy, cppcheck, man pages
	$(CONFIGURE) debug
	tools/lint.sh build-debug
format: ## Format C files in place
	tools/format.sh
install: build ## Install below PREFIX=/usr/local
	cmake --install build --prefix "$(PREFIX)"
clean: ## Remove every build folder
	rm -rf build build-asan build-tsan build-debug build-fuzz build-coverage build-aarch64 build-model
