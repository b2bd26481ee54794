// The unigram language model: the most probable pieces of a text (Kudo, "Subword regularization", ACL 2018).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/prefix_table.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace fovea::text::detail {

constexpr double unknown_penalty = 10;  // below the least probable piece

// A piece of a text; `id` is that of the unknown piece for a character that no piece is.
struct UnigramPiece {
  std::size_t begin, end;
  std::int32_t id;
};

// The pieces whose scores sum to most. A sum is kept as a T, which decides near ties; `reset` is how far one may get
// from 0 before it is taken off all. `score_of(id, bytes)` gives a T, or none for a piece that is not to be used.
template <class T, class ScoreOf>
std::vector<UnigramPiece> best_pieces(std::string_view text, const PrefixTable& pieces, const ScoreOf& score_of,
                                      T unknown_score, std::int32_t unknown_id,
                                      T reset = std::numeric_limits<T>::infinity()) {
  struct End {  // of the best path that ends here
    T score = 0;
    std::size_t begin = 0;
    std::int32_t id = -1;
    bool reached = false;
  };
  std::vector<End> ends(text.size() + 1);
  std::size_t furthest = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    if (const T passed = ends[begin].score; passed < -reset || passed > reset) {
      for (std::size_t i = begin; i <= furthest; ++i) ends[i].score -= passed;
    }
    const T before = ends[begin].score;
    const std::size_t character = code_point_at(text, begin).bytes;
    const auto offer = [&](std::size_t length, std::int32_t id, T score) {
      furthest = std::max(furthest, begin + length);
      End& end = ends[begin + length];
      if (!end.reached || score > end.score) end = {score, begin, id, true};
    };
    bool character_is_known = false;
    pieces.for_each_match(text.substr(begin), [&](std::size_t length, std::int32_t id) {
      const std::optional<T> score = score_of(id, length);
      if (!score) return;
      offer(length, id, *score + before);
      character_is_known |= length == character;
    });
    if (!character_is_known) offer(character, unknown_id, unknown_score + before);
    begin += character;
  }
  std::vector<UnigramPiece> path;
  for (std::size_t end = text.size(); end > 0; end = path.back().begin) {
    path.push_back({ends[end].begin, end, ends[end].id});
  }
  std::ranges::reverse(path);
  return path;
}

struct UnigramOptions {
  std::optional<std::int64_t> unk_id;  // for characters outside the vocabulary, which else are an error
  bool byte_fallback = false;          // they become their bytes, "<0x0A>"

  static void fields(auto& self, auto&& f) {
    f.optional("unk_id", self.unk_id);
    f.optional("byte_fallback", self.byte_fallback);
  }
};

// As Hugging Face's tokenizers have it: sums in double precision, one unknown token for a run of unknown characters.
class UnigramModel {
 public:
  // One score, a logarithm, per entry of the vocabulary, whose ids have no gaps.
  UnigramModel(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options);

  // Appends the ids. Throws Error for an unknown character when there is no unknown token.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::vector<double>& scores() const { return scores_; }
  const UnigramOptions& options() const { return options_; }

 private:
  void append_unknown(std::string_view characters, std::vector<std::int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  UnigramOptions options_;
  PrefixTable pieces_;
  double unknown_score_ = 0;
};

}  // namespace fovea::text::detail
