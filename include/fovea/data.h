// fovea/data: data sets and loaders.
#pragma once

#include "fovea/data/batch.h"
#include "fovea/data/coco.h"
#include "fovea/data/curate.h"
#include "fovea/data/feature_cache.h"
#include "fovea/data/folder_table.h"
#include "fovea/data/idx.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/data/labelled_pictures.h"
#include "fovea/data/lines.h"
#include "fovea/data/loader.h"
#include "fovea/data/shard_list.h"
#include "fovea/data/shard_reader.h"
#include "fovea/data/shard_stream.h"
#include "fovea/data/table.h"
#include "fovea/data/text_encoder.h"
#include "fovea/data/word_dropout.h"
