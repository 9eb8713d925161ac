#!/usr/bin/env bash
# What the build cannot enforce: system headers that only one folder may include, and order between
# the trees. The order inside sim/ is enforced by the include directories (cmake/ForetokenTargets.cmake).
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
only() {  # only WHAT PATTERN ALLOWED-REGEX
  local found
  found=$(git ls-files 'sim/*' 'kernels/*' 'calibrate/*' 'reports/*' | xargs grep -nE "$2" 2>/dev/null |
    grep -vE "^($3)" || true)
  if [ -n "$found" ]; then
    printf '%s may be included only from %s:\n%s\n' "$1" "$3" "$found"
    status=1
  fi
}
only yaml-cpp '#include <yaml-cpp' 'sim/config/'
only Boost.Graph '#include <boost/' 'sim/topology/'
only CLI11 '#include <CLI/' 'sim/cli/|calibrate/commands|calibrate/ledger/main|calibrate/import/|calibrate/detect/|calibrate/runtime/verify_command|calibrate/runtime/grid_main|kernels/(gemm|layer)/bench/'
only sim '#include "sim/' 'sim/|calibrate/|reports/'
only calibrate '#include "calibrate/' 'calibrate/|sim/cli/main.cpp'
only SQLite '#include <sqlite3' 'sim/store/'
only MPI '#include <mpi' 'sim/mpi/|kernels/collective/bench/'
only CUDA '#include <cuda' 'kernels/|calibrate/'
machine=$(git grep -nE '/(work|tmp|root|home)/' -- ':!tests/layers.sh' ':!*.md' | grep -vE 'tests/|mktemp' || true)
if [ -n "$machine" ]; then
  printf 'paths of one machine:\n%s\n' "$machine"
  status=1
fi
exit $status
