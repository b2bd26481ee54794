// fovea/optim: optimisers and schedules.
#pragma once

#include "fovea/optim/adamw.h"
#include "fovea/optim/ema.h"
#include "fovea/optim/param_store.h"
#include "fovea/optim/schedule.h"
