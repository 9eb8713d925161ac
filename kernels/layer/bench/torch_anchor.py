#!/usr/bin/env python3
"""Optional anchor on a GPU machine with PyTorch: torch.matmul in bf16 and PyTorch's fused attention, at
the shapes of gemm_cuda_bench and of llama-3.1-8b's attention. Prints medians of CUDA-event times.

    python3 kernels/layer/bench/torch_anchor.py
"""

import statistics

import torch
import torch.nn.functional as F


def median_seconds(function, passes=9, least_seconds=2e-3):
    function()
    torch.cuda.synchronize()
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed(repeats):
        start.record()
        for _ in range(repeats):
            function()
        stop.record()
        torch.cuda.synchronize()
        return start.elapsed_time(stop) * 1e-3 / repeats

    repeats = 1 + int(least_seconds / timed(3))
    return statistics.median(timed(repeats) for _ in range(passes))


def matmul(m, n, k):
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    # Weights rotate through more memory than the second-level cache holds, as in decoding.
    copies = 3 * torch.cuda.get_device_properties(0).L2_cache_size // (2 * n * k) + 2
    weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(copies)]
    turn = iter(range(1 << 62))
    seconds = median_seconds(lambda: torch.matmul(x, weights[next(turn) % copies].T))
    print(f"matmul bf16 m={m} n={n} k={k}: {seconds * 1e6:.2f} us, {2e-12 * m * n * k / seconds:.1f} TFLOP/s")


def attention(new_tokens, length, heads=32, kv_heads=8, dim=128):
    q = torch.randn(1, heads, new_tokens, dim, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, kv_heads, length, dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    causal = new_tokens == length
    seconds = median_seconds(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
    pairs = length * (length + 1) / 2 if causal else new_tokens * length
    print(f"attention new={new_tokens} length={length}: {seconds * 1e6:.2f} us, "
          f"{4e-12 * heads * dim * pairs / seconds:.1f} TFLOP/s")


if __name__ == "__main__":
    print(torch.cuda.get_device_name(0), "torch", torch.__version__)
    for m in (1, 16, 64, 256, 1024, 4096):
        matmul(m, 12288, 12288)
    matmul(8192, 8192, 8192)
    for length in (1024, 4096, 16384):
        attention(length, length)
        attention(1, length)
