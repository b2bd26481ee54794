// Hugging Face's tokenizer.json.
#pragma once

#include <string>
#include <string_view>

#include "text/pipeline.h"

namespace fovea::text::detail {

// Throws Error naming `source`, the place in the file and what was expected.
Pipeline parse_tokenizer_json(std::string_view json, const std::string& source);
// The vocabulary of a vocab.json, which is the "vocab" of a tokenizer.json.
Vocabulary parse_vocabulary_json(std::string_view json, const std::string& source);

std::string to_tokenizer_json(const Pipeline& pipeline);

}  // namespace fovea::text::detail
