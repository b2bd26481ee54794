// Published and small configurations of CLIP by name, and configurations as JSON text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/models/clip.h"

namespace fovea::models {

// The names clip_preset knows: "ViT-B-32", "RN50", ..., "small-resnet-cbow", ...
FOVEA_API std::vector<std::string> clip_preset_names();

// Throws Error naming the nearest known preset when the name is unknown.
FOVEA_API ClipConfig clip_preset(std::string_view name);

// The same of text towers: "bert-mini", "bert-base", "bert-large". In a config file their names may stand for "text".
FOVEA_API std::vector<std::string> bert_preset_names();
FOVEA_API BertConfig bert_preset(std::string_view name);

// The "model" object of a BERT's folder: {"type": "bert", ...}. Throws Error as parse_clip_config does.
FOVEA_API BertConfig parse_bert_config(const std::string& json);
FOVEA_API std::string to_json(const BertConfig& config);

// The "model" object of a config file. Throws Error naming the key for unknown keys and wrong types.
FOVEA_API ClipConfig parse_clip_config(const std::string& json);
FOVEA_API std::string to_json(const ClipConfig& config);

// What `bench_step --preset` and `inspect --plan` measure: "small", "s16", "b32", "rn50", "b0".
struct StepBenchmark {
  ClipConfig model;
  bool image_tower_alone = false;  // whose loss is the mean of its squared features
};
FOVEA_API std::vector<std::string> step_benchmark_names();
FOVEA_API StepBenchmark step_benchmark(std::string_view name);  // throws Error when the name is unknown

// Parameters and forward operations (two per multiply-add) of one image and one caption of `caption_tokens` tokens.
struct ModelSize {
  std::int64_t parameters = 0;
  double image_flops = 0, text_flops = 0;
};
FOVEA_API ModelSize model_size(const ClipConfig& config, std::int64_t caption_tokens);

}  // namespace fovea::models
