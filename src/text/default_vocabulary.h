// The vocabulary compiled into the library; its source is written by examples/train_tokenizer.cpp.
#pragma once

#include <cstdint>
#include <string_view>

namespace fovea::text::detail {

constexpr std::int64_t default_vocabulary_size = 4096;

std::string_view default_merges();  // as Tokenizer::load_merges reads them

}  // namespace fovea::text::detail
