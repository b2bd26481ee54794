// A tokenizer's parts in the order in which text passes through them. What Tokenizer hides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/sentence_piece.h"
#include "text/unigram_model.h"
#include "text/word_piece_model.h"

namespace fovea::text::detail {

enum class Direction { left, right };

struct Truncation {
  Direction direction = Direction::right;  // where tokens are dropped
  std::int64_t max_length = 512;
  std::string strategy = "LongestFirst";
  std::int64_t stride = 0;
  static void fields(auto& self, auto&& f) {
    f.optional("direction", self.direction);
    f("max_length", self.max_length);
    f("strategy", self.strategy);
    f("stride", self.stride);
  }
};

// Kept for other readers of the file: our sequences have no padding.
struct Padding {
  std::optional<std::int64_t> fixed_length;  // none: as long as the batch's longest
  std::string direction = "Right";
  std::optional<std::int64_t> pad_to_multiple_of;
  std::int64_t pad_id = 0, pad_type_id = 0;
  std::string pad_token;
};

class Pipeline {
 public:
  using Model = std::variant<BpeModel, WordPieceModel, UnigramModel>;
  using Ids = std::vector<std::int32_t>;

  struct Parts {
    explicit Parts(Model chosen) : model(std::move(chosen)) {}

    std::optional<Normalizer> normalizer;
    std::optional<PreTokenizer> pre_tokenizer;
    Model model;
    std::optional<PostProcessor> post_processor;
    std::optional<Decoder> decoder;
    std::vector<AddedToken> added_tokens;
    std::optional<Truncation> truncation;
    std::optional<Padding> padding;
  };

  // Throws Error opening with `place` where the parts do not fit each other.
  Pipeline(Parts parts, const std::string& place);

  Ids encode(std::string_view text) const;
  // At most `length` tokens, special ones included.
  Ids encode(std::string_view text, std::int64_t length, Direction dropped) const;
  std::string decode(std::span<const std::int32_t> ids) const;

  const Parts& parts() const { return parts_; }
  const Vocabulary& vocabulary() const;
  const AddedTokens& added() const { return added_; }
  std::int32_t size() const { return std::max(vocabulary().size(), added_.size()); }
  std::int32_t id_of(std::string_view content) const;
  const std::vector<std::int32_t>& around() const { return around_; }

 private:
  void check_surroundings(const std::string& place) const;
  Ids encode_inner(std::string_view text) const;
  void append_words(std::string_view text, bool at_start, Pieces& pieces, Pieces& spare, Ids& ids) const;
  Ids surround(const Ids& inner) const;

  Parts parts_;
  AddedTokens added_;
  std::vector<std::int32_t> around_;                     // special ids and PostProcessor::text
  std::shared_ptr<const SentencePiece> sentence_piece_;  // in place of normalizer, pre-tokenizer, model and decoder
  bool canonical_ = false;                               // what it reads
};

}  // namespace fovea::text::detail
