#include "text/word_piece_model.h"

#include <utility>

#include "fovea/core/error.h"
#include "text/unicode.h"

namespace fovea::text::detail {

WordPieceModel::WordPieceModel(Vocabulary vocabulary, WordPieceOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  const std::string& prefix = options_.continuing_subword_prefix;
  vocabulary_.for_each([&](const std::string& piece, std::int32_t id) {
    first_.add(piece, id);
    if (piece.starts_with(prefix)) continuing_.add(piece.substr(prefix.size()), id);
  });
  first_.sort();
  continuing_.sort();
}

void WordPieceModel::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (const std::int32_t id = vocabulary_.id_of(word);
      id != Vocabulary::none && static_cast<std::int64_t>(word.size()) <= options_.max_input_chars_per_word) {
    return ids.push_back(id);
  }
  std::int64_t characters = 0;
  for_each_code_point(word, [&](std::int32_t, std::string_view) { ++characters; });
  if (characters <= options_.max_input_chars_per_word && append_pieces(word, ids)) return;
  const std::int32_t unknown = vocabulary_.id_of(options_.unk_token);
  FOVEA_CHECK(unknown != Vocabulary::none, "[tokenizer] \"", word.substr(0, 100),
              "\" is not in the vocabulary, and neither is the unknown token \"", options_.unk_token, "\"");
  ids.push_back(unknown);
}

bool WordPieceModel::append_pieces(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t before = ids.size();
  for (std::size_t at = 0; at < word.size();) {
    const PrefixTable::Match match = (at == 0 ? first_ : continuing_).longest(word.substr(at));
    if (match.length == 0) {
      ids.resize(before);
      return false;
    }
    ids.push_back(match.id);
    at += match.length;
  }
  return true;
}

}  // namespace fovea::text::detail
