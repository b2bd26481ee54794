#!/bin/sh
# From JPEG files to a model's input, on one thread: ours and Pillow in turn.   PYTHON=python tests/bench/compare_loader.sh [rounds]
# PYTHON needs Pillow and NumPy. Prints rounds of "longest side, mode, milliseconds of ours, of Pillow, ratio".
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
peer=tests/bench/pillow_loader.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for side in 300 500; do
  "$python" "$peer" make "$folder/$side" --longest "$side"
  for mode in eval crop reduced; do
    for round in $(seq "${1:-5}"); do
      ours=$(build/bin/bench_loader "$folder/$side" --mode "$mode" --repeats 1)
      theirs=$("$python" "$peer" run "$folder/$side" --mode "$mode" --repeats 1)
      echo "$side $mode $ours $theirs $(awk "BEGIN { printf \"%.2f\", $theirs / $ours }")"
    done
  done
done
