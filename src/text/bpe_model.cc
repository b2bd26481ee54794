#include "text/bpe_model.h"

#include <bit>
#include <limits>
#include <queue>

#include "fovea/core/error.h"
#include "text/bpe_symbols.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

constexpr std::int32_t no_rank = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t no_pair = ~std::uint64_t{0};
constexpr std::size_t short_word = 48;  // up to here looking at all pairs beats a queue

std::uint64_t mix(std::uint64_t key) {
  key = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15u;
  return key ^ (key >> 29);
}

}  // namespace

BpeModel::RankTable::RankTable(const std::vector<MergeRule>& rules)
    : slots_(std::bit_ceil(2 * rules.size() + 2), Slot{no_pair, no_rank}) {
  for (std::size_t rank = 0; rank < rules.size(); ++rank) {
    const std::uint64_t pair = pair_key(rules[rank].left, rules[rank].right);
    std::size_t at = mix(pair) & (slots_.size() - 1);
    while (slots_[at].pair != no_pair && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {pair, static_cast<std::int32_t>(rank)};  // of equal pairs the last one counts
  }
}

std::int32_t BpeModel::RankTable::operator()(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_key(left, right);
  std::size_t at = mix(pair) & (slots_.size() - 1);
  while (slots_[at].pair != no_pair && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  return slots_[at].rank;
}

std::int32_t BpeModel::CharacterIds::operator()(std::int32_t code_point) const {
  if (static_cast<std::size_t>(code_point) < low.size()) return low[static_cast<std::size_t>(code_point)];
  const auto found = high.find(code_point);
  return found == high.end() ? Vocabulary::none : found->second;
}

BpeModel::BpeModel(Vocabulary vocabulary, std::vector<MergeRule> rules, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), rules_(std::move(rules)), options_(std::move(options)), ranks_(rules_) {
  if (options_.unk_token) unknown_ = vocabulary_.id_of(*options_.unk_token);
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte < 256; ++byte) {
    fallback_[byte] = vocabulary_.id_of(concat("<0x", digits[byte / 16], digits[byte % 16], ">"));
  }
  find_characters();
  find_whole_words();
}

void BpeModel::find_characters() {
  for (std::size_t kind = 0; kind < characters_.size(); ++kind) {
    CharacterIds& ids = characters_[kind];
    ids.low.fill(Vocabulary::none);
    const std::string prefix = kind & 1 ? options_.continuing_subword_prefix.value_or("") : "";
    const std::string suffix = kind & 2 ? options_.end_of_word_suffix.value_or("") : "";
    vocabulary_.for_each([&](std::string_view piece, std::int32_t id) {
      if (piece.size() <= prefix.size() + suffix.size() || !piece.starts_with(prefix) || !piece.ends_with(suffix))
        return;
      piece = piece.substr(prefix.size(), piece.size() - prefix.size() - suffix.size());
      const CodePoint point = code_point_at(piece, 0);
      if (point.bytes != piece.size()) return;
      if (static_cast<std::size_t>(point.value) < ids.low.size()) {
        ids.low[static_cast<std::size_t>(point.value)] = id;
      } else {
        ids.high.emplace(point.value, id);
      }
    });
  }
}

// Most words of most texts are one entry: a single look-up then takes the place of merging.
void BpeModel::find_whole_words() {
  constexpr std::size_t longest = 32;
  const std::string suffix = options_.end_of_word_suffix.value_or("");
  std::vector<std::int32_t> symbols;
  vocabulary_.for_each([&](std::string_view piece, std::int32_t id) {
    if (piece.size() <= suffix.size() || piece.size() > longest || !piece.ends_with(suffix)) return;
    const std::string_view word = piece.substr(0, piece.size() - suffix.size());
    symbols.clear();
    append_symbols(word, symbols);
    merge_short(symbols);
    if (symbols.size() == 1 && symbols[0] == id) whole_words_.emplace(word, id);
  });
}

const BpeModel::CharacterIds& BpeModel::characters(bool first, bool last) const {
  const bool prefixed = !first && options_.continuing_subword_prefix, suffixed = last && options_.end_of_word_suffix;
  return characters_[(prefixed ? 1u : 0u) + (suffixed ? 2u : 0u)];
}

void BpeModel::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (options_.ignore_merges) {
    if (const std::int32_t id = vocabulary_.id_of(word); id != Vocabulary::none) return ids.push_back(id);
  }
  if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) return ids.push_back(whole->second);
  std::vector<std::int32_t> symbols;
  symbols.reserve(word.size());
  append_symbols(word, symbols);
  if (symbols.size() <= short_word) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

// The word's characters. An unknown token waits until the next known character, as Hugging Face's does, so that others
// may be fused into it.
void BpeModel::append_symbols(std::string_view word, std::vector<std::int32_t>& symbols) const {
  bool unknown_waits = false;
  const auto flush = [&] {
    if (unknown_waits) symbols.push_back(unknown_);
    unknown_waits = false;
  };
  for (std::size_t at = 0; at < word.size();) {
    const CodePoint point = code_point_at(word, at);
    const bool first = at == 0, last = at + point.bytes == word.size();
    const std::string_view character = word.substr(at, point.bytes);
    at += point.bytes;
    if (const std::int32_t id = characters(first, last)(point.value); id != Vocabulary::none) {
      flush();
      symbols.push_back(id);
    } else if (!(options_.byte_fallback && append_bytes(character, first, last, symbols)) && options_.unk_token) {
      FOVEA_CHECK(unknown_ != Vocabulary::none, "[tokenizer] \"", character,
                  "\" is not in the vocabulary, and neither is the unknown token \"", *options_.unk_token, "\"");
      if (!options_.fuse_unk) flush();
      unknown_waits = true;
    }
  }
  flush();
}

// The bytes of a character with its prefix and suffix; nothing unless all of them are entries.
bool BpeModel::append_bytes(std::string_view character, bool first, bool last,
                            std::vector<std::int32_t>& symbols) const {
  const std::string whole = concat(first ? "" : options_.continuing_subword_prefix.value_or(""), character,
                                   last ? options_.end_of_word_suffix.value_or("") : "");
  const std::size_t before = symbols.size();
  for (const char byte : whole) {
    const std::int32_t id = fallback_[static_cast<unsigned char>(byte)];
    if (id == Vocabulary::none) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

void BpeModel::merge_short(std::vector<std::int32_t>& symbols) const {
  std::vector<std::int32_t> ranks(symbols.size(), no_rank);  // of each symbol with the next one
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) ranks[i] = ranks_(symbols[i], symbols[i + 1]);
  while (symbols.size() > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == no_rank) return;
    const auto place = static_cast<std::ptrdiff_t>(best);
    symbols[best] = rules_[static_cast<std::size_t>(ranks[best])].merged;
    symbols.erase(symbols.begin() + place + 1);
    ranks.erase(ranks.begin() + place);
    ranks[best] = best + 1 < symbols.size() ? ranks_(symbols[best], symbols[best + 1]) : no_rank;
    if (best > 0) ranks[best - 1] = ranks_(symbols[best - 1], symbols[best]);
  }
}

// The same with a queue of pairs; entries whose pair has changed since are passed over.
void BpeModel::merge_long(std::vector<std::int32_t>& symbols) const {
  constexpr std::int32_t removed = -1;
  const std::size_t count = symbols.size();
  std::vector<std::size_t> next(count), previous(count);
  for (std::size_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // of the first one: never used
  }
  using Candidate = std::pair<std::int32_t, std::size_t>;  // rank, place
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto rank_at = [&](std::size_t place) {
    return next[place] < count ? ranks_(symbols[place], symbols[next[place]]) : no_rank;
  };
  const auto offer = [&](std::size_t place) {
    if (const std::int32_t rank = rank_at(place); rank != no_rank) queue.emplace(rank, place);
  };
  for (std::size_t i = 0; i < count; ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, place] = queue.top();
    queue.pop();
    if (symbols[place] == removed || rank_at(place) != rank) continue;
    const std::size_t right = next[place];
    symbols[place] = rules_[static_cast<std::size_t>(rank)].merged;
    symbols[right] = removed;
    next[place] = next[right];
    if (next[place] < count) previous[next[place]] = place;
    if (place > 0) offer(previous[place]);
    offer(place);
  }
  std::erase(symbols, removed);
}

}  // namespace fovea::text::detail
