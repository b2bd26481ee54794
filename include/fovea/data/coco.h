// Captions in the JSON of COCO.
#pragma once

#include <string>

#include "fovea/core/export.h"
#include "fovea/data/table.h"

namespace fovea::data {

// A file such as captions_train2017.json as a table of the columns `image` (file_name) and `caption`, whose cells hold
// all captions of a picture; rows are in the order of the file's images. Pictures without a caption and captions
// without a picture are left out, counted in a warning. Throws Error, naming the file and the place in it, when it is
// malformed.
FOVEA_API Table read_coco(const std::string& path);

// The folder that the pictures of such a file lie in: its own, or the one that COCO's layout has for it
// (annotations/captions_val2017.json: val2017 or images/val2017 beside annotations), whichever holds `picture`.
FOVEA_API std::string coco_image_root(const std::string& path, const std::string& picture);

// Whether a JSON text looks like COCO's.
FOVEA_API bool is_coco(const std::string& path);

}  // namespace fovea::data
