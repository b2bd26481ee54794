// fovea/objectives: what is minimised.
#pragma once

#include "fovea/objectives/any_objective.h"
#include "fovea/objectives/bag_of_words.h"
#include "fovea/objectives/embeddings.h"
#include "fovea/objectives/gradient_cache.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/objectives/loss.h"
#include "fovea/objectives/sigmoid.h"
