#!/bin/sh
# Claim: at equal pairs seen, the sigmoid loss does better than InfoNCE in small batches, and both are alike in large ones.
#   examples/reproduce/infonce_or_sigmoid.sh [--smoke] [--output DIR] [--seeds "0 1 2"] [--threads N]
# 24 runs: two losses, batches of 32, 128, 512 and 2,048, three seeds; every run sees 245,760 pairs (247,040 in batches of
# 32, whose epochs are a little longer). No two pairs of a batch have one caption. The learning rate grows with the square
# root of the batch, alike for both; the sigmoid's bias starts where right and wrong pairs cost alike
# (docs/choosing-an-objective.md). A run that was interrupted goes on. --smoke does it all in a minute, for the script.
set -eu
programs=
. "$(dirname "$0")/common.sh"
begin infonce_or_sigmoid "$@"

batches="32 128 512 2048"
split=train
if [ -n "$smoke" ]; then
  batches="16 64"
  split=val_style
fi
for seed in $seeds; do
  for batch in $batches; do
    case $batch in  # epochs, learning rate, bias
      32) set -- 40 5.3e-4 -2.53 ;;
      128) set -- 40 1.06e-3 -3.57 ;;
      512) set -- 40 2.1e-3 -4.7 ;;
      2048) set -- 60 4.2e-3 -5.87 ;;
      *) set -- 1 1e-3 -2 ;;
    esac
    train "info_nce-$batch-$seed" objective.name=info_nce data.batch_size="$batch" data.distinct_captions=true \
      data.train_split="$split" train.epochs="$1" optim.lr="$2" train.seed="$seed"
    train "sigmoid-$batch-$seed" objective.name=sigmoid objective.init_logit_bias="$3" data.batch_size="$batch" \
      data.distinct_captions=true data.train_split="$split" train.epochs="$1" optim.lr="$2" train.seed="$seed"
  done
done
conclude "InfoNCE and sigmoid loss" --series objective.name --x data.batch_size --split test_style
