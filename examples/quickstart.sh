#!/bin/sh
# Trains CLIP on the shipped pictures and scores it on pictures it has never seen.
#   examples/quickstart.sh [--minutes M] [--output DIR]      M: minutes of training (default 10)
set -eu
cd "$(dirname "$0")/.."
minutes=10
output=out/quickstart
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --output) output=${2:?--output needs a folder}; shift 2 ;;
    -h|--help) sed -n '2,3s/^# *//p' "$0"; exit 0 ;;
    *) echo "unknown option $1; known: --minutes M, --output DIR" >&2; exit 2 ;;
  esac
done

case "$minutes" in
  *[!0-9.]* | *.*.* | . | 0 | 0.0) echo "--minutes is $minutes, expected a number above 0" >&2; exit 2 ;;
esac

. cmake/setup.sh
# shellcheck disable=SC2086
fovea_install $fovea_library_packages
echo "Building (some minutes the first time) ..."
fovea_configure -DFOVEA_BUILD_TESTS=OFF -DFOVEA_BUILD_BENCH=OFF
fovea_build train_clip evaluate

if [ -e "$output" ]; then  # an earlier run is kept
  earlier="$output.$(date +%Y%m%d-%H%M%S)"
  mv "$output" "$earlier"
  echo "The earlier run is now $earlier"
fi
build/bin/train_clip --config examples/configs/quickstart.json --output "$output" --set train.minutes="$minutes"
echo
build/bin/evaluate --model "$output/model" --task retrieval --data data/emoji_clipart --split test_style
echo
echo "Model:   $output/model"
echo "Report:  $output/report.html"
