// BERT in published files: its configuration and its names. Private to the sources.
#pragma once

#include <string>

#include "fovea/io/safetensors.h"
#include "fovea/models/bert.h"
#include "fovea/text/tokenizer.h"
#include "models/config_section.h"

namespace fovea::models::detail {

// Hugging Face's BertConfig, which AlignTextConfig shares; keys that are missing have that class's defaults. The file
// does not say whether the model has a pooler. Throws Error for what a Bert here cannot be.
BertConfig parse_hf_bert(const Section& section);
ConfigJson to_hf_bert(const BertConfig& config, const char* model_type);

// Gives parameters the names of today: early files say "gamma" and "beta" for a layer norm's weight and bias.
void rename_early_bert(io::TensorMap& file);

// tokenizer.json, and what transformers needs to know about it: which of its tokens begin, end, pad and mask a text.
void write_bert_tokenizer(const std::string& folder, const text::Tokenizer& tokenizer, std::int64_t context);

}  // namespace fovea::models::detail
