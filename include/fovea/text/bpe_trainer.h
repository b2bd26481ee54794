// Learning a byte-pair vocabulary from text.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/text/tokenizer.h"

namespace fovea::text {

using WordCounts = std::map<std::string, std::int64_t>;

// Adds the words of a text (clean, then split_words) to `counts`.
FOVEA_API void count_words(std::string_view text, WordCounts& counts);

// The merges of a vocabulary with `vocabulary_size` entries: 256 bytes, 256 bytes that end a word, the merges, start
// and end. Again and again the most frequent pair of neighbours inside words becomes a new piece (Sennrich et al.,
// "Neural machine translation of rare words with subword units", ACL 2016); of equally frequent pairs the one with the
// smaller ids, compared left first. Throws Error when the size is below 514 or the words hold too few pairs.
FOVEA_API std::vector<BpeMerge> train_bpe(const WordCounts& words, std::int64_t vocabulary_size);
FOVEA_API std::vector<BpeMerge> train_bpe(std::span<const std::string> texts, std::int64_t vocabulary_size);

}  // namespace fovea::text
