// How a text is cut into the words that a model encodes: the pre-tokenizers of Hugging Face's tokenizers.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/pattern.h"
#include "text/pieces.h"

namespace fovea::text::detail {

struct PreTokenizer;

// What becomes of the matches that a text is cut at.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
enum class PrependScheme { first, never, always };

struct Split {
  static constexpr const char* type = "Split";
  Pattern pattern;
  Behavior behavior = Behavior::isolated;
  bool invert = false;  // the pattern describes words, not what lies between them
  static void fields(auto& self, auto&& f) {
    f("pattern", self.pattern);
    f("behavior", self.behavior);
    f("invert", self.invert);
  }
};
// Cuts by GPT-2's pattern and spells bytes as visible characters. Also a decoder and a post-processor.
struct ByteLevel {
  static constexpr const char* type = "ByteLevel";
  bool add_prefix_space = true, trim_offsets = true, use_regex = true;
  static void fields(auto& self, auto&& f) {
    f("add_prefix_space", self.add_prefix_space);
    f("trim_offsets", self.trim_offsets);
    f.optional("use_regex", self.use_regex);
  }
};
struct Whitespace {  // \w+|[^\w\s]+
  static constexpr const char* type = "Whitespace";
  static void fields(auto&, auto&&) {}
};
struct WhitespaceSplit {
  static constexpr const char* type = "WhitespaceSplit";
  static void fields(auto&, auto&&) {}
};
struct Metaspace {  // also a decoder
  static constexpr const char* type = "Metaspace";
  char32_t replacement = U'▁';
  PrependScheme prepend_scheme = PrependScheme::always;
  bool split = true;
  static void fields(auto& self, auto&& f) {
    f("replacement", self.replacement);
    f.optional("prepend_scheme", self.prepend_scheme);
    f.optional("split", self.split);
  }
};
struct BertPreTokenizer {
  static constexpr const char* type = "BertPreTokenizer";
  static void fields(auto&, auto&&) {}
};
struct Digits {
  static constexpr const char* type = "Digits";
  bool individual_digits = false;
  static void fields(auto& self, auto&& f) { f("individual_digits", self.individual_digits); }
};
struct Punctuation {
  static constexpr const char* type = "Punctuation";
  Behavior behavior = Behavior::isolated;
  static void fields(auto& self, auto&& f) { f.optional("behavior", self.behavior); }
};
struct PreTokenizerSequence {
  static constexpr const char* type = "Sequence";
  std::vector<PreTokenizer> pretokenizers;
  static void fields(auto& self, auto&& f) { f("pretokenizers", self.pretokenizers); }
};

struct PreTokenizer {
  std::variant<PreTokenizerSequence, Split, ByteLevel, Whitespace, WhitespaceSplit, Metaspace, BertPreTokenizer, Digits,
               Punctuation>
      part;

  // Cuts every piece further; `spare` is room to work in. `at_start`: the first piece begins where the whole text does,
  // which Metaspace asks.
  void operator()(Pieces& pieces, Pieces& spare, bool& at_start) const;
};

// The pattern of openai/CLIP's clip/simple_tokenizer.py, and open_clip's, which ignores case; these two and GPT-2's are
// cut without a regular expression.
inline constexpr std::string_view clip_pattern = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
inline constexpr std::string_view open_clip_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

}  // namespace fovea::text::detail
