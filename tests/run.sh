#!/bin/sh
# Builds everything and runs every test that does not take minutes.   tests/run.sh [ctest options]
# The others, afterwards:   cd build && ctest -L long
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh
# shellcheck disable=SC2086
fovea_install $fovea_library_packages $fovea_test_packages
# shellcheck disable=SC2086
fovea_install_optional $fovea_optional_packages
fovea_configure -DFOVEA_BUILD_TESTS=ON -DFOVEA_BUILD_EXAMPLES=ON -DFOVEA_BUILD_BENCH=ON
fovea_build
cd build
ctest --output-on-failure -LE long -j "$(nproc 2>/dev/null || echo 2)" "$@"
