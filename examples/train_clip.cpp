// Trains CLIP from a configuration file, or goes on with a run that was stopped.
#include "common/run_trainer.h"

int main(int argc, char** argv) {
  return fovea::examples::run_trainer(argc, argv,
                                      {"train_clip",
                                       "Trains CLIP on pairs of pictures and captions.",
                                       "  PROGRAM --config examples/configs/quickstart.json --output out/quickstart\n"
                                       "  PROGRAM --model small-vit --set train.minutes=10 --output out/vit\n",
                                       {}});
}
