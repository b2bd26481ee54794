// fovea/nn: layers.
#pragma once

#include "fovea/nn/attention.h"
#include "fovea/nn/batch_norm.h"
#include "fovea/nn/conv.h"
#include "fovea/nn/ctx.h"
#include "fovea/nn/embedding.h"
#include "fovea/nn/init.h"
#include "fovea/nn/layer_norm.h"
#include "fovea/nn/linear.h"
#include "fovea/nn/mlp.h"
#include "fovea/nn/param.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/nn/rms_norm.h"
#include "fovea/nn/transformer.h"
#include "fovea/nn/visit.h"
