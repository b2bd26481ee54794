# Installs the library, then moves the tree: nothing in it may depend on where it was.
include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")
file(REMOVE_RECURSE "${BINARY}/installed" "${BINARY}/prefix")
run("${CMAKE_COMMAND}" --install "${FOVEA_BINARY}" --prefix "${BINARY}/installed" --component library)
file(RENAME "${BINARY}/installed" "${BINARY}/prefix")
