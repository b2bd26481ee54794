// How pieces become text again: the decoders of Hugging Face's tokenizers.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace fovea::text::detail {

struct Decoder;

struct WordPieceDecoder {
  static constexpr const char* type = "WordPiece";
  std::string prefix = "##";
  bool cleanup = true;  // no space before punctuation and contractions
  static void fields(auto& self, auto&& f) {
    f("prefix", self.prefix);
    f("cleanup", self.cleanup);
  }
};
struct ByteFallback {  // "<0x0A>" to its byte
  static constexpr const char* type = "ByteFallback";
  static void fields(auto&, auto&&) {}
};
struct Fuse {
  static constexpr const char* type = "Fuse";
  static void fields(auto&, auto&&) {}
};
struct StripCharacters {
  static constexpr const char* type = "Strip";
  char32_t content = U' ';
  std::int64_t start = 0, stop = 0;  // how many to take at most, at either end of every piece
  static void fields(auto& self, auto&& f) {
    f("content", self.content);
    f("start", self.start);
    f("stop", self.stop);
  }
};
struct BpeDecoder {
  static constexpr const char* type = "BPEDecoder";
  std::string suffix = "</w>";
  static void fields(auto& self, auto&& f) { f("suffix", self.suffix); }
};
struct DecoderSequence {
  static constexpr const char* type = "Sequence";
  std::vector<Decoder> decoders;
  static void fields(auto& self, auto&& f) { f("decoders", self.decoders); }
};

struct Decoder {
  std::variant<DecoderSequence, ByteLevel, WordPieceDecoder, Metaspace, ByteFallback, Fuse, StripCharacters, Replace,
               BpeDecoder>
      part;

  // Joined, the result is the text. Throws Error when it grows without measure.
  std::vector<std::string> operator()(std::vector<std::string> pieces) const;
};

}  // namespace fovea::text::detail
