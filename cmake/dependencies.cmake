# Everything the library is built with, gathered in one private target: none of it reaches a public header.
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(hwy CONFIG QUIET)
if(NOT TARGET hwy::hwy)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
  add_library(hwy::hwy ALIAS PkgConfig::HWY)
endif()
find_path(FOVEA_STB_INCLUDE stb/stb_image.h REQUIRED)
find_path(FOVEA_UTF8PROC_INCLUDE utf8proc.h REQUIRED)
find_library(FOVEA_UTF8PROC_LIBRARY utf8proc REQUIRED)
find_path(FOVEA_PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(FOVEA_PCRE2_LIBRARY pcre2-8 REQUIRED)

# Optional: decodes JPEG files to Pillow's pixels, faster than stb_image, and at reduced sizes.
find_package(JPEG QUIET)
set(FOVEA_HAS_LIBJPEG 0)
if(JPEG_FOUND)
  include(CheckCXXSymbolExists)
  set(CMAKE_REQUIRED_INCLUDES ${JPEG_INCLUDE_DIRS})
  check_cxx_symbol_exists(LIBJPEG_TURBO_VERSION "cstddef;cstdio;jpeglib.h" FOVEA_LIBJPEG_IS_TURBO)
  unset(CMAKE_REQUIRED_INCLUDES)
  if(FOVEA_LIBJPEG_IS_TURBO)
    set(FOVEA_HAS_LIBJPEG 1)
  endif()
endif()
if(FOVEA_HAS_LIBJPEG)
  message(STATUS "JPEG files are decoded by libjpeg-turbo (${JPEG_LIBRARIES})")
else()
  message(STATUS "JPEG files are decoded by stb_image: slower, never at a reduced size, and some pixels differ a little "
                 "from Pillow's. libjpeg-turbo (Debian: libjpeg-dev) was not found")
endif()

# As `-l` knows the libraries above: what the users of an installed static library link.
set(FOVEA_LINK_NAMES hwy utf8proc pcre2-8)
if(FOVEA_HAS_LIBJPEG)
  list(APPEND FOVEA_LINK_NAMES jpeg)
endif()

add_library(fovea_dependencies INTERFACE)
target_link_libraries(fovea_dependencies INTERFACE Threads::Threads nlohmann_json::nlohmann_json hwy::hwy
                      ${FOVEA_UTF8PROC_LIBRARY} ${FOVEA_PCRE2_LIBRARY})
target_include_directories(fovea_dependencies SYSTEM INTERFACE ${FOVEA_STB_INCLUDE} ${FOVEA_UTF8PROC_INCLUDE}
                           ${FOVEA_PCRE2_INCLUDE})
target_compile_definitions(fovea_dependencies INTERFACE FOVEA_HAS_LIBJPEG=${FOVEA_HAS_LIBJPEG})
if(FOVEA_HAS_LIBJPEG)
  target_link_libraries(fovea_dependencies INTERFACE JPEG::JPEG)
endif()
