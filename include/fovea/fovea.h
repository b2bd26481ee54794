// The whole library, except fovea/testing.h.
#pragma once

#include "fovea/autograd.h"
#include "fovea/core.h"
#include "fovea/data.h"
#include "fovea/dist.h"
#include "fovea/eval.h"
#include "fovea/image.h"
#include "fovea/io.h"
#include "fovea/kernels.h"
#include "fovea/models.h"
#include "fovea/nn.h"
#include "fovea/objectives.h"
#include "fovea/ops.h"
#include "fovea/optim.h"
#include "fovea/tensor.h"
#include "fovea/text.h"
#include "fovea/train.h"
