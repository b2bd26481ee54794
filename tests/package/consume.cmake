# Configures and builds a target of the consumer project; runs the program.
include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")
set(build "${BINARY}/${MODE}_${BUILD_TARGET}")
file(REMOVE_RECURSE "${build}")
run("${CMAKE_COMMAND}" -S "${SOURCE}/consumer" -B "${build}" -G "${GENERATOR}" "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_CXX_FLAGS=${FLAGS}"
    "-DBUILD_SHARED_LIBS=${SHARED}" "-DMODE=${MODE}" "-DCMAKE_PREFIX_PATH=${BINARY}/prefix")
run("${CMAKE_COMMAND}" --build "${build}" --target ${BUILD_TARGET})
if(BUILD_TARGET STREQUAL "consumer")
  run("${build}/consumer")
  check_consumer()
endif()
