// Descriptions of single towers in the library's own format. Private to the sources.
#pragma once

#include "fovea/models/image_tower.h"
#include "models/config_section.h"

namespace fovea::models::detail {

// The object "image" of a model. Throws Error naming the key for unknown keys, types of towers and values.
ImageTower::Config parse_image_tower(const ConfigJson& json, const io::detail::JsonPlace& place);
ConfigJson image_tower_json(const ImageTower::Config& config);

}  // namespace fovea::models::detail
