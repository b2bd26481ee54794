// Descriptions of EfficientNets in configuration files. Private to the sources.
#pragma once

#include <string>

#include "fovea/models/efficientnet.h"
#include "models/config_section.h"

namespace fovea::models {

void fields(io::detail::Same<EfficientNetConfig> auto& c, auto&& f) {
  f("image_size", c.image_size), f("width", c.width), f("depth", c.depth), f("divisor", c.divisor);
  f("kernels", c.kernels), f("strides", c.strides), f("repeats", c.repeats);
  f("in", c.in), f("out", c.out), f("expand", c.expand), f("square_padding", c.square_padding);
  f("squeeze", c.squeeze), f("drop_connect", c.drop_connect), f("activation", c.activation);
  f("eps", c.eps), f("momentum", c.momentum), f("expand_momentum", c.expand_momentum), f("top", c.top);
  f("projects", c.projects);
}

namespace detail {

// "b0" ... "b7" with their published picture sizes (Tan & Le 2019; keras.applications). Throws Error, naming the place,
// for other names.
EfficientNetConfig efficientnet_variant(const ConfigJson& name, const io::detail::JsonPlace& place);

// Hugging Face's EfficientNetConfig, or the vision_config of its AlignConfig, which has no top. Throws Error naming
// file and key for what the tower cannot be.
EfficientNetConfig parse_hf_efficientnet(const Section& section, bool top);
ConfigJson to_hf_efficientnet(const EfficientNetConfig& config, const char* model_type);

}  // namespace detail
}  // namespace fovea::models
