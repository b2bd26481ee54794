// Trains ALIGN from a configuration file, or goes on with a run that was stopped.
#include "common/run_trainer.h"

namespace {

// What kakaobrain/coyo-align trains with, whatever the data: its main.py, align.py, models/efficientnet.py and
// datasets/image_preprocessor.py.
fovea::train::Config published() {
  fovea::train::Config config;
  config.model = "\"align-b3-mini\"";
  config.objective.label_smoothing = 0.1;
  config.objective.sum_directions = true;
  config.optim.name = "lamb";
  config.optim.lr = 1e-3;
  config.optim.betas = {0.9, 0.999};
  config.optim.eps = 1e-6;
  config.optim.weight_decay = 1e-5;
  config.optim.decay = {"*"};
  config.optim.no_decay = {"vision_model.*batchnorm*", "vision_model.*_bn.*", "vision_model.*depthwise_norm*"};
  config.schedule.kind = "linear";
  config.train.grad_clip_norm = 0;
  config.train.virtual_batch = 16;
  config.data.transform =
      R"({"size": 289, "resize_mode": "squash", "resize_to": 346, "interpolation": "bilinear",)"
      R"( "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],)"
      R"( "augment": {"crop": {"random_position": true}, "affine": {"flip": 0.5}}})";
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  return fovea::examples::run_trainer(
      argc, argv,
      {"train_align",
       "Trains ALIGN, an EfficientNet and a BERT, on pairs of pictures and captions.",
       "  PROGRAM --config examples/configs/align_small.json --output out/align\n"
       "  PROGRAM --config examples/configs/align_b7_base.json --train-data cc3m.tsv --output out/cc3m\n",
       published()});
}
