#include "text/sentence_piece.h"

#include <limits>
#include <queue>
#include <unordered_map>
#include <utility>

#include "fovea/core/error.h"
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/unigram_model.h"

namespace fovea::text::detail {
namespace {

using Type = SentencePieceFile::Type;

constexpr std::string_view mark = "\xE2\x96\x81";  // U+2581 stands for a space
constexpr std::string_view replacement = "\xEF\xBF\xBD";

// The bytes of the code point that a text begins with; 0 where it is ill-formed.
std::size_t valid_code_point(std::string_view text) {
  const CodePoint point = code_point_at(text, 0);
  return point.value == 0xFFFD && !text.starts_with(replacement) ? 0 : point.bytes;
}

std::string with_spaces(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool is_mark = text.starts_with(mark);
    out += is_mark ? ' ' : text.front();
    text.remove_prefix(is_mark ? mark.size() : 1);
  }
  return out;
}

}  // namespace

class SentencePiece::Normalizer {
 public:
  Normalizer(const SentencePieceFile::Normalization& rules, const Charsmap& charsmap, const PrefixTable* kept,
             bool whitespace_as_suffix)
      : rules_(rules), charsmap_(charsmap), kept_(kept), as_suffix_(whitespace_as_suffix) {}

  std::string operator()(std::string_view text) const {
    if (rules_.remove_extra_whitespaces) {
      while (!text.empty()) {
        const auto [length, replaced] = prefix(text);
        if (replaced != " ") break;
        text.remove_prefix(length);
      }
    }
    if (text.empty()) return {};
    const std::size_t original = text.size();
    const std::string_view space = rules_.escape_whitespaces ? mark : " ";
    std::string out;
    if (!as_suffix_ && rules_.add_dummy_prefix) out += space;
    bool after_space = rules_.remove_extra_whitespaces;
    while (!text.empty()) {
      auto [length, replaced] = prefix(text);
      text.remove_prefix(length);
      while (after_space && replaced.starts_with(' ')) replaced.remove_prefix(1);
      for (const char c : replaced) {
        if (c == ' ') {
          out += space;
        } else {
          out += c;
        }
      }
      check_growth(out.size(), original);
      if (!replaced.empty()) after_space = rules_.remove_extra_whitespaces && replaced.ends_with(' ');
    }
    while (rules_.remove_extra_whitespaces && out.ends_with(space)) out.erase(out.size() - space.size());
    if (as_suffix_ && rules_.add_dummy_prefix) out += space;
    return out;
  }

 private:
  // How much of the text's beginning is replaced, and by what.
  Charsmap::Match prefix(std::string_view text) const {
    if (kept_ != nullptr) {
      const std::size_t length = kept_->longest(text).length;
      if (length > 0) return {length, text.substr(0, length)};
    }
    if (const auto rule = charsmap_.longest(text)) return *rule;
    const std::size_t length = valid_code_point(text);
    if (length == 0) return {1, replacement};
    return {length, text.substr(0, length)};
  }

  const SentencePieceFile::Normalization& rules_;
  const Charsmap& charsmap_;
  const PrefixTable* kept_;
  bool as_suffix_;
};

SentencePiece::SentencePiece(SentencePieceFile file, const std::string& place)
    : file_(std::move(file)),
      charsmap_(file_.normalization.charsmap, place),
      decoded_charsmap_(file_.denormalization.charsmap, place) {
  least_score_ = std::numeric_limits<float>::max();
  for (std::int32_t id = 0; id < size(); ++id) {
    const auto& [text, score, kind] = piece(id);
    const bool reserved = kind == Type::unknown || kind == Type::control || kind == Type::byte;
    const bool is_new = (reserved ? reserved_ : ids_).emplace(text, id).second;
    FOVEA_CHECK(is_new, place, "the piece \"", text, "\" is there twice");
    if (!reserved) table_.add(text, id);
    if (kind == Type::user_defined) user_defined_.add(text, id);
    if (kind == Type::unknown) {
      FOVEA_CHECK(unknown_ < 0, place, "\"", text, "\" is a second unknown piece");
      unknown_ = id;
    }
    if (kind == Type::normal) least_score_ = std::min(least_score_, score);
  }
  FOVEA_CHECK(unknown_ >= 0, place, "no piece is the unknown one");
  table_.sort();
  user_defined_.sort();
  find_bytes(place);
}

void SentencePiece::find_bytes(const std::string& place) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  bytes_.assign(file_.pieces.size(), -1);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const std::string text = concat("<0x", digits[byte / 16], digits[byte % 16], ">");
    const auto found = reserved_.find(text);
    const bool is_byte = found != reserved_.end() && type(found->second) == Type::byte;
    FOVEA_CHECK(is_byte || !file_.byte_fallback, place, "byte_fallback needs the piece ", text, ", which is missing");
    if (!is_byte) continue;
    byte_ids_[byte] = found->second;
    bytes_[static_cast<std::size_t>(found->second)] = static_cast<std::int16_t>(byte);
  }
  for (std::int32_t id = 0; id < size(); ++id) {
    FOVEA_CHECK(type(id) != Type::byte || bytes_[static_cast<std::size_t>(id)] >= 0, place, "the byte piece \"",
                piece(id).text, "\" names no byte");
  }
}

std::int32_t SentencePiece::id_of(std::string_view text) const {
  if (const auto found = reserved_.find(text); found != reserved_.end()) return found->second;
  const auto found = ids_.find(text);
  return found == ids_.end() ? unknown_ : found->second;
}

void SentencePiece::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  const std::string normal =
      Normalizer(file_.normalization, charsmap_, &user_defined_, file_.whitespace_as_suffix)(text);
  bool after_unknown = false;
  for (const Found& found : file_.algorithm == SentencePieceFile::Algorithm::bpe ? bpe(normal) : unigram(normal)) {
    const bool unknown = found.id == unknown_;
    if (unknown && file_.byte_fallback) {
      for (const char byte : found.text) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    } else if (!unknown || !after_unknown) {
      ids.push_back(found.id);
    }
    after_unknown = unknown;
  }
}

std::vector<SentencePiece::Found> SentencePiece::unigram(std::string_view text) const {
  // The original's types: of two paths with all but equal sums the same one must win.
  const auto score_of = [&](std::int32_t id, std::size_t bytes) -> std::optional<float> {
    if (type(id) == Type::unused) return {};
    if (type(id) == Type::user_defined) return static_cast<float>(0.1 * (static_cast<double>(bytes) - 1));
    return piece(id).score;
  };
  constexpr float reset = 100000;
  const float unknown_score = least_score_ - static_cast<float>(unknown_penalty);
  std::vector<Found> found;
  for (const auto& [begin, end, id] : best_pieces<float>(text, table_, score_of, unknown_score, unknown_, reset))
    found.push_back({text.substr(begin, end - begin), id});
  return found;
}

// A text's symbols, which neighbours are joined to while the result is a piece, the best scored first.
class SentencePiece::BpeSymbols {
 public:
  BpeSymbols(const SentencePiece& model, std::string_view text) : model_(model) {
    while (!text.empty()) {
      const std::size_t fixed = model.user_defined_.longest(text).length;
      const std::size_t length = fixed > 0 ? fixed : code_point_at(text, 0).bytes;
      symbols_.push_back({text.substr(0, length), size() - 1, size() + 1, fixed > 0});
      text.remove_prefix(length);
    }
    for (std::ptrdiff_t i = 0; i + 1 < size(); ++i) offer(i, i + 1);
  }

  std::vector<Found> merged() {
    while (!queue_.empty()) {
      const Pair best = queue_.top();
      queue_.pop();
      Symbol &left = at(best.left), &right = at(best.right);
      if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != best.bytes) continue;
      left.text = {left.text.data(), best.bytes};
      left.next = right.next;
      right.text = {};
      if (left.next < size()) at(left.next).previous = best.left;
      offer(left.previous, best.left);
      offer(best.left, left.next);
    }
    std::vector<Found> found;
    for (std::ptrdiff_t i = 0; i < size(); i = at(i).next) append(at(i).text, found);
    return found;
  }

 private:
  struct Symbol {
    std::string_view text;  // empty once it is part of the one before
    std::ptrdiff_t previous, next;
    bool fixed;
  };
  struct Pair {
    float score;
    std::ptrdiff_t left, right;
    std::size_t bytes;
    bool operator<(const Pair& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };

  std::ptrdiff_t size() const { return std::ssize(symbols_); }
  Symbol& at(std::ptrdiff_t i) { return symbols_[static_cast<std::size_t>(i)]; }

  void offer(std::ptrdiff_t left, std::ptrdiff_t right) {
    if (left < 0 || right >= size() || at(left).fixed || at(right).fixed) return;
    const std::string_view joined(at(left).text.data(), at(left).text.size() + at(right).text.size());
    const auto found = model_.ids_.find(joined);
    if (found == model_.ids_.end()) return;
    queue_.push({model_.piece(found->second).score, left, right, joined.size()});
    if (model_.type(found->second) == Type::unused) halves_[joined] = {at(left).text, at(right).text};
  }

  // An unused piece falls apart into what it was joined from.
  void append(std::string_view text, std::vector<Found>& found) const {
    const std::int32_t id = model_.id_of(text);
    const auto halves = halves_.find(text);
    if (model_.type(id) != Type::unused || halves == halves_.end()) return found.push_back({text, id});
    append(halves->second.first, found);
    append(halves->second.second, found);
  }

  const SentencePiece& model_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Pair> queue_;
  std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>> halves_;
};

std::vector<SentencePiece::Found> SentencePiece::bpe(std::string_view text) const {
  return BpeSymbols(*this, text).merged();
}

std::string SentencePiece::decoded(std::int32_t id, bool at_start, bool& start_seen) const {
  start_seen = false;
  if (type(id) == Type::control) return {};
  if (type(id) == Type::unknown) return file_.unknown_surface;
  std::string_view text = piece(id).text;
  const SentencePieceFile::Normalization& rules = file_.normalization;
  if (at_start && (rules.add_dummy_prefix || rules.remove_extra_whitespaces) && text.starts_with(mark)) {
    text.remove_prefix(mark.size());
    start_seen = !rules.remove_extra_whitespaces;
  }
  return with_spaces(text);
}

std::string SentencePiece::decode(std::span<const std::int32_t> ids) const {
  std::string text, bytes;
  const auto flush = [&] {
    for (std::string_view left = bytes; !left.empty();) {
      const std::size_t length = valid_code_point(left);
      text += length == 0 ? replacement : left.substr(0, length);
      left.remove_prefix(length == 0 ? 1 : length);
    }
    bytes.clear();
  };
  bool at_start = true, start_seen = false;
  for (const std::int32_t id : ids) {
    if (const std::int16_t byte = bytes_[static_cast<std::size_t>(id)]; byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    if (start_seen || !text.empty()) at_start = false;
    text += decoded(id, at_start, start_seen);
  }
  flush();
  if (decoded_charsmap_.empty()) return text;
  return Normalizer(file_.denormalization, decoded_charsmap_, nullptr, false)(text);
}

}  // namespace fovea::text::detail
