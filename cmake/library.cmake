# SPDX-License-Identifier: MIT
# The library's objects are compiled once and used three times:
#   weft         shared; the symbol map leaves only weft_* visible
#   weft_static  one relocatable object with the hidden symbols made local, so that names
#                inside can't meet a user's
#   weft_inside  plain archive with every internal symbol, for tests, benchmarks, fuzzers

file(GLOB_RECURSE weft_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.c)
list(FILTER weft_sources EXCLUDE REGEX "_(test|tool)\\.c$")
file(GLOB_RECURSE weft_assembly CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.S)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
	set(weft_arch x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
	set(weft_arch aarch64)
else()
	message(FATAL_ERROR "weft: no fiber switch for ${CMAKE_SYSTEM_PROCESSOR}: x86_64 and aarch64 only")
endif()
list(FILTER weft_assembly INCLUDE REGEX "_${weft_arch}\\.S$")

# What is linked beside libc and threads. Each part that needs something can be left out, and
# then says WEFT_ENOSYS; cross builds leave all of them out.
set(weft_needs)
set(weft_defines)
set(with_all ON)
if(CMAKE_CROSSCOMPILING)
	set(with_all OFF)
endif()
option(WEFT_ZLIB "Undo gzip and deflate (zlib)" ${with_all})
if(WEFT_ZLIB)
	find_package(ZLIB REQUIRED)
	list(APPEND weft_needs ZLIB::ZLIB)
	list(APPEND weft_defines WEFT_ZLIB=1)
endif()
option(WEFT_TLS "TLS (OpenSSL 3)" ${with_all})
if(WEFT_TLS)
	find_package(OpenSSL 3.0 REQUIRED)
	list(APPEND weft_needs OpenSSL::SSL OpenSSL::Crypto)
	list(APPEND weft_defines WEFT_TLS=1)
	list(FILTER weft_sources EXCLUDE REGEX "/src/net/tls_none\\.c$")
else()
	list(FILTER weft_sources EXCLUDE REGEX "/src/net/tls_(bio|cache|cert|config|conn|error|load|move|open|ticket)\\.c$")
endif()

add_library(weft_objects OBJECT ${weft_sources} ${weft_assembly})
set_target_properties(weft_objects PROPERTIES POSITION_INDEPENDENT_CODE ON
	C_VISIBILITY_PRESET hidden)
target_include_directories(weft_objects PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(weft_objects PRIVATE ${weft_defines})
target_link_libraries(weft_objects PRIVATE weft_library_flags Threads::Threads ${weft_needs})

add_library(weft_inside STATIC $<TARGET_OBJECTS:weft_objects>)
set_target_properties(weft_inside PROPERTIES EXCLUDE_FROM_ALL ON LINKER_LANGUAGE C)
target_compile_definitions(weft_inside PUBLIC ${weft_defines})
target_link_libraries(weft_inside PUBLIC Threads::Threads ${weft_needs})

add_library(weft SHARED $<TARGET_OBJECTS:weft_objects>)
set_target_properties(weft PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C
	LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libweft.map)
target_link_options(weft PRIVATE -Wl,-Bsymbolic-functions -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libweft.map)
if(NOT WEFT_SANITIZE)
	target_link_options(weft PRIVATE -Wl,-z,defs)
endif()

if(WEFT_INSTRUMENTED)
	# Sanitizers and gcov keep tables by symbol: they stay separate objects.
	add_library(weft_static STATIC $<TARGET_OBJECTS:weft_objects>)
else()
	set(weft_single ${CMAKE_CURRENT_BINARY_DIR}/weft_single.o)
	add_custom_command(OUTPUT ${weft_single}
		COMMAND ${CMAKE_LINKER} -r -o ${weft_single} $<TARGET_OBJECTS:weft_objects>
		COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${weft_single}
		DEPENDS weft_objects $<TARGET_OBJECTS:weft_objects>
		COMMAND_EXPAND_LISTS VERBATIM COMMENT "Joining the objects of libweft.a")
	set_source_files_properties(${weft_single} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
	add_library(weft_static STATIC ${weft_single})
endif()
set_target_properties(weft_static PROPERTIES OUTPUT_NAME weft LINKER_LANGUAGE C)

foreach(library weft weft_static)
	target_include_directories(${library} PUBLIC
		$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
		$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
	add_library(weft::${library} ALIAS ${library})
endforeach()
target_link_libraries(weft PRIVATE $<BUILD_INTERFACE:weft_flags> Threads::Threads ${weft_needs})
target_link_libraries(weft_static PUBLIC Threads::Threads ${weft_needs})
if(WEFT_INSTRUMENTED)
	target_link_libraries(weft_static PRIVATE $<BUILD_INTERFACE:weft_flags>)
endif()
