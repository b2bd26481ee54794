// WordPiece: the longest entry that a word begins with, again and again (google-research/bert, tokenization.py).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/prefix_table.h"
#include "text/vocabulary.h"

namespace fovea::text::detail {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";               // for words that no entries make up
  std::string continuing_subword_prefix = "##";  // written before every piece but a word's first
  std::int64_t max_input_chars_per_word = 100;   // longer words are unknown

  static void fields(auto& self, auto&& f) {
    f("unk_token", self.unk_token);
    f("continuing_subword_prefix", self.continuing_subword_prefix);
    f("max_input_chars_per_word", self.max_input_chars_per_word);
  }
};

class WordPieceModel {
 public:
  WordPieceModel(Vocabulary vocabulary, WordPieceOptions options);

  // Appends the ids. Throws Error when the word is unknown and the vocabulary has no unknown token.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const WordPieceOptions& options() const { return options_; }

 private:
  bool append_pieces(std::string_view word, std::vector<std::int32_t>& ids) const;

  Vocabulary vocabulary_;
  WordPieceOptions options_;
  PrefixTable first_, continuing_;  // of what a word begins with; of the rest, without its prefix
};

}  // namespace fovea::text::detail
