// fovea/train: the training loop and what surrounds it.
#pragma once

#include "fovea/train/checkpoint.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/comparison.h"
#include "fovea/train/config.h"
#include "fovea/train/flags.h"
#include "fovea/train/meters.h"
#include "fovea/train/metrics_log.h"
#include "fovea/train/plan.h"
#include "fovea/train/progress.h"
#include "fovea/train/report.h"
#include "fovea/train/stop_signal.h"
#include "fovea/train/task.h"
#include "fovea/train/trainer.h"
