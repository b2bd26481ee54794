#include "fovea/text/tokenizer.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/io/file.h"
#include "fovea/text/clean.h"
#include "fovea/text/split.h"
#include "text/bpe_symbols.h"
#include "text/default_vocabulary.h"
#include "text/merges_file.h"

namespace fovea::text {
namespace {

constexpr std::int32_t no_rank = std::numeric_limits<std::int32_t>::max();

}  // namespace

// A piece of a word that is being merged, with the rank of its merge with the next one.
struct Tokenizer::Symbol {
  std::int32_t id, rank;
};

// Where a special token is spelled out in a text; at its end with length 0 when there is none.
struct Tokenizer::SpecialMatch {
  std::size_t at, length;
  std::int32_t id;
};

Tokenizer::Tokenizer(std::span<const BpeMerge> merges)
    : Tokenizer(clip_pieces(merges), clip_rules(merges),
                detail::first_merge_id + static_cast<std::int32_t>(merges.size()),
                detail::first_merge_id + static_cast<std::int32_t>(merges.size()) + 1) {}

Tokenizer::Tokenizer(std::vector<Piece> pieces, std::vector<Rule> rules, std::int32_t start_id, std::int32_t end_id)
    : pieces_(std::move(pieces)), rules_(std::move(rules)), start_id_(start_id), end_id_(end_id) {
  ranks_.assign(std::bit_ceil(2 * rules_.size() + 1), {0, -1});
  for (std::size_t rank = 0; rank < rules_.size(); ++rank) {
    const std::uint64_t pair = detail::pair_key(rules_[rank].left, rules_[rank].right);
    ranks_[slot_of(pair)] = {pair, static_cast<std::int32_t>(rank)};
  }
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(pieces_.size()); ++id) {
    const auto& [bytes, kind] = piece(id);
    if (kind == Kind::special) {
      special_ids_.push_back(id);
    } else if (bytes.size() == 1) {
      (kind == Kind::end_of_word ? last_byte_ids_ : byte_ids_)[static_cast<unsigned char>(bytes[0])] = id;
    }
  }
}

std::vector<Tokenizer::Piece> Tokenizer::clip_pieces(std::span<const BpeMerge> merges) {
  std::vector<Piece> pieces(detail::first_merge_id);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto id = static_cast<std::size_t>(detail::byte_symbols.id[byte]);
    pieces[id] = {std::string(1, static_cast<char>(byte)), Kind::inside_word};
    pieces[id + detail::byte_symbol_count] = {pieces[id].bytes, Kind::end_of_word};
  }
  for (const auto [left, right] : merges) {
    const auto known = static_cast<std::int32_t>(pieces.size());
    FOVEA_CHECK(left >= 0 && right >= 0 && left < known && right < known, "[tokenizer] merge ",
                known - detail::first_merge_id, " joins ", left, " and ", right,
                ", expected ids of earlier pieces, 0 to ", known - 1);
    const Piece &head = pieces[static_cast<std::size_t>(left)], &tail = pieces[static_cast<std::size_t>(right)];
    FOVEA_CHECK(head.kind == Kind::inside_word, "[tokenizer] merge ", known - detail::first_merge_id, " begins with ",
                left, ", which ends a word");
    pieces.push_back({head.bytes + tail.bytes, tail.kind});
  }
  pieces.push_back({"<|startoftext|>", Kind::special});
  pieces.push_back({"<|endoftext|>", Kind::special});
  return pieces;
}

std::vector<Tokenizer::Rule> Tokenizer::clip_rules(std::span<const BpeMerge> merges) {
  std::vector<Rule> rules;
  std::int32_t id = detail::first_merge_id;
  for (const auto [left, right] : merges) rules.push_back({left, right, id++});
  return rules;
}

Tokenizer Tokenizer::load_merges(const std::string& path, std::int64_t vocabulary_size) {
  return Tokenizer(detail::parse_merges(io::read_file(path), vocabulary_size, path));
}

std::string Tokenizer::merges_text() const {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right, merged] : rules_) text += spelled(left) + ' ' + spelled(right) + '\n';
  return text;
}

std::string Tokenizer::spelled(std::int32_t id) const {
  const auto& [bytes, kind] = piece(id);
  if (kind == Kind::special) return bytes;
  return detail::spell(bytes) + std::string(kind == Kind::end_of_word ? detail::end_of_word : "");
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  const std::string cleaned = clean(text);
  std::vector<std::int32_t> ids{start_id_};
  for (std::string_view rest = cleaned; !rest.empty();) {
    const auto [at, length, special] = find_special(rest);
    for (const std::string_view word : split_words(rest.substr(0, at))) append_word(word, ids);
    if (length > 0) ids.push_back(special);
    rest.remove_prefix(at + length);
  }
  ids.push_back(end_id_);
  return ids;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, std::int64_t context_length) const {
  FOVEA_CHECK(context_length >= 2, "[tokenizer] context length is ", context_length, ", start and end alone need 2");
  std::vector<std::int32_t> ids = encode(text);
  if (const auto limit = static_cast<std::size_t>(context_length); ids.size() > limit) {
    ids.resize(limit);
    ids.back() = end_id_;
  }
  return ids;
}

Tokenizer::SpecialMatch Tokenizer::find_special(std::string_view text) const {
  SpecialMatch first{text.size(), 0, 0};
  for (const std::int32_t id : special_ids_) {
    const std::string& spelled = piece(id).bytes;
    const std::size_t at = text.find(spelled);
    if (at < first.at || (at == first.at && spelled.size() > first.length)) first = {at, spelled.size(), id};
  }
  return first;
}

// Where a pair is, or would be: the first such slot from its hash on.
std::size_t Tokenizer::slot_of(std::uint64_t pair) const {
  const std::size_t last = ranks_.size() - 1;
  std::size_t slot = static_cast<std::size_t>(mix(pair, 0)) & last;
  while (ranks_[slot].rank >= 0 && ranks_[slot].pair != pair) slot = (slot + 1) & last;
  return slot;
}

std::int32_t Tokenizer::rank_of(std::int32_t left, std::int32_t right) const {
  const std::int32_t rank = ranks_[slot_of(detail::pair_key(left, right))].rank;
  return rank < 0 ? no_rank : rank;
}

void Tokenizer::append_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  std::vector<Symbol> symbols;
  for (const char byte : word) symbols.push_back({byte_ids_[static_cast<unsigned char>(byte)], no_rank});
  symbols.back().id = last_byte_ids_[static_cast<unsigned char>(word.back())];
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) symbols[i].rank = rank_of(symbols[i].id, symbols[i + 1].id);
  while (true) {
    const std::int32_t best = std::ranges::min_element(symbols, {}, &Symbol::rank)->rank;
    if (best == no_rank) break;
    merge_everywhere(symbols, best);
  }
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
}

// Applies one merge at all its places, from left to right, and ranks the new neighbours.
void Tokenizer::merge_everywhere(std::vector<Symbol>& symbols, std::int32_t rank) const {
  const std::int32_t merged = rules_[static_cast<std::size_t>(rank)].merged;
  std::size_t count = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    Symbol symbol = symbols[i];
    if (symbol.rank == rank) {
      symbol = {merged, no_rank};
      ++i;  // its right neighbour, which every ranked symbol has
    }
    symbols[count++] = symbol;
  }
  symbols.resize(count);
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const std::int32_t left = symbols[i].id, right = symbols[i + 1].id;
    if (left == merged || right == merged) symbols[i].rank = rank_of(left, right);
  }
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    FOVEA_CHECK(id >= 0 && id < vocabulary_size(), "[tokenizer] token ", id, " is outside the vocabulary of ",
                vocabulary_size(), " entries");
    const auto& [bytes, kind] = piece(id);
    if (kind == Kind::special) continue;
    text += bytes;
    if (kind == Kind::end_of_word) text += ' ';
  }
  if (text.ends_with(' ')) text.pop_back();
  return replace_invalid_utf8(text);
}

const Tokenizer& default_tokenizer() {
  static const Tokenizer tokenizer(
      detail::parse_merges(detail::default_merges(), detail::default_vocabulary_size, "default vocabulary"));
  return tokenizer;
}

}  // namespace fovea::text
