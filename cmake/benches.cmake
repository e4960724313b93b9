# SPDX-License-Identifier: MIT
# bench/NAME.c -> <build>/bench/NAME, by the target "benches". bench/support/*.c goes into each.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
file(GLOB bench_support CONFIGURE_DEPENDS bench/support/*.c)
include(cmake/cjson.cmake)
add_custom_target(benches)
foreach(source IN LISTS bench_sources)
	cmake_path(GET source STEM name)
	add_executable(bench_${name} EXCLUDE_FROM_ALL ${source} ${bench_support})
	set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
		RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
	target_link_libraries(bench_${name} PRIVATE weft_test_flags weft_inside m)
	target_include_directories(bench_${name} PRIVATE bench)
	if(name MATCHES "^jsonrpc_")
		target_link_libraries(bench_${name} PRIVATE weft_cjson)
	endif()
	add_dependencies(benches bench_${name})
endforeach()
