// Trains SigLIP from a configuration file, or goes on with a run that was stopped.
#include "common/run_trainer.h"

namespace {

// The sigmoid loss, and AdamW with the second moment that keeps large batches stable (Zhai et al. 2023, section 4.6).
fovea::train::Config defaults() {
  fovea::train::Config config;
  config.model = "\"small-siglip\"";
  config.objective.name = "sigmoid";
  config.optim.betas = {0.9, 0.95};
  config.optim.no_decay = {"*token_embedding.weight"};
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  return fovea::examples::run_trainer(
      argc, argv,
      {"train_siglip", "Trains SigLIP on pairs of pictures and captions.",
       "  PROGRAM --config examples/configs/siglip_small.json --output out/siglip\n"
       "  PROGRAM --set objective.init_logit_bias=-2.71 train.minutes=5 --output out/five\n\n"
       "A new text tower for an image tower that stays as it is (locked-image tuning):\n\n"
       "  PROGRAM --config examples/configs/siglip_lit.json --output out/lit\n",
       defaults()});
}
