#!/bin/sh
# ./bootstrap.sh demo   build, calibrate this machine in a minute, predict scenarios/quickstart.yaml
# ./bootstrap.sh test   build and run all tests
# ./bootstrap.sh deps   only install what is missing
#
# Works on a fresh Debian or Ubuntu with a shell and apt, as root or with sudo. Installs only what is
# missing, and says what.
set -eu
cd "$(dirname "$0")"

PACKAGES="g++ cmake ninja-build ccache libyaml-cpp-dev libboost-graph-dev libfmt-dev libcli11-dev
nlohmann-json3-dev libpugixml-dev libdnnl-dev libhwloc-dev libsqlite3-dev libgtest-dev libgmock-dev
libbenchmark-dev libjs-chart.js"
# Only the tests of the pages want it, which are skipped where it cannot be had (Ubuntu has none).
OPTIONAL_TEST_PACKAGE=chromium-headless-shell
PRESET=${FORETOKEN_PRESET:-release}
JOBS=${FORETOKEN_JOBS:-$(nproc)}

say() { printf '== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    printf 'bootstrap.sh: %s needs root; run it as root or install sudo\n' "$1" >&2
    exit 2
  fi
}

installed() {
  dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

install_missing() {
  missing=""
  for package in $PACKAGES; do
    installed "$package" || missing="$missing $package"
  done
  wanted=$missing
  if [ "${1:-}" = tests ] && ! installed "$OPTIONAL_TEST_PACKAGE"; then
    wanted="$missing $OPTIONAL_TEST_PACKAGE"
  fi
  if [ -z "$wanted" ]; then
    say "all packages are installed"
    return
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    [ -n "$missing" ] || return 0
    printf 'bootstrap.sh: no apt-get here; install the equivalents of:%s\n' "$missing" >&2
    exit 2
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  if [ "$wanted" != "$missing" ] && [ -z "$(apt-cache madison "$OPTIONAL_TEST_PACKAGE")" ]; then
    say "no package $OPTIONAL_TEST_PACKAGE here: the pages' browser tests will be skipped"
    wanted=$missing
    [ -n "$wanted" ] || return 0
  fi
  say "installing:$wanted"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $wanted >/dev/null
}

build() {
  if [ "$TARGET" != all ]; then
    say "building $TARGET only: no CUDA needed"
  elif command -v nvcc >/dev/null 2>&1 || [ -n "${CUDACXX:-}" ]; then
    say "CUDA kernels: nvcc found, they are built too"
  else
    say "CUDA kernels: SKIPPED, no nvcc on PATH (everything else works without)"
  fi
  say "configuring ($PRESET)"
  cmake --preset "$PRESET" "$@" >build.log 2>&1 || { cat build.log >&2; exit 1; }
  rm -f build.log
  say "building with $JOBS jobs"
  cmake --build "build/$PRESET" -j "$JOBS" --target "$TARGET"
}

case "${1:-}" in
  demo)
    install_missing
    TARGET=foretoken
    build -DFORETOKEN_TESTS=OFF
    say "calibrating this machine (about a minute)"
    profile=results/this-machine.yaml
    mkdir -p results
    "build/$PRESET/foretoken" calibrate --backend cpu --quick --out "$profile"
    say "predicting scenarios/quickstart.yaml with it"
    "build/$PRESET/foretoken" simulate scenarios/quickstart.yaml --set "profile=$profile"
    ;;
  test)
    install_missing tests
    TARGET=all
    build -DFORETOKEN_TESTS=ON
    say "running the tests"
    ctest --preset "$PRESET" -j "$JOBS"
    ;;
  deps)
    install_missing tests
    ;;
  *)
    sed -n '2,4s/^# //p' "$0"
    exit 2
    ;;
esac
