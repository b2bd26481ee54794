#include "text/pipeline.h"

#include <algorithm>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/text/clean.h"

namespace fovea::text::detail {

Pipeline::Pipeline(Parts parts, const std::string& place)
    : parts_(std::move(parts)),
      added_(std::move(parts_.added_tokens), vocabulary(), parts_.normalizer ? &*parts_.normalizer : nullptr, place),
      around_(parts_.post_processor ? parts_.post_processor->around() : Ids{PostProcessor::text}) {
  FOVEA_CHECK(size() > 0, place, "the vocabulary is empty");
  const auto* sequence = parts_.normalizer ? std::get_if<NormalizerSequence>(&parts_.normalizer->part) : nullptr;
  if (sequence != nullptr && !sequence->sentence_piece.bytes.empty()) {
    const std::string where = place + "the SentencePiece model";
    sentence_piece_ = std::make_shared<const SentencePiece>(
        SentencePieceFile::parse(sequence->sentence_piece.bytes, where), where + ": ");
    canonical_ = sequence->cleaning.has_value();
    FOVEA_CHECK(sentence_piece_->size() <= size(), where, " has ", sentence_piece_->size(), " pieces, the vocabulary ",
                size(), " entries");
  }
  check_surroundings(place);
}

void Pipeline::check_surroundings(const std::string& place) const {
  std::int64_t specials = 0;
  for (const std::int32_t id : around_) {
    if (id == PostProcessor::text) continue;
    ++specials;
    FOVEA_CHECK(added_.find(id) != nullptr || vocabulary().contains(id), place, "the post_processor adds the token ",
                id, ", which the vocabulary lacks");
  }
  if (!parts_.truncation) return;
  FOVEA_CHECK(parts_.truncation->max_length >= specials, place, "truncation.max_length is ",
              parts_.truncation->max_length, ", the special tokens alone are ", specials);
}

const Vocabulary& Pipeline::vocabulary() const {
  return std::visit([](const auto& model) -> const Vocabulary& { return model.vocabulary(); }, parts_.model);
}

std::int32_t Pipeline::id_of(std::string_view content) const {
  const std::int32_t added = added_.id_of(content);
  return added != Vocabulary::none ? added : vocabulary().id_of(content);
}

Pipeline::Ids Pipeline::encode(std::string_view text) const {
  if (const auto& truncation = parts_.truncation) return encode(text, truncation->max_length, truncation->direction);
  return surround(encode_inner(text));
}

Pipeline::Ids Pipeline::encode(std::string_view text, std::int64_t length, Direction dropped) const {
  const auto specials = static_cast<std::int64_t>(std::ranges::count_if(around_, [](auto id) { return id >= 0; }));
  FOVEA_CHECK(length >= specials && length > 0, "[tokenizer] context length is ", length,
              ", the special tokens alone need ", specials);
  Ids inner = encode_inner(text);
  if (const auto room = static_cast<std::size_t>(length - specials); inner.size() > room) {
    const auto excess = static_cast<std::ptrdiff_t>(inner.size() - room);
    inner.erase(dropped == Direction::left ? inner.begin() : inner.end() - excess,
                dropped == Direction::left ? inner.begin() + excess : inner.end());
  }
  return surround(inner);
}

Pipeline::Ids Pipeline::surround(const Ids& inner) const {
  Ids ids;
  ids.reserve(inner.size() + around_.size());
  for (const std::int32_t id : around_) {
    if (id == PostProcessor::text) {
      ids.insert(ids.end(), inner.begin(), inner.end());
    } else {
      ids.push_back(id);
    }
  }
  return ids;
}

Pipeline::Ids Pipeline::encode_inner(std::string_view text) const {
  Ids ids;
  if (sentence_piece_) {
    sentence_piece_->encode(canonical_ ? canonicalize(text) : std::string(text), ids);
    return ids;
  }
  const std::string valid = replace_invalid_utf8(text);
  Pieces pieces, spare;
  for (const auto& [raw, raw_token] : added_.split_raw(valid)) {
    if (raw_token) {
      ids.push_back(static_cast<std::int32_t>(raw_token->id));
      continue;
    }
    const std::string normal = parts_.normalizer ? (*parts_.normalizer)(std::string(raw)) : std::string(raw);
    for (const auto& [part, token] : added_.split_normalized(normal)) {
      if (token) {
        ids.push_back(static_cast<std::int32_t>(token->id));
      } else {
        append_words(part, raw.data() == valid.data() && part.data() == normal.data(), pieces, spare, ids);
      }
    }
  }
  return ids;
}

void Pipeline::append_words(std::string_view text, bool at_start, Pieces& pieces, Pieces& spare, Ids& ids) const {
  pieces.clear();
  pieces.add(text);
  if (parts_.pre_tokenizer) (*parts_.pre_tokenizer)(pieces, spare, at_start);
  std::visit(
      [&](const auto& model) {
        for (std::size_t i = 0; i < pieces.size(); ++i) model.encode(pieces[i], ids);
      },
      parts_.model);
}

std::string Pipeline::decode(std::span<const std::int32_t> ids) const {
  if (sentence_piece_) {
    for (const std::int32_t id : ids) {
      FOVEA_CHECK(sentence_piece_->has(id), "[tokenizer] token ", id, " is outside the vocabulary of ",
                  sentence_piece_->size(), " entries");
    }
    return sentence_piece_->decode(ids);
  }
  std::vector<std::string> pieces;
  for (const std::int32_t id : ids) {
    const AddedToken* token = added_.find(id);
    FOVEA_CHECK(token || vocabulary().contains(id), "[tokenizer] token ", id, " is outside the vocabulary of ", size(),
                " entries");
    if (token && token->special) continue;
    pieces.push_back(token ? token->content : vocabulary().piece(id));
  }
  const bool decoded = parts_.decoder.has_value();
  if (decoded) pieces = (*parts_.decoder)(std::move(pieces));
  std::string text;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0 && !decoded) text += ' ';
    text += pieces[i];
  }
  return replace_invalid_utf8(text);
}

}  // namespace fovea::text::detail
