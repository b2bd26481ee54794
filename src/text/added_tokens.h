// Tokens that are looked for in a text before it is cut into words: special tokens, and words added to a vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/prefix_table.h"
#include "text/vocabulary.h"

namespace fovea::text::detail {

struct AddedToken {
  std::int64_t id = 0;
  std::string content;
  bool single_word = false;  // only where no letter, mark or digit touches it
  bool lstrip = false;       // takes the white space before it, too
  bool rstrip = false;       // and after it
  bool normalized = true;    // looked for in the normalized text
  bool special = false;      // left out when decoding
  bool starts_word = false;  // ours: not inside a run of punctuation, as open_clip's pattern has it

  static void fields(auto& self, auto&& f) {
    f("id", self.id);
    f("content", self.content);
    f.optional("single_word", self.single_word);
    f.optional("lstrip", self.lstrip);
    f.optional("rstrip", self.rstrip);
    f.optional("normalized", self.normalized);
    f.optional("special", self.special);
    f.extra("fovea_starts_word", self.starts_word);
  }
};

class AddedTokens {
 public:
  // A stretch of text between tokens, or a token.
  struct Part {
    std::string_view text;
    const AddedToken* token;  // null for text
  };

  AddedTokens() = default;
  // `model`: the pieces of the model, which may be tokens too, under the same id. Throws Error opening with `place`
  // when ids or contents clash.
  AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& model, const Normalizer* normalizer,
              const std::string& place);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* find(std::int32_t id) const;
  std::int32_t id_of(std::string_view content) const { return ids_.id_of(content); }
  std::int32_t size() const { return ids_.size(); }  // one more than the greatest id

  // The text cut at the tokens that are looked for before (after) normalization; empty parts are left out.
  std::vector<Part> split_raw(std::string_view text) const { return split(text, raw_); }
  std::vector<Part> split_normalized(std::string_view text) const { return split(text, normalized_); }

 private:
  std::vector<Part> split(std::string_view text, const PrefixTable& table) const;

  std::vector<AddedToken> tokens_;
  Vocabulary ids_;
  std::vector<std::int32_t> index_;  // into tokens_, by id
  PrefixTable raw_, normalized_;     // of indices into tokens_
};

}  // namespace fovea::text::detail
