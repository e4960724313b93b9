# SPDX-License-Identifier: MIT
# weft_cjson: Debian's cJSON, which the JSON scanner is compared with. Where it is not installed
# what links this goes without, and says so.
include_guard(GLOBAL)
add_library(weft_cjson INTERFACE)
if(NOT CMAKE_CROSSCOMPILING)
	find_path(WEFT_CJSON_INCLUDE cjson/cJSON.h)
	find_library(WEFT_CJSON_LIBRARY cjson)
	mark_as_advanced(WEFT_CJSON_INCLUDE WEFT_CJSON_LIBRARY)
endif()
if(WEFT_CJSON_INCLUDE AND WEFT_CJSON_LIBRARY)
	target_include_directories(weft_cjson SYSTEM INTERFACE ${WEFT_CJSON_INCLUDE})
	target_link_libraries(weft_cjson INTERFACE ${WEFT_CJSON_LIBRARY})
	target_compile_definitions(weft_cjson INTERFACE WITH_CJSON)
else()
	message(STATUS "No comparison with cJSON: libcjson-dev is not installed")
endif()
