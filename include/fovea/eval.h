// fovea/eval: scores.
#pragma once

#include "fovea/eval/clip_retrieval.h"
#include "fovea/eval/retrieval.h"
