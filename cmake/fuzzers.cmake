# SPDX-License-Identifier: MIT
# fuzz/NAME_fuzz.c -> <build>/fuzz/NAME, a libFuzzer program.
if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
	message(FATAL_ERROR "WEFT_BUILD_FUZZERS needs clang")
endif()
file(GLOB fuzz_sources CONFIGURE_DEPENDS fuzz/*_fuzz.c)
add_custom_target(fuzzers ALL)
foreach(source IN LISTS fuzz_sources)
	cmake_path(GET source STEM name)
	string(REGEX REPLACE "_fuzz$" "" name ${name})
	add_executable(fuzz_${name} ${source})
	set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name}
		RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
	target_compile_options(fuzz_${name} PRIVATE -Wno-missing-prototypes)
	target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	target_link_libraries(fuzz_${name} PRIVATE weft_test_flags weft_inside)
	add_dependencies(fuzzers fuzz_${name})
endforeach()
