#include "fovea/data/word_dropout.h"

#include <algorithm>
#include <vector>

namespace fovea::data {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

}  // namespace

std::string drop_words(std::string_view text, double probability, Rng& rng) {
  const std::vector<std::string_view> words = words_of(text);
  if (words.empty()) return std::string(text);
  const auto kept = static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(words.size())));
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool dropped = rng.uniform() < probability;
    if (dropped && i != kept) continue;
    if (!out.empty()) out += ' ';
    out += words[i];
  }
  return out;
}

}  // namespace fovea::data
