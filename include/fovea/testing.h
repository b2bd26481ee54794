// fovea/testing: checks of gradients and values.
#pragma once

#include "fovea/testing/golden.h"
#include "fovea/testing/gradcheck.h"
