// What happens to a text before it is cut: the normalizers of Hugging Face's tokenizers, and the cleaning of captions.
//
// A component is a structure with its name in files, `type`, and its fields, listed once for reading and writing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/charsmap.h"
#include "text/pattern.h"

namespace fovea::text::detail {

struct Normalizer;

struct Nfc {
  static constexpr const char* type = "NFC";
  static void fields(auto&, auto&&) {}
};
struct Nfd {
  static constexpr const char* type = "NFD";
  static void fields(auto&, auto&&) {}
};
struct Nfkc {
  static constexpr const char* type = "NFKC";
  static void fields(auto&, auto&&) {}
};
struct Nfkd {
  static constexpr const char* type = "NFKD";
  static void fields(auto&, auto&&) {}
};
struct Lowercase {
  static constexpr const char* type = "Lowercase";
  static void fields(auto&, auto&&) {}
};
struct StripAccents {  // drops marks; only what was decomposed before loses its accents
  static constexpr const char* type = "StripAccents";
  static void fields(auto&, auto&&) {}
};
struct StripSpace {
  static constexpr const char* type = "Strip";
  bool left = true, right = true;
  static void fields(auto& self, auto&& f) {
    f("strip_left", self.left);
    f("strip_right", self.right);
  }
};
struct Replace {  // also a decoder
  static constexpr const char* type = "Replace";
  Pattern pattern;
  std::string content;
  static void fields(auto& self, auto&& f) {
    f("pattern", self.pattern);
    f("content", self.content);
  }
};
struct Prepend {
  static constexpr const char* type = "Prepend";
  std::string prepend;
  static void fields(auto& self, auto&& f) { f("prepend", self.prepend); }
};
struct ByteLevelNormalizer {  // spells bytes as visible characters
  static constexpr const char* type = "ByteLevel";
  static void fields(auto&, auto&&) {}
};
// BERT's BasicTokenizer without its cuts (google-research/bert, tokenization.py). Without a value strip_accents follows
// lowercase.
struct BertNormalizer {
  static constexpr const char* type = "BertNormalizer";
  bool clean_text = true, handle_chinese_chars = true;
  std::optional<bool> strip_accents;
  bool lowercase = true;
  static void fields(auto& self, auto&& f) {
    f("clean_text", self.clean_text);
    f("handle_chinese_chars", self.handle_chinese_chars);
    f("strip_accents", self.strip_accents);
    f("lowercase", self.lowercase);
  }
};
// SentencePiece's table of characters, as Hugging Face's tokenizers apply it: a rule for the beginning of a short
// grapheme cluster replaces the whole cluster.
struct Precompiled {
  static constexpr const char* type = "Precompiled";
  Charsmap charsmap;
  static void fields(auto& self, auto&& f) { f("precompiled_charsmap", self.charsmap); }
};
// Bytes, which files hold as base64.
struct Bytes {
  std::string bytes;
  bool operator==(const Bytes&) const = default;
};
// Normalizers in a row. Ours may name a caption cleaning of text/clean.h under "fovea": the cleaning is done then, and
// the normalizers are what comes nearest for readers that do not know the key. In the same way the tokenizer of a
// SentencePiece model has its file under "fovea_sentencepiece", of which its other parts are what comes nearest.
struct NormalizerSequence {
  static constexpr const char* type = "Sequence";
  std::vector<Normalizer> normalizers;
  std::optional<std::string> cleaning;  // "clip" or "open_clip"; of texts for SentencePiece "canonical"
  Bytes sentence_piece;
  static void fields(auto& self, auto&& f) {
    f("normalizers", self.normalizers);
    f.optional("fovea", self.cleaning);
    f.extra("fovea_sentencepiece", self.sentence_piece);
  }
};

struct Normalizer {
  std::variant<NormalizerSequence, Nfc, Nfd, Nfkc, Nfkd, Lowercase, StripAccents, StripSpace, Replace, Prepend,
               ByteLevelNormalizer, BertNormalizer, Precompiled>
      part;

  // Takes and gives well-formed UTF-8. Throws Error when the text grows without measure.
  std::string operator()(std::string text) const;
};

}  // namespace fovea::text::detail
