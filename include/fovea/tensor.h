// fovea/tensor: data without a graph.
#pragma once

#include "fovea/tensor/factory.h"
#include "fovea/tensor/packed.h"
#include "fovea/tensor/print.h"
#include "fovea/tensor/reduce.h"
#include "fovea/tensor/tensor.h"
