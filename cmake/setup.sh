# Shared by examples/quickstart.sh and tests/run.sh (sourced, POSIX sh): installs what the build needs, configures, builds.

# fovea_install PACKAGE...: installs the Debian packages that are missing.
fovea_install() {
  command -v g++ >/dev/null 2>&1 || set -- "$@" g++
  command -v cmake >/dev/null 2>&1 || set -- "$@" cmake
  command -v ninja >/dev/null 2>&1 || command -v make >/dev/null 2>&1 || set -- "$@" ninja-build
  missing=""
  for package in "$@"; do
    if command -v dpkg-query >/dev/null 2>&1; then
      dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    else
      missing="$missing $package"
    fi
  done
  [ -z "$missing" ] && return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    if [ -n "${FOVEA_SKIP_INSTALL:-}" ]; then return 0; fi
    echo "This system has no apt-get. Please install what these Debian packages hold, then run again with" >&2
    echo "FOVEA_SKIP_INSTALL=1:$missing" >&2
    return 1
  fi
  as_root=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Please install as root:$missing" >&2; return 1; }
    as_root="sudo"
  fi
  echo "Installing:$missing"
  # shellcheck disable=SC2086
  { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends $missing; } >"${TMPDIR:-/tmp}/fovea-install.log" 2>&1 || {
    echo "Installation failed; the log is ${TMPDIR:-/tmp}/fovea-install.log" >&2
    tail -n 5 "${TMPDIR:-/tmp}/fovea-install.log" >&2
    return 1
  }
}

fovea_library_packages="libhwy-dev nlohmann-json3-dev libstb-dev libcli11-dev libutf8proc-dev libpcre2-dev libjpeg-dev libarchive-dev"
fovea_test_packages="libgtest-dev libbenchmark-dev libeigen3-dev pkg-config"

# What the build can do without: training by many processes.
fovea_optional_packages="libopenmpi-dev openmpi-bin"

# fovea_install_optional PACKAGE...: the same, going on without them where that fails.
fovea_install_optional() {
  fovea_install "$@" || echo "Going on without: $*"
}

# fovea_configure CMAKE_OPTION...: configures build/ in Release. An existing build folder keeps its generator.
fovea_configure() {
  if [ ! -f build/CMakeCache.txt ] && command -v ninja >/dev/null 2>&1; then set -- "$@" -G Ninja; fi
  cmake -S . -B build -DCMAKE_BUILD_TYPE=Release "$@" >build.log 2>&1 || { cat build.log >&2; rm -f build.log; return 1; }
  rm -f build.log
}

# fovea_build TARGET...: builds the targets (everything when none is named) on all processors.
fovea_build() {
  jobs=$(nproc 2>/dev/null || echo 2)
  if [ $# -eq 0 ]; then
    cmake --build build -j "$jobs"
  else
    cmake --build build -j "$jobs" --target "$@"
  fi
}
