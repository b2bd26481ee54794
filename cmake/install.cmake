# What `cmake --install` puts where: headers, the library, a CMake package, a pkg-config file; the programs by examples/.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(FOVEA_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/fovea")
set(FOVEA_PKGCONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
# Both packages find the prefix from their own place, so that an installed tree may be moved.
file(RELATIVE_PATH FOVEA_PREFIX_FROM_PKGCONFIG "${CMAKE_INSTALL_PREFIX}/${FOVEA_PKGCONFIG_DIR}" "${CMAKE_INSTALL_PREFIX}")

# A shared library brings what it is linked with; users of the static one link it themselves.
get_target_property(type fovea TYPE)
set(FOVEA_STATIC_LINK_NAMES "")
set(FOVEA_PKGCONFIG_LIBS "")
if(type STREQUAL "STATIC_LIBRARY")
  set(FOVEA_STATIC_LINK_NAMES "${FOVEA_LINK_NAMES}")
  list(TRANSFORM FOVEA_LINK_NAMES PREPEND "-l" OUTPUT_VARIABLE flags)
  list(JOIN flags " " FOVEA_PKGCONFIG_LIBS)
  string(APPEND FOVEA_PKGCONFIG_LIBS " -lstdc++ -pthread")
endif()

configure_package_config_file(cmake/fovea-config.cmake.in "${PROJECT_BINARY_DIR}/fovea-config.cmake"
                              INSTALL_DESTINATION "${FOVEA_CMAKE_DIR}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/fovea-config-version.cmake" COMPATIBILITY SameMinorVersion)
configure_file(cmake/fovea.pc.in "${PROJECT_BINARY_DIR}/fovea.pc" @ONLY)

install(TARGETS fovea EXPORT fovea-targets COMPONENT library)
install(DIRECTORY include/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT library FILES_MATCHING PATTERN "*.h")
install(EXPORT fovea-targets NAMESPACE fovea:: DESTINATION "${FOVEA_CMAKE_DIR}" COMPONENT library)
install(FILES "${PROJECT_BINARY_DIR}/fovea-config.cmake" "${PROJECT_BINARY_DIR}/fovea-config-version.cmake"
        DESTINATION "${FOVEA_CMAKE_DIR}" COMPONENT library)
install(FILES "${PROJECT_BINARY_DIR}/fovea.pc" DESTINATION "${FOVEA_PKGCONFIG_DIR}" COMPONENT library)
