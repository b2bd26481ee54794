// fovea/optim: optimisers and schedules.
#pragma once

#include "fovea/optim/adafactor.h"
#include "fovea/optim/adamw.h"
#include "fovea/optim/ema.h"
#include "fovea/optim/gradient_exchange.h"
#include "fovea/optim/lamb.h"
#include "fovea/optim/layer_decay.h"
#include "fovea/optim/optimizer.h"
#include "fovea/optim/param_store.h"
#include "fovea/optim/schedule.h"
#include "fovea/optim/sgd.h"
