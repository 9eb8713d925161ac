#!/usr/bin/env bash
# run_all.sh FOLDER: everything that needs a GPU - tests, benchmarks, calibration - in at most eight
# minutes, results as flat files in FOLDER. Lies in the portable bundle (build/gpu/bundle), beside the
# programs. Exit status 1 when a test failed or a step ran out of time.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: run_all.sh FOLDER}
limit=${FORETOKEN_GPU_SECONDS:-470}

device=$("$here/codec_bench" --device) || { echo "SKIPPED: $device"; exit 0; }
mkdir -p "$out"
summary=$out/summary.txt
: >"$summary"
SECONDS=0
status=0

# NCCL and cuBLASLt often come with Python's packages rather than with the toolkit.
python_libraries=$(python3 - 2>/dev/null <<'PY'
import glob, os, site, sys
roots = site.getsitepackages() + [p for p in sys.path if p.endswith("site-packages")]
found = {os.path.dirname(f) for r in roots for n in ("libnccl.so.2", "libcublasLt.so.1*", "libcudnn.so.9")
         for f in glob.glob(f"{r}/nvidia/*/lib/{n}")}
print(":".join(sorted(found)))
PY
)
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64:$python_libraries"

say() { echo "$*" | tee -a "$summary"; }

# step SECONDS FILE COMMAND...: output to FILE; the whole never exceeds the limit.
step() {
  local left=$((limit - SECONDS)) most=$1 file=$out/$2
  shift 2
  if [ "$left" -lt 5 ]; then
    say "NOT RUN  no time left: $*"
    status=1
    return
  fi
  local begin=$SECONDS code=0
  (cd "$here" && timeout -k 5 "$((most < left ? most : left))" "$@") >>"$file" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then
    say "ok       $((SECONDS - begin)) s: $*"
  else
    say "FAILED   $((SECONDS - begin)) s, status $code: $*"
    status=1
  fi
}

say "$device, $(date -u +%Y-%m-%d)"
{ nvidia-smi 2>&1; nvcc --version 2>&1 | tail -2; ldd --version | head -1; nproc; } >"$out/machine.txt"

for test in codec collective gemm layer; do
  step 90 tests.txt "./kernels_${test}_cuda_test"
done
step 90 codec-gpu.md ./codec_bench --cuda
step 90 collectives-gpu.md ./collective_bench --cuda
for shape in "8192 8192" "12288 12288" "73728 12288"; do
  # shellcheck disable=SC2086
  step 60 gemm-gpu.txt ./gemm_cuda_bench $shape
done
if python3 -c 'import torch' 2>/dev/null; then
  step 60 torch.txt python3 ./torch_anchor.py
else
  say "SKIPPED  no PyTorch: torch_anchor.py"
fi
# Stops measuring in time to fit and write; an interrupted one goes on when called again.
left=$((limit - SECONDS))
step 260 calibrate.txt ./foretoken calibrate --backend cuda --out "$out/profile.yaml" \
  --page "$out/calibration.html" --benchmark-json "$out/calibration.json" \
  --budget "$((left - 40 < 200 ? left - 40 : 200))s"
grep -hE '^\[  FAILED  \]|RANKS DIFFER|\| NO \||WRONG' "$out"/tests.txt "$out"/*.md | sort -u |
  tee -a "$summary"
say "$SECONDS s in all"
exit $status
