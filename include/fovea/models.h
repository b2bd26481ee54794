// fovea/models: what is trained.
#pragma once

#include "fovea/models/bert.h"
#include "fovea/models/cbow.h"
#include "fovea/models/clip.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/clip_layouts.h"
#include "fovea/models/efficientnet.h"
#include "fovea/models/image_tower.h"
#include "fovea/models/model_folder.h"
#include "fovea/models/modified_resnet.h"
#include "fovea/models/packed_tokens.h"
#include "fovea/models/presets.h"
#include "fovea/models/resnet.h"
#include "fovea/models/run_hf.h"
#include "fovea/models/text_tower.h"
#include "fovea/models/text_transformer.h"
#include "fovea/models/vit.h"
