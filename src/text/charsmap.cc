#include "text/charsmap.h"

#include "fovea/core/error.h"

namespace fovea::text::detail {
namespace {

std::uint32_t word_at(std::string_view bytes, std::size_t at) {
  std::uint32_t word = 0;
  for (std::size_t k = 4; k-- > 0;) word = word << 8 | static_cast<unsigned char>(bytes[at + k]);
  return word;
}

// The fields of a unit of the double array.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FFu; }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string bytes, const std::string& place) : bytes_(std::move(bytes)) {
  if (bytes_.empty()) return;
  FOVEA_CHECK(bytes_.size() > 4, place, "the charsmap has ", bytes_.size(), " bytes, expected more than 4");
  const std::size_t size = word_at(bytes_, 0);
  FOVEA_CHECK(size % 4 == 0 && size > 0 && size < bytes_.size() - 4, place, "the charsmap says that its table has ",
              size, " bytes, ", bytes_.size() - 4, " follow");
  for (std::size_t at = 4; at < size + 4; at += 4) units_.push_back(word_at(bytes_, at));
  replacements_ = size + 4;
}

// Calls f(length, offset of the replacement) for the rules that the text begins with, the shortest first, while it
// returns true. A damaged table ends the search.
template <class F>
void Charsmap::each(std::string_view text, F&& f) const {
  if (units_.empty()) return;
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) return;
    const bool leaf = has_leaf(units_[node]);
    node ^= offset_of(units_[node]);
    if (!leaf) continue;
    if (node >= units_.size()) return;
    const std::size_t offset = value_of(units_[node]);
    if (offset >= bytes_.size() - replacements_ || !f(i + 1, offset)) return;
  }
}

std::string_view Charsmap::replacement(std::size_t offset) const {
  const std::string_view all = std::string_view(bytes_).substr(replacements_ + offset);
  return all.substr(0, all.find('\0'));
}

std::optional<Charsmap::Match> Charsmap::longest(std::string_view text) const {
  std::optional<Match> match;
  each(text, [&](std::size_t length, std::size_t offset) {
    match = {length, replacement(offset)};
    return true;
  });
  return match;
}

std::optional<Charsmap::Match> Charsmap::shortest(std::string_view text) const {
  std::optional<Match> match;
  each(text, [&](std::size_t length, std::size_t offset) {
    match = {length, replacement(offset)};
    return false;
  });
  return match;
}

}  // namespace fovea::text::detail
