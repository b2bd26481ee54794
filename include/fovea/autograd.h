// fovea/autograd: the tape.
#pragma once

#include "fovea/autograd/anomaly.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/checkpoint.h"
#include "fovea/autograd/gradient_watch.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/autograd/node.h"
#include "fovea/autograd/profiler.h"
#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
