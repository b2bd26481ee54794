#!/bin/sh
# Trains the best small CLIP of these examples (examples/configs/best.json) and scores it on all held-out pictures.
#   examples/train_best.sh [--output DIR]      a run that was interrupted goes on when DIR holds it (default out/best)
# Under an hour on two cores; docs/train-best.md tells how the configuration was found.
set -eu
cd "$(dirname "$0")/.."
output=out/best
while [ $# -gt 0 ]; do
  case "$1" in
    --output) output=${2:?--output needs a folder}; shift 2 ;;
    -h|--help) sed -n '2,4s/^# *//p' "$0"; exit 0 ;;
    *) echo "unknown option $1; known: --output DIR" >&2; exit 2 ;;
  esac
done

. cmake/setup.sh
# shellcheck disable=SC2086
fovea_install $fovea_library_packages
echo "Building (some minutes the first time) ..."
fovea_configure -DFOVEA_BUILD_TESTS=OFF -DFOVEA_BUILD_BENCH=OFF
fovea_build train_clip evaluate

# A run that was interrupted goes on from its newest checkpoint.
resume=
if [ -e "$output/config.json" ]; then resume="--resume latest"; fi
# shellcheck disable=SC2086
build/bin/train_clip --config examples/configs/best.json --output "$output" $resume
if [ ! -e "$output/model/config.json" ]; then
  echo "Stopped. The same command goes on: $0 --output $output"
  exit 0
fi
for split in test_style test_concept test_both test_clipart; do
  echo
  build/bin/evaluate --model "$output/model" --task retrieval --data data/emoji_clipart --split "$split"
done
echo
echo "Model:   $output/model"
echo "Report:  $output/report.html"
