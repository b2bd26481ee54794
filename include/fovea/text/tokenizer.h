// Byte-level byte-pair encoding of CLIP's kind: captions to token ids and back.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::text {

// Two vocabulary ids that are joined wherever they stand side by side inside a word.
struct BpeMerge {
  std::int32_t left, right;
};

// The tokenizer of CLIP (openai/CLIP, clip/simple_tokenizer.py): clean (text/clean.h), cut into words (text/split.h),
// then merge the bytes of each word, the earliest learned pair first. A last piece also marks the word's end, so white
// space needs no token. A value; const functions may be called from any number of threads.
//
// Special tokens are looked for in the cleaned text: "<|startoftext|>" and "<|endoftext|>" spelled out become those
// tokens wherever they stand, as with Hugging Face (OpenAI's finds them at the beginning of a word only).
class FOVEA_API Tokenizer {
 public:
  // CLIP's vocabulary: 256 bytes, 256 bytes that end a word, one piece per merge, start, end. A merge may use the bytes
  // and the pieces of earlier merges. Throws Error otherwise.
  explicit Tokenizer(std::span<const BpeMerge> merges);

  // Reads Hugging Face's tokenizer.json of this kind: a BPE model with "</w>" whose added tokens are all special,
  // CLIP's normalizer and pre-tokenizer, RobertaProcessing. Texts are cleaned as described above, which unescapes HTML
  // where Hugging Face does not. Throws Error naming the file and what was expected.
  static Tokenizer load(const std::string& path);

  // Reads OpenAI's bpe_simple_vocab_16e6.txt, decompressed before with gunzip: a header, then one merge per line, of
  // which the first `vocabulary_size` - 514 are used. Throws Error naming the file and line.
  static Tokenizer load_merges(const std::string& path, std::int64_t vocabulary_size = 49408);

  // Writes a tokenizer.json that load and Hugging Face's tokenizers read. Throws Error naming the file.
  void save(const std::string& path) const;

  // The merges as load_merges reads them.
  std::string merges_text() const;

  // Start, the text's tokens, end. Nothing is padded.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // The same, cut to `context_length` tokens of which the last is still the end. Throws Error when that is below 2.
  std::vector<std::int32_t> encode(std::string_view text, std::int64_t context_length) const;

  // The text of tokens, words separated by one space; special tokens are skipped, ill-formed UTF-8 becomes U+FFFD.
  // Equals the cleaned text up to white space. Throws Error for an id outside the vocabulary.
  std::string decode(std::span<const std::int32_t> ids) const;

  std::int64_t vocabulary_size() const { return static_cast<std::int64_t>(pieces_.size()); }
  std::int32_t start_id() const { return start_id_; }
  std::int32_t end_id() const { return end_id_; }

 private:
  enum class Kind : std::uint8_t { inside_word, end_of_word, special };
  struct Piece {
    std::string bytes;
    Kind kind;
  };
  struct Rule {  // a merge with the id that it gives
    std::int32_t left, right, merged;
  };
  struct PairRank {
    std::uint64_t pair;
    std::int32_t rank;  // negative: nothing is here
  };
  struct Symbol;
  struct SpecialMatch;
  class JsonReader;

  Tokenizer(std::vector<Piece> pieces, std::vector<Rule> rules, std::int32_t start_id, std::int32_t end_id);

  static std::vector<Piece> clip_pieces(std::span<const BpeMerge> merges);
  static std::vector<Rule> clip_rules(std::span<const BpeMerge> merges);
  const Piece& piece(std::int32_t id) const { return pieces_[static_cast<std::size_t>(id)]; }
  std::string spelled(std::int32_t id) const;
  std::size_t slot_of(std::uint64_t pair) const;
  std::int32_t rank_of(std::int32_t left, std::int32_t right) const;
  SpecialMatch find_special(std::string_view text) const;
  void append_word(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_everywhere(std::vector<Symbol>& symbols, std::int32_t rank) const;

  std::vector<Piece> pieces_;    // by id
  std::vector<Rule> rules_;      // by rank
  std::vector<PairRank> ranks_;  // a hash table with a power of two of slots, at most half of them taken
  std::array<std::int32_t, 256> byte_ids_{}, last_byte_ids_{};  // of a byte inside and at the end of a word
  std::vector<std::int32_t> special_ids_;
  std::int32_t start_id_, end_id_;
};

// 4,096 entries learned from the training captions of data/emoji_clipart in 17 languages, compiled into the library.
FOVEA_API const Tokenizer& default_tokenizer();

}  // namespace fovea::text
