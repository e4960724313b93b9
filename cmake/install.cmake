# SPDX-License-Identifier: MIT
# Everything installed finds its neighbours by relative paths: the prefix may be moved.
install(TARGETS weft weft_static EXPORT weft-targets)
if(TARGET weft_cli)
	install(TARGETS weft_cli)
endif()
install(DIRECTORY include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
foreach(section 1 3 5 7)
	file(GLOB pages CONFIGURE_DEPENDS man/*.${section})
	if(pages)
		install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
	endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
configure_package_config_file(cmake/weft-config.cmake.in weft-config.cmake
	INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(weft-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT weft-targets NAMESPACE weft:: DESTINATION ${package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft-config.cmake
	${CMAKE_CURRENT_BINARY_DIR}/weft-config-version.cmake DESTINATION ${package_dir})

set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH WEFT_PC_PREFIX /prefix/${pc_dir} /prefix)
string(REGEX REPLACE "/$" "" WEFT_PC_PREFIX "${WEFT_PC_PREFIX}")
if(WEFT_ZLIB)
	string(APPEND WEFT_PC_LIBS " -lz")
endif()
if(WEFT_TLS)
	string(APPEND WEFT_PC_LIBS " -lssl -lcrypto")
endif()
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft.pc DESTINATION ${pc_dir})
