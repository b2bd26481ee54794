#include "models/efficientnet_configs.h"

#include <algorithm>
#include <iterator>

namespace fovea::models::detail {
namespace {

constexpr double keras_momentum = 0.99;  // of the old statistics; transformers hands it to PyTorch, which takes the new
constexpr double pytorch_momentum = 0.1;  // of the norm behind an expansion, which transformers leaves at its default
constexpr io::detail::WholeRange block_numbers{0, 255};

struct Variant {
  const char* name;
  double width, depth;
  std::int64_t image_size;
};
constexpr Variant variants[]{{"b0", 1.0, 1.0, 224}, {"b1", 1.0, 1.1, 240}, {"b2", 1.1, 1.2, 260},
                             {"b3", 1.2, 1.4, 300}, {"b4", 1.4, 1.8, 380}, {"b5", 1.6, 2.2, 456},
                             {"b6", 1.8, 2.6, 528}, {"b7", 2.0, 3.1, 600}};

double share(const Section& section, const char* key, double otherwise, double low, double high) {
  const double value = section.get(key, otherwise);
  if (!(value >= low && value <= high)) {
    (section.place / key).fail_with(section.json[key], concat("a number from ", low, " to ", high));
  }
  return value;
}

}  // namespace

EfficientNetConfig efficientnet_variant(const ConfigJson& name, const io::detail::JsonPlace& place) {
  std::vector<std::string> known;
  for (const Variant& variant : variants) {
    if (name == variant.name) {
      EfficientNetConfig config;
      config.width = variant.width, config.depth = variant.depth, config.image_size = variant.image_size;
      return config;
    }
    known.emplace_back(variant.name);
  }
  place.fail_with(name, "one of " + io::detail::join(known));
}

EfficientNetConfig parse_hf_efficientnet(const Section& section, bool top) {
  EfficientNetConfig c;
  section.require("num_channels", 3);
  section.require("pooling_type", "mean");
  c.image_size = section.square("image_size", 600);
  c.width = share(section, "width_coefficient", 2.0, 1e-3, 100);
  c.depth = share(section, "depth_coefficient", 3.1, 1e-3, 100);
  section.read("depth_divisor", c.divisor);
  section.read("kernel_sizes", c.kernels);
  section.read("in_channels", c.in);
  section.read("out_channels", c.out);
  section.read("strides", c.strides);
  section.read("num_block_repeats", c.repeats);
  section.read("expand_ratios", c.expand);
  section.read("depthwise_padding", c.square_padding, block_numbers);
  c.squeeze = share(section, "squeeze_expansion_ratio", c.squeeze, 0, 100);
  c.drop_connect = share(section, "drop_connect_rate", c.drop_connect, 0, 0.999);
  c.activation = hf_activation(section, "swish");
  c.eps = section.eps("batch_norm_eps", c.eps);
  c.momentum = share(section, "batch_norm_momentum", keras_momentum, 0, 1);
  c.expand_momentum = pytorch_momentum;
  c.top = top;
  if (top && section.get("hidden_dim", std::int64_t{2560}) != c.features()) {
    (section.place / "hidden_dim")
        .fail_with(section.has("hidden_dim") ? section.json["hidden_dim"] : ConfigJson(2560),
                   concat(c.features(), ", the channels of the last convolution"));
  }
  return c;
}

ConfigJson to_hf_efficientnet(const EfficientNetConfig& c, const char* model_type) {
  return {{"model_type", model_type},
          {"num_channels", 3},
          {"image_size", c.image_size},
          {"width_coefficient", c.width},
          {"depth_coefficient", c.depth},
          {"depth_divisor", c.divisor},
          {"kernel_sizes", c.kernels},
          {"in_channels", c.in},
          {"out_channels", c.out},
          {"depthwise_padding", c.square_padding},
          {"strides", c.strides},
          {"num_block_repeats", c.repeats},
          {"expand_ratios", c.expand},
          {"squeeze_expansion_ratio", c.squeeze},
          {"hidden_act", c.activation == Activation::silu ? "swish" : hf_activation_name(c.activation)},
          {"hidden_dim", c.features()},
          {"pooling_type", "mean"},
          {"batch_norm_eps", c.eps},
          {"batch_norm_momentum", c.momentum},
          {"drop_connect_rate", c.drop_connect}};
}

}  // namespace fovea::models::detail
