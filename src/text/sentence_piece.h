// SentencePiece models, token for token as the original library encodes and decodes (Kudo & Richardson, "SentencePiece:
// a simple and language independent subword tokenizer", EMNLP 2018; google/sentencepiece 0.2.3).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/charsmap.h"
#include "text/prefix_table.h"
#include "text/vocabulary.h"

namespace fovea::text::detail {

// What a .model file says, as far as it matters for encoding and decoding.
struct SentencePieceFile {
  enum class Algorithm : std::uint8_t { unigram = 1, bpe = 2 };
  enum class Type : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  struct Normalization {
    std::string charsmap;
    bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  };

  std::vector<Piece> pieces;  // by id
  Algorithm algorithm = Algorithm::unigram;
  bool whitespace_as_suffix = false, byte_fallback = false;
  std::string unknown_surface = " \xE2\x81\x87 ";  // what the unknown piece decodes to
  std::int32_t start = 1, end = 2;                 // ids of <s> and </s>; -1: none
  Normalization normalization, denormalization;

  // Reads the bytes of a .model file. Throws Error naming `source`, the byte and what was expected.
  static SentencePieceFile parse(std::string_view bytes, const std::string& source);
};

class SentencePiece {
 public:
  // Throws Error opening with `place` when the file contradicts itself.
  SentencePiece(SentencePieceFile file, const std::string& place);

  // Appends the ids of a text, which need not be well-formed.
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const;
  // Of ids from 0 to size() - 1.
  std::string decode(std::span<const std::int32_t> ids) const;

  bool has(std::int32_t id) const { return id >= 0 && id < size(); }
  const SentencePieceFile& file() const { return file_; }
  std::int32_t size() const { return static_cast<std::int32_t>(file_.pieces.size()); }
  std::int32_t unknown() const { return unknown_; }

 private:
  // A stretch of the normalized text, and its piece.
  struct Found {
    std::string_view text;
    std::int32_t id;
  };
  class Normalizer;
  class BpeSymbols;

  const SentencePieceFile::Piece& piece(std::int32_t id) const { return file_.pieces[static_cast<std::size_t>(id)]; }
  SentencePieceFile::Type type(std::int32_t id) const { return piece(id).type; }
  std::int32_t id_of(std::string_view text) const;
  void find_bytes(const std::string& place);
  std::vector<Found> unigram(std::string_view text) const;
  std::vector<Found> bpe(std::string_view text) const;
  std::string decoded(std::int32_t id, bool at_start, bool& start_seen) const;

  SentencePieceFile file_;
  Charsmap charsmap_, decoded_charsmap_;
  PrefixTable user_defined_, table_;  // what normalization leaves alone; pieces that texts are made of
  StringMap<std::int32_t> ids_;       // the same pieces
  StringMap<std::int32_t> reserved_;  // the others
  std::array<std::int32_t, 256> byte_ids_{};
  std::vector<std::int16_t> bytes_;  // by id: the byte that a piece is; -1: none
  std::int32_t unknown_ = -1;
  float least_score_ = 0;  // of the normal pieces
};

}  // namespace fovea::text::detail
