#include "text/unigram_model.h"

#include "fovea/core/error.h"

namespace fovea::text::detail {

UnigramModel::UnigramModel(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options)
    : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)), options_(std::move(options)) {
  vocabulary_.for_each([&](const std::string& piece, std::int32_t id) { pieces_.add(piece, id); });
  pieces_.sort();
  unknown_score_ = (scores_.empty() ? 0 : *std::ranges::min_element(scores_)) - unknown_penalty;
}

void UnigramModel::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  const auto score_of = [&](std::int32_t id, std::size_t) {
    return std::optional(scores_[static_cast<std::size_t>(id)]);
  };
  const auto unknown = static_cast<std::int32_t>(options_.unk_id.value_or(Vocabulary::none));
  const std::vector<UnigramPiece> path = best_pieces<double>(word, pieces_, score_of, unknown_score_, unknown);
  for (std::size_t i = 0; i < path.size();) {
    if (path[i].id != unknown) {
      ids.push_back(path[i++].id);
      continue;
    }
    const std::size_t begin = path[i].begin;
    while (i + 1 < path.size() && path[i + 1].id == unknown) ++i;
    append_unknown(word.substr(begin, path[i++].end - begin), ids);
  }
}

void UnigramModel::append_unknown(std::string_view characters, std::vector<std::int32_t>& ids) const {
  if (const std::int32_t known = vocabulary_.id_of(characters); known != Vocabulary::none) return ids.push_back(known);
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::vector<std::int32_t> bytes;
  for (const char c : characters) {
    const auto byte = static_cast<unsigned char>(c);
    const std::int32_t id = vocabulary_.id_of(concat("<0x", digits[byte / 16], digits[byte % 16], ">"));
    if (id != Vocabulary::none) bytes.push_back(id);
  }
  if (options_.byte_fallback && bytes.size() == characters.size()) {
    ids.insert(ids.end(), bytes.begin(), bytes.end());
    return;
  }
  FOVEA_CHECK(options_.unk_id, "[tokenizer] \"", characters,
              "\" is not in the vocabulary, and there is no unknown token");
  ids.push_back(static_cast<std::int32_t>(*options_.unk_id));
}

}  // namespace fovea::text::detail
