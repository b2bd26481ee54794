#!/bin/sh
# Times training steps in fovea and in PyTorch in turn, and prints a table of medians, their spread and the ratio.
#
#   tests/bench/compare.sh [ROUNDS] [THREADS] [PRESET:BATCH:STEPS ...]      default: 5 2 and the presets below
#
# Needs build/bin/bench_step, and a Python with torch: PYTHON=... names it.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-5}
threads=${2:-2}
[ $# -le 2 ] && set -- "$rounds" "$threads" small:128:10 s16:64:5 b32:32:3 rn50:16:3 b0:32:3
shift 2
python=${PYTHON:-python3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT

run() { # side, command...
  side=$1
  shift
  printf '%s\t%s\n' "$side" "$("$@")" >>"$results"
}
for round in $(seq "$rounds"); do
  for which in "$@"; do
    preset=${which%%:*}
    rest=${which#*:}
    flags="--preset $preset --batch ${rest%%:*} --steps ${rest#*:} --threads $threads"
    run fovea build/bin/bench_step $flags --json
    if [ "$preset" != rn50 ] && [ "$preset" != b0 ]; then
      run "fovea, exact savings, 12 tokens" build/bin/bench_step $flags --json --exact-savings on --tokens 12
    else
      run "PyTorch, channels last" "$python" tests/bench/torch_step.py $flags --channels-last
    fi
    run PyTorch "$python" tests/bench/torch_step.py $flags
  done
done
"$python" - "$results" <<'PYTHON'
import json
import statistics
import sys

runs = {}  # preset and batch -> side -> list of results, one a round
for line in open(sys.argv[1], encoding="utf-8"):
    side, text = line.split("\t")
    result = json.loads(text)
    runs.setdefault((result["preset"], result["batch"]), {}).setdefault(side, []).append(result)
print("| preset | batch | | ms per step | from - to | PyTorch / this | from - to | peak RSS, MB |")
print("|---|---|---|---|---|---|---|---|")
for (preset, batch), sides in runs.items():
    peers = [sides[side] for side in sides if side.startswith("PyTorch")]
    fastest = [min(results[i]["step_ms"] for results in peers) for i in range(len(peers[0]))]
    for side, results in sides.items():
        times = [result["step_ms"] for result in results]
        ratios = [peer / time for peer, time in zip(fastest, times)]
        memory = statistics.median(result["peak_rss_mb"] for result in results)
        print(f"| {preset} | {batch} | {side} | {statistics.median(times):.1f} | {min(times):.1f} - {max(times):.1f} "
              f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} - {max(ratios):.2f} | {memory:.0f} |")
PYTHON
