"""Compares the rows of a Google Benchmark result that differ in the last part of their names alone.

    build/bin/bench_kernels --benchmark_filter=gemm/b32 --benchmark_repetitions=5 \\
        --benchmark_enable_random_interleaving=true --benchmark_out=gemm.json >/dev/null
    ratios.py gemm.json [--ours fovea] [--each]

For each peer: its median time over ours, from and to over all rows, and the geometric mean. "best" is the fastest peer
of each row. --each prints every row.
"""
import argparse
import json
import math
import statistics


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("--ours", default="fovea")
    parser.add_argument("--prefix", default="", help="peers whose names start so, such as oneDNN")
    parser.add_argument("--each", action="store_true")
    args = parser.parse_args()
    rows = {}  # name without the library -> library -> times; shares of the peak beside
    for run in json.load(open(args.result, encoding="utf-8"))["benchmarks"]:
        if run["run_type"] != "iteration":
            continue
        name, library = run["name"].split("/min_time")[0].rsplit("/", 1)
        times, shares = rows.setdefault(name, {}).setdefault(library, ([], []))
        times.append(run["real_time"])
        shares.append(run.get("of_peak", math.nan))
    ratios = {}
    for name, libraries in rows.items():
        ours = statistics.median(libraries[args.ours][0])
        peers = {peer: statistics.median(times) / ours for peer, (times, _) in libraries.items()
                 if peer != args.ours and peer.startswith(args.prefix)}
        peers["best"] = min(peers.values())
        for peer, ratio in peers.items():
            ratios.setdefault(peer, []).append(ratio)
        if args.each:
            spread = [statistics.median(libraries[args.ours][0]) / t for t in libraries[args.ours][0]]
            print(f"| {name} | {100 * statistics.median(libraries[args.ours][1]):.1f} % | "
                  + " | ".join(f"{peer} {ratio:.2f}" for peer, ratio in peers.items())
                  + f" | ours {min(spread):.2f} - {max(spread):.2f} |")
    print("| time over ours | geometric mean | from - to | rows below 0.95 |")
    print("|---|---|---|---|")
    for peer, values in ratios.items():
        mean = math.exp(statistics.fmean(math.log(v) for v in values))
        print(f"| {peer} | {mean:.2f} | {min(values):.2f} - {max(values):.2f} "
              f"| {sum(v < 0.95 for v in values)} of {len(values)} |")


if __name__ == "__main__":
    main()
