# SPDX-License-Identifier: MIT
# Three sets of flags:
#   weft_flags          language, warnings, sanitizers: for everything that is compiled here
#   weft_library_flags  on top of them for the objects of the library
#   weft_test_flags     on top of them for tests and benchmarks, which see internal headers

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

add_library(weft_flags INTERFACE)
target_compile_options(weft_flags INTERFACE
	$<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
		-Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wcast-qual -Wcast-align
		-Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wswitch-enum
		-Wnull-dereference>
	-fno-omit-frame-pointer -fno-semantic-interposition -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(WEFT_WERROR)
	target_compile_options(weft_flags INTERFACE -Werror)
endif()

if(WEFT_SANITIZE)
	target_compile_options(weft_flags INTERFACE -fsanitize=${WEFT_SANITIZE} -O1)
	target_link_options(weft_flags INTERFACE -fsanitize=${WEFT_SANITIZE})
	if(WEFT_SANITIZE MATCHES undefined)
		target_compile_options(weft_flags INTERFACE -fno-sanitize-recover=all)
	endif()
	if(WEFT_BUILD_FUZZERS)
		target_compile_options(weft_flags INTERFACE -fsanitize=fuzzer-no-link)
	endif()
else()
	target_compile_options(weft_flags INTERFACE
		$<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
if(WEFT_COVERAGE)
	target_compile_options(weft_flags INTERFACE --coverage -O0 -fprofile-update=atomic)
	target_link_options(weft_flags INTERFACE --coverage)
endif()
if(WEFT_SANITIZE OR WEFT_COVERAGE)
	set(WEFT_INSTRUMENTED ON)
else()
	set(WEFT_INSTRUMENTED OFF)
endif()

add_library(weft_library_flags INTERFACE)
target_link_libraries(weft_library_flags INTERFACE weft_flags)
if(NOT WEFT_INSTRUMENTED)
	# Fibers have small stacks; instrumented frames are larger than what ships.
	target_compile_options(weft_library_flags INTERFACE
		$<$<COMPILE_LANGUAGE:C>:-Wframe-larger-than=2048>)
endif()

add_library(weft_test_flags INTERFACE)
target_link_libraries(weft_test_flags INTERFACE weft_flags Threads::Threads)
target_include_directories(weft_test_flags INTERFACE
	${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
