#!/bin/sh
# Claim (Radford et al. 2021, figure 2): comparing captions teaches faster than predicting their words, and a bag of words
# as text encoder no slower than a transformer.
#   examples/reproduce/bag_of_words.sh [--smoke] [--output DIR] [--seeds "0 1 2"] [--threads N]
# Nine runs: predicting the bag of words, contrastive with a bag of words (CBOW), contrastive with a transformer; three
# seeds of 245,760 pairs each, scored after every fourth epoch. The image towers are alike, and all three are scored as
# any CLIP is: by the cosine of picture and caption. A run that was interrupted goes on. --smoke does it all in a minute.
set -eu
programs=
. "$(dirname "$0")/common.sh"
begin bag_of_words "$@"

split=train
epochs=40
every=4
batch=256
if [ -n "$smoke" ]; then
  split=val_style
  epochs=2
  every=1
  batch=64
fi
for seed in $seeds; do
  for kind in "bag_of_words cbow" "info_nce cbow" "info_nce transformer"; do
    # shellcheck disable=SC2086
    set -- $kind
    train "$1-$2-$seed" model="small-resnet-$2" objective.name="$1" data.train_split="$split" data.batch_size="$batch" \
      train.epochs="$epochs" eval.every_epochs="$every" train.seed="$seed"
  done
done
conclude "Predicting words and comparing captions" --series objective.name --series model.text.type --x samples \
  --split test_style
