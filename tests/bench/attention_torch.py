"""Compares fovea's attention with PyTorch's scaled_dot_product_attention, forward and backward, in turn.

    python tests/bench/attention_torch.py [--threads 1] [--isa avx512] [--rounds 3]

12 heads of 64; gradients of queries, keys and values. fovea runs `bench_kernels --benchmark_filter=^attention/` under
FOVEA_MAX_ISA (queries, keys and values side by side in one matrix); PyTorch runs with (B, H, T, D) tensors, contiguous
and as transposed views of (B, T, H, D), of which the faster counts, and all instructions of the machine. A table of
medians over the rounds, with the range, and their ratio.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SHAPES = [(batch, tokens, causal) for batch, tokens in ((32, 50), (32, 77), (16, 197), (8, 257)) for causal in (0, 1)]


def time_pytorch(threads):
    import torch

    torch.set_num_threads(threads)

    def milliseconds(batch, tokens, causal, transposed):
        shape = (batch, tokens, 12, 64) if transposed else (batch, 12, tokens, 64)

        def tensor():
            x = torch.randn(shape)
            return x.transpose(1, 2) if transposed else x

        q, k, v = (tensor().requires_grad_() for _ in range(3))
        dy = tensor()

        def run():
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))
            torch.autograd.grad(y, (q, k, v), dy)

        run()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)

    return [min(milliseconds(*shape, transposed) for transposed in (False, True)) for shape in SHAPES]


def time_fovea(program, threads, isa):
    environment = {**os.environ, "FOVEA_NUM_THREADS": str(threads), "FOVEA_MAX_ISA": isa}
    command = [program, "--benchmark_filter=^attention/", "--benchmark_min_time=0.1", "--benchmark_format=json"]
    result = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    times = {run["name"]: run["real_time"] for run in result["benchmarks"]}
    return [times["attention/%d/%d/%d/real_time" % shape] for shape in SHAPES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", default="avx512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default="build/bin/bench_kernels")
    parser.add_argument("--pytorch-alone", action="store_true", help="print PyTorch's milliseconds as JSON")
    args = parser.parse_args()
    if args.pytorch_alone:
        print(json.dumps(time_pytorch(args.threads)))
        return
    ours, peer = [], []
    for _ in range(args.rounds):
        ours.append(time_fovea(args.program, args.threads, args.isa))
        child = [sys.executable, __file__, "--pytorch-alone", "--threads", str(args.threads)]
        peer.append(json.loads(subprocess.run(child, check=True, capture_output=True).stdout))
    print("| tokens | batch | mask | fovea, ms | PyTorch, ms | ratio |\n|---|---|---|---|---|---|")
    for i, (batch, tokens, causal) in enumerate(SHAPES):
        cells, medians = [], []
        for rounds in (ours, peer):
            times = [times[i] for times in rounds]
            medians.append(statistics.median(times))
            cells.append(f"{medians[-1]:.1f} ({min(times):.1f} - {max(times):.1f})")
        print(f"| {tokens} | {batch} | {'causal' if causal else 'full'} | {cells[0]} | {cells[1]} "
              f"| {medians[1] / medians[0]:.2f} |")


if __name__ == "__main__":
    main()
