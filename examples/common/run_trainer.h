// The command line of every trainer.
#pragma once

#include "fovea/train/config.h"

namespace fovea::examples {

struct TrainerProgram {
  const char *name, *purpose;
  const char* example;     // lines of the help that show how to begin, with PROGRAM for the name
  train::Config defaults;  // of the keys that neither file nor command line names
};

// Trains as configuration file, flags and --set say, or goes on with a run that was stopped. Returns what main returns.
int run_trainer(int argc, char** argv, const TrainerProgram& program);

}  // namespace fovea::examples
