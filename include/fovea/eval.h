// fovea/eval: scores.
#pragma once

#include "fovea/eval/classification.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/eval/embed.h"
#include "fovea/eval/evaluation_page.h"
#include "fovea/eval/gallery.h"
#include "fovea/eval/knn.h"
#include "fovea/eval/linear_probe.h"
#include "fovea/eval/prompt_scorer.h"
#include "fovea/eval/retrieval.h"
#include "fovea/eval/retrieval_examples.h"
#include "fovea/eval/robustness.h"
#include "fovea/eval/search_index.h"
#include "fovea/eval/zero_shot.h"
