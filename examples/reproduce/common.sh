# Functions of the scripts beside this file, which source it (POSIX sh). A script begins with `begin CLAIM "$@"`, trains
# its runs with `train NAME ARGUMENTS...`, and ends with `conclude TITLE ARGUMENTS...`.

# Reads the options, goes to the source folder and builds.
begin() {
  claim=$1
  shift
  smoke=
  output=out/reproduce
  seeds="0 1 2"
  threads=
  while [ $# -gt 0 ]; do
    case "$1" in
      --smoke) smoke=yes; shift ;;
      --output) output=${2:?--output needs a folder}; shift 2 ;;
      --seeds) seeds=${2:?--seeds needs numbers}; shift 2 ;;
      --threads) threads="--threads ${2:?--threads needs a number}"; shift 2 ;;
      -h|--help) sed -n '2,/^[^#]/s/^# *//p' "$0"; exit 0 ;;
      *) echo "unknown option $1; known: --smoke, --output DIR, --seeds \"N ...\", --threads N" >&2; exit 2 ;;
    esac
  done
  here=$(cd "$(dirname "$0")" && pwd)
  cd "$here/../.."
  if [ -n "$smoke" ]; then
    output=$output/smoke
    seeds="0 1"
  fi
  runs=
  . cmake/setup.sh
  # shellcheck disable=SC2086
  fovea_install $fovea_library_packages
  echo "Building (some minutes the first time) ..."
  fovea_configure -DFOVEA_BUILD_TESTS=OFF -DFOVEA_BUILD_BENCH=OFF
  # shellcheck disable=SC2086
  fovea_build train_clip compare_runs $programs
}

# Trains a run of the claim: nothing is done when it is finished, and a run that was interrupted goes on. The arguments
# are settings, KEY=VALUE.
train() {
  run=$output/$claim/$1
  shift
  runs="$runs $run"
  [ -e "$run/model/config.json" ] && return 0
  echo "== $run"
  # shellcheck disable=SC2086
  build/bin/train_clip --config "$here/base.json" --output "$run" --resume latest $threads --set train.save_minutes=2 "$@"
  if [ ! -e "$run/model/config.json" ]; then
    echo "Stopped. The same command goes on."
    exit 0
  fi
}

# Writes the claim's JSON and figure: beside the scripts, or into the output folder for a smoke run.
conclude() {
  title=$1
  shift
  results=$here/results
  if [ -n "$smoke" ]; then results=$output/results; fi
  mkdir -p "$results"
  # shellcheck disable=SC2086
  build/bin/compare_runs $runs --json "$results/$claim.json" --svg "$results/$claim.svg" --title "$title" "$@"
  echo "Figures: $results/$claim.json   Picture: $results/$claim.svg"
}
