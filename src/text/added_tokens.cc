#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "fovea/core/error.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

std::size_t leading_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && is_white_space(code_point_at(text, at).value)) at += code_point_at(text, at).bytes;
  return at;
}

std::size_t without_trailing_space(std::string_view text) {
  while (!text.empty() && is_white_space(last_code_point(text).value)) text.remove_suffix(last_code_point(text).bytes);
  return text.size();
}

bool touches_word(std::string_view before, std::string_view after) {
  return (!before.empty() && is_word_character(last_code_point(before).value)) ||
         (!after.empty() && is_word_character(code_point_at(after, 0).value));
}

// Whether text from `done` on ends inside a run of characters that are no letters, numbers or white space.
bool inside_signs(std::string_view before, std::size_t done) {
  if (before.size() == done) return false;
  const std::int32_t last = last_code_point(before).value;
  return !is_letter(last) && !is_number(last) && !is_white_space(last);
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& model, const Normalizer* normalizer,
                         const std::string& place)
    : tokens_(std::move(tokens)) {
  constexpr std::size_t longest = 1024;
  std::ranges::sort(tokens_, {}, &AddedToken::id);
  for (const AddedToken& token : tokens_) {
    FOVEA_CHECK(!token.content.empty() && token.content.size() <= longest, place, "an added token has ",
                token.content.size(), " bytes, expected 1 to ", longest);
    const std::int32_t known = model.id_of(token.content);
    FOVEA_CHECK(known == Vocabulary::none || known == token.id, place, "\"", token.content, "\" has the ids ", known,
                " and ", token.id);
    FOVEA_CHECK(
        known != Vocabulary::none || token.id < 0 || token.id >= model.size() ||
            !model.contains(static_cast<std::int32_t>(token.id)),
        place, "two entries have the id ", token.id, ": \"",
        model.contains(static_cast<std::int32_t>(token.id)) ? model.piece(static_cast<std::int32_t>(token.id)) : "",
        "\" and the added token \"", token.content, "\"");
    ids_.add(token.content, token.id, model.entries() + tokens_.size(), place);
  }
  index_.resize(static_cast<std::size_t>(ids_.size()), Vocabulary::none);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    index_[static_cast<std::size_t>(tokens_[i].id)] = index;
    if (tokens_[i].normalized) {
      normalized_.add(normalizer ? (*normalizer)(tokens_[i].content) : tokens_[i].content, index);
    } else {
      raw_.add(tokens_[i].content, index);
    }
  }
  raw_.sort();
  normalized_.sort();
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  if (!ids_.contains(id)) return nullptr;
  return &tokens_[static_cast<std::size_t>(index_[static_cast<std::size_t>(id)])];
}

// The leftmost tokens, of those that begin together the longest. A token that is found where it may not stand is passed
// over as a whole, as Hugging Face's do.
std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, const PrefixTable& table) const {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (std::size_t at = 0; !table.empty() && at < text.size();) {
    const PrefixTable::Match match = table.longest(text.substr(at));
    if (match.length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.id)];
    std::size_t begin = at, end = at + match.length;
    const bool refused = (token.single_word && touches_word(text.substr(0, begin), text.substr(end))) ||
                         (token.starts_word && inside_signs(text.substr(0, begin), done));
    if (refused) {
      at = end;
      continue;
    }
    if (token.lstrip && done < begin) begin = done + without_trailing_space(text.substr(done, begin - done));
    if (token.rstrip) end += leading_space(text.substr(end));
    at = end;
    if (done < begin) parts.push_back({text.substr(done, begin - done), nullptr});
    parts.push_back({text.substr(begin, end - begin), &token});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), nullptr});
  return parts;
}

}  // namespace fovea::text::detail
