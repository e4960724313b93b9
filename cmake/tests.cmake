# SPDX-License-Identifier: MIT
# src/**/NAME_test.c and tests/NAME_test.c: one binary and one ctest entry each, named by
# path (src/sync/chan_test.c is sync_chan). tests/NAME_test.py and .sh are run as they are.
#
# A line in the test's source may say how it is to be run (read when cmake configures):
#   weft-test: timeout=300 serial heavy not=tsan,asan
#     timeout=N   seconds for the whole binary (twice that under a sanitizer); 120
#     serial      never beside another test
#     not=A,B     not in these: asan, tsan, aarch64, coverage, release, debug
#     any other   a label, for ctest -L and -LE

if(CMAKE_BUILD_TYPE STREQUAL Release)
	set(tests_in_all) # by the target "tests"
else()
	set(tests_in_all ALL)
endif()
add_custom_target(tests ${tests_in_all})

# What this build is called in not=.
if(WEFT_SANITIZE MATCHES address)
	set(flavour asan)
elseif(WEFT_SANITIZE MATCHES thread)
	set(flavour tsan)
elseif(WEFT_COVERAGE)
	set(flavour coverage)
elseif(CMAKE_CROSSCOMPILING)
	set(flavour ${weft_arch})
else()
	string(TOLOWER "${CMAKE_BUILD_TYPE}" flavour)
endif()

# Check; cross builds take the small stand-in, which has what the tests use of it.
add_library(weft_check INTERFACE)
if(CMAKE_CROSSCOMPILING)
	target_include_directories(weft_check SYSTEM INTERFACE ${PROJECT_SOURCE_DIR}/tests/support/minicheck)
else()
	find_package(PkgConfig REQUIRED)
	pkg_check_modules(CHECK IMPORTED_TARGET check>=0.15)
	if(CHECK_FOUND)
		target_link_libraries(weft_check INTERFACE PkgConfig::CHECK)
	elseif(tests_in_all)
		message(FATAL_ERROR "The tests need Check (package check): run make setup, or set WEFT_BUILD_TESTS=OFF")
	else()
		message(STATUS "No tests: Check (package check) is not installed")
		return()
	endif()
endif()

file(GLOB support_sources CONFIGURE_DEPENDS tests/support/*.c)
if(NOT WEFT_TLS)
	list(FILTER support_sources EXCLUDE REGEX "/certs\\.c$")
endif()
if(CMAKE_CROSSCOMPILING)
	list(APPEND support_sources tests/support/minicheck/check.c)
endif()
add_library(weft_test_support STATIC EXCLUDE_FROM_ALL ${support_sources})
target_link_libraries(weft_test_support PUBLIC weft_test_flags weft_check weft_inside)

set(test_env CK_FORK=yes CK_DEFAULT_TIMEOUT=60
	"ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:check_initialization_order=1"
	"UBSAN_OPTIONS=print_stacktrace=1"
	"TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
set(script_env ${test_env}
	WEFT=${PROJECT_BINARY_DIR}/weft
	WEFT_EXAMPLES=${PROJECT_BINARY_DIR}/examples
	WEFT_SRC=${PROJECT_SOURCE_DIR}
	WEFT_BUILD=${PROJECT_BINARY_DIR}
	WEFT_FLAVOUR=${flavour}
	PYTHONDONTWRITEBYTECODE=1)

# Those that take longest, somewhere: they start first, so that none is left to run alone at the end.
set(tests_begun_first
	peers_mcp_conformance peers_mcp_interop peers_node
	model mcp_leak switch_aarch64 mux_go http_adversary bridge_lines mux_limits mcp_modern
	sync_chan_stress net_tls_end net_tls_fault http_transfer cli mux_window sim_bridge
	sim_http_fault bridge_bridge http_hostile_server sim_mux sim_http mux_death mux_cli mcp_cli
	bridge_relay rt_rt same_mcp_server_life net_conn mux_frames mux_fair http_cli)

# Reads the weft-test: line of source.
function(weft_add_test name source command)
	cmake_parse_arguments(PARSE_ARGV 3 arg "" "" "LABELS;ENV")
	set(timeout 120)
	set(serial OFF)
	set(labels ${arg_LABELS})
	set(line)
	if(source)
		file(STRINGS ${source} line REGEX "weft-test:" LIMIT_COUNT 1)
	endif()
	string(REGEX REPLACE ".*weft-test:([^*]*).*" "\\1" line "${line}")
	separate_arguments(words UNIX_COMMAND "${line}")
	foreach(word IN LISTS words)
		if(word MATCHES "^timeout=([0-9]+)$")
			set(timeout ${CMAKE_MATCH_1})
		elseif(word STREQUAL serial)
			set(serial ON)
		elseif(word MATCHES "^not=(.*)$")
			string(REPLACE "," ";" not_in "${CMAKE_MATCH_1}")
			if(flavour IN_LIST not_in)
				return()
			endif()
		elseif(word MATCHES "^[a-z0-9_-]+$")
			list(APPEND labels ${word})
		else()
			message(FATAL_ERROR "${source}: weft-test: does not know '${word}'")
		endif()
	endforeach()
	if(WEFT_INSTRUMENTED OR CMAKE_CROSSCOMPILING)
		math(EXPR timeout "${timeout} * 2")
	endif()
	list(FIND tests_begun_first ${name} cost)
	if(NOT cost EQUAL -1)
		list(LENGTH tests_begun_first count)
		math(EXPR cost "${count} - ${cost}")
	else()
		set(cost 0)
	endif()
	add_test(NAME ${name} COMMAND ${command} ${arg_UNPARSED_ARGUMENTS})
	set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} RUN_SERIAL ${serial} COST ${cost}
		LABELS "${labels}" ENVIRONMENT "${arg_ENV}" SKIP_RETURN_CODE 77)
endfunction()

set(launcher)
if(flavour STREQUAL tsan)
	# The thread sanitizer does not start everywhere with randomised addresses.
	set(launcher setarch -R)
elseif(CMAKE_CROSSCOMPILING)
	set(launcher ${CMAKE_CROSSCOMPILING_EMULATOR})
endif()

file(GLOB_RECURSE unit_tests CONFIGURE_DEPENDS src/*_test.c)
file(GLOB tree_tests CONFIGURE_DEPENDS tests/*_test.c)
if(NOT WEFT_TLS)
	list(FILTER unit_tests EXCLUDE REGEX "/tls[a-z_]*_test\\.c$")
	list(FILTER tree_tests EXCLUDE REGEX "/(same_|sim_)?tls[a-z_]*_test\\.c$")
endif()
foreach(source IN LISTS unit_tests tree_tests)
	file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${source})
	string(REGEX REPLACE "^(src|tests)/(.*)_test\\.c$" "\\2" name ${name})
	string(REPLACE "/" "_" name ${name})
	add_executable(test_${name} EXCLUDE_FROM_ALL ${source})
	set_target_properties(test_${name} PROPERTIES OUTPUT_NAME ${name}
		RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
	target_link_libraries(test_${name} PRIVATE weft_test_support m)
	add_dependencies(tests test_${name})
	weft_add_test(${name} ${source} ${launcher} $<TARGET_FILE:test_${name}>
		LABELS unit ENV ${script_env})
endforeach()

# tests/tools/NAME.c: <build>/tests/NAME, for the scripts. Those named _child are started by the
# thousand: without the library and without sanitizers.
if(NOT CMAKE_CROSSCOMPILING)
	file(GLOB tool_sources CONFIGURE_DEPENDS tests/tools/*.c)
	foreach(source IN LISTS tool_sources)
		cmake_path(GET source STEM name)
		add_executable(tool_${name} EXCLUDE_FROM_ALL ${source})
		set_target_properties(tool_${name} PROPERTIES OUTPUT_NAME ${name}
			RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
		if(name MATCHES "_child$")
			target_compile_definitions(tool_${name} PRIVATE _GNU_SOURCE)
		else()
			target_link_libraries(tool_${name} PRIVATE weft_test_flags weft_inside)
		endif()
		add_dependencies(tests tool_${name})
	endforeach()
endif()

# tests/peers/NAME, in Go: <build>/tests/NAME. Where that can't be made, its tests fail and say why.
if(NOT CMAKE_CROSSCOMPILING)
	file(GLOB go_peers CONFIGURE_DEPENDS tests/peers/*/main.go)
	foreach(source IN LISTS go_peers)
		cmake_path(GET source PARENT_PATH folder)
		cmake_path(GET folder FILENAME name)
		set(program ${PROJECT_BINARY_DIR}/tests/${name})
		add_custom_command(OUTPUT ${program} VERBATIM
			DEPENDS ${source} ${PROJECT_SOURCE_DIR}/tests/peers/build_go.sh
			COMMAND ${PROJECT_SOURCE_DIR}/tests/peers/build_go.sh ${folder} ${program})
		add_custom_target(peer_${name} DEPENDS ${program})
		add_dependencies(tests peer_${name})
	endforeach()
endif()

# tests/peers/weft_NAME.c: <build>/tests/weft_NAME, programs of weft's that others talk to.
if(NOT CMAKE_CROSSCOMPILING AND WEFT_TLS)
	add_library(weft_peer STATIC EXCLUDE_FROM_ALL tests/peers/peer.c)
	target_link_libraries(weft_peer PUBLIC weft_test_flags weft_inside)
	file(GLOB peer_sources CONFIGURE_DEPENDS tests/peers/weft_*.c)
	foreach(source IN LISTS peer_sources)
		cmake_path(GET source STEM name)
		add_executable(${name} EXCLUDE_FROM_ALL ${source})
		set_target_properties(${name} PROPERTIES
			RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
		target_link_libraries(${name} PRIVATE weft_peer)
		add_dependencies(tests ${name})
	endforeach()
endif()

# tests/NAME_test.py and .sh; tests/peers/NAME_test.py, which need programs of others, have the
# label "peers", and are run by make test-peers alone.
if(NOT CMAKE_CROSSCOMPILING)
	file(GLOB scripts CONFIGURE_DEPENDS tests/*_test.py tests/*_test.sh)
	if(WEFT_TLS)
		file(GLOB peer_scripts CONFIGURE_DEPENDS tests/peers/*_test.py)
	else()
		list(FILTER scripts EXCLUDE REGEX "/http_(adversary|hostile_server)_test\\.py$")
	endif()
	foreach(source IN LISTS scripts peer_scripts)
		cmake_path(GET source STEM name)
		string(REGEX REPLACE "_test$" "" name ${name})
		set(labels script)
		if(source IN_LIST peer_scripts)
			string(PREPEND name peers_)
			set(labels peers)
		endif()
		if(source MATCHES "py$")
			set(runner python3)
		else()
			set(runner bash)
		endif()
		weft_add_test(${name} ${source} ${runner} ${source} LABELS ${labels} ENV ${script_env})
	endforeach()
endif()

# The fiber switch of the other architecture, and what is made of its vectors, under its emulator.
if(EXISTS ${PROJECT_SOURCE_DIR}/src/rt/switch_test.c AND flavour STREQUAL asan
		AND weft_arch STREQUAL x86_64)
	weft_add_test(switch_aarch64 "" ${PROJECT_SOURCE_DIR}/tools/test-aarch64.sh
		"^rt_switch|^base_utf8|^proto_jsonrpc_bits|^proto_http1_head" LABELS cross)
	# It builds, beside whatever else runs.
	set_tests_properties(switch_aarch64 PROPERTIES TIMEOUT 900 PROCESSORS 2)
endif()

# Every file of a fuzzer's corpus, through the fuzzer's body, in the builds with tests.
if(NOT CMAKE_CROSSCOMPILING)
	file(GLOB fuzz_sources CONFIGURE_DEPENDS fuzz/*_fuzz.c)
	include(cmake/llhttp.cmake)
	if(NOT TARGET weft_llhttp)
		list(FILTER fuzz_sources EXCLUDE REGEX "_llhttp_fuzz\\.c$")
	endif()
	include(cmake/cjson.cmake)
	foreach(source IN LISTS fuzz_sources)
		cmake_path(GET source STEM name)
		string(REGEX REPLACE "_fuzz$" "" name ${name})
		add_executable(replay_${name} EXCLUDE_FROM_ALL ${source} fuzz/replay.c)
		set_target_properties(replay_${name} PROPERTIES
			RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
		target_compile_options(replay_${name} PRIVATE -Wno-missing-prototypes)
		target_link_libraries(replay_${name} PRIVATE weft_test_flags weft_inside)
		if(name MATCHES "_llhttp$")
			target_link_libraries(replay_${name} PRIVATE weft_llhttp)
		endif()
		if(name STREQUAL jsonrpc)
			target_link_libraries(replay_${name} PRIVATE weft_cjson m)
		endif()
		add_dependencies(tests replay_${name})
		weft_add_test(fuzz_${name} ${source} ${launcher} $<TARGET_FILE:replay_${name}>
			${PROJECT_SOURCE_DIR}/fuzz/corpus/${name} LABELS fuzz ENV ${script_env})
	endforeach()
endif()
