# SPDX-License-Identifier: MIT
# llhttp, the parser of Node.js, from Debian's package node-llhttp: what the HTTP/1 codec is
# compared with, by a fuzzer and by a benchmark. Compiled from the package's sources, strict.
# Without them there is no target weft_llhttp.
if(NOT TARGET weft_llhttp AND NOT CMAKE_CROSSCOMPILING)
	find_path(WEFT_LLHTTP_SOURCES NAMES llhttp.c api.c http.c PATHS /usr/share/llhttp
		NO_DEFAULT_PATH)
	find_path(WEFT_LLHTTP_INCLUDE NAMES llhttp.h PATHS /usr/share/include/llhttp
		NO_DEFAULT_PATH)
	mark_as_advanced(WEFT_LLHTTP_SOURCES WEFT_LLHTTP_INCLUDE)
	if(WEFT_LLHTTP_SOURCES AND WEFT_LLHTTP_INCLUDE)
		add_library(weft_llhttp STATIC EXCLUDE_FROM_ALL ${WEFT_LLHTTP_SOURCES}/llhttp.c
			${WEFT_LLHTTP_SOURCES}/api.c ${WEFT_LLHTTP_SOURCES}/http.c)
		target_include_directories(weft_llhttp SYSTEM PUBLIC ${WEFT_LLHTTP_INCLUDE})
		target_compile_definitions(weft_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
		target_link_libraries(weft_llhttp PRIVATE weft_flags)
		target_compile_options(weft_llhttp PRIVATE -w)
	else()
		message(STATUS "Not compared with llhttp: package node-llhttp is not installed")
	endif()
endif()
