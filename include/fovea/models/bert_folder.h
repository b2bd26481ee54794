// A BERT on disk.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "fovea/models/bert.h"
#include "fovea/models/clip_layouts.h"
#include "fovea/text/tokenizer.h"

namespace fovea::models {

using AnyBert = std::variant<Bert, BertForMaskedLM>;

// Reads config.json and the parameters (model.safetensors, model.safetensors.index.json with its files, or
// pytorch_model.bin) of a folder of Hugging Face, whose first "architectures" is BertModel or BertForMaskedLM, or of
// the library's own. Files of a larger class will do: what the model does not have of them, heads and the pooler, is
// left out. Names of early files are known too (LayerNorm.gamma and beta). Parameters of any floating type become
// `dtype`. Throws Error naming the file that is missing or does not fit.
FOVEA_API AnyBert load_bert(const std::string& folder, std::optional<ModelLayout> layout = {},
                            DType dtype = DType::f32);

// The tokenizer of such a folder, from tokenizer.json or vocab.txt; none where it has no such file. Throws Error when
// it has more entries than the model.
FOVEA_API std::optional<text::Tokenizer> load_bert_tokenizer(const std::string& folder, const AnyBert& model);

// Writes a folder: hf is what transformers' from_pretrained reads. Throws Error when the layout has no such model, and
// when the folder cannot be written.
FOVEA_API void export_bert(const std::string& folder, ModelLayout layout, const AnyBert& model,
                           const text::Tokenizer* tokenizer, io::FloatFormat floats = io::FloatFormat::f32);

}  // namespace fovea::models
