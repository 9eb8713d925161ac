#!/usr/bin/env python3
"""Instructions by which the w4a8/g128 kernels with float and with integer scales differ, from SASS.

    python3 kernels/gemm/bench/count_instructions.py build/release/tests/kernels/gemm/hopper_gemm_90a.cubin

Needs cuobjdump and nvdisasm on the path; ctest -R No_kernel_spills leaves a .cubin for every
architecture. Counts stand in the code, not executed: the loops are unrolled, so that the 64 outputs
of a thread (tiles of 128 tokens) give multiples of 64. IMAD.MOV is a move.
"""

import collections
import re
import subprocess
import sys

KINDS = {1: "w4a8", 2: "float scales", 3: "integer scales"}  # CudaGemmKind
TILE = 128


def kernels(cubin):
    text = subprocess.run(["cuobjdump", "-sass", cubin], check=True, capture_output=True, text=True).stdout
    for part in text.split("Function : ")[1:]:
        name = re.search(r"_gemmILNS0_12CudaGemmKindE(\d)ELi(\d+)E", part)
        if name and int(name[2]) == TILE and int(name[1]) in KINDS:
            yield int(name[1]), collections.Counter(
                re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(IMAD\.MOV|[A-Z][A-Z0-9]+)", part))


counts = dict(kernels(sys.argv[1]))
print(f"{'':12}" + "".join(f"{name:>16}" for name in KINDS.values()))
print(f"{'all':12}" + "".join(f"{sum(counts[kind].values()):16}" for kind in KINDS))
for op in sorted(set().union(*counts.values())):
    if abs(counts[2][op] - counts[3][op]) >= 16:
        print(f"{op:12}" + "".join(f"{counts[kind][op]:16}" for kind in KINDS))
