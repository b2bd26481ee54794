// The special tokens around a text: the post-processors of Hugging Face's tokenizers, for single texts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "text/pre_tokenizer.h"

namespace fovea::text::detail {

struct PostProcessor;

struct NamedId {
  std::string token;
  std::int32_t id = 0;
};
struct BertProcessing {  // cls, the text, sep
  static constexpr const char* type = "BertProcessing";
  NamedId sep, cls;
  static void fields(auto& self, auto&& f) {
    f("sep", self.sep);
    f("cls", self.cls);
  }
};
struct RobertaProcessing {  // the same
  static constexpr const char* type = "RobertaProcessing";
  NamedId sep, cls;
  bool trim_offsets = true, add_prefix_space = true;
  static void fields(auto& self, auto&& f) {
    f("sep", self.sep);
    f("cls", self.cls);
    f.optional("trim_offsets", self.trim_offsets);
    f.optional("add_prefix_space", self.add_prefix_space);
  }
};
// A special token, or the first or second text: {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {...}}.
struct TemplatePiece {
  bool is_text = false;
  std::string id;
  std::int64_t type_id = 0;
};
struct TemplateToken {
  std::string id;
  std::vector<std::int32_t> ids;
  std::vector<std::string> tokens;
};
struct TemplateProcessing {
  static constexpr const char* type = "TemplateProcessing";
  std::vector<TemplatePiece> single, pair;
  std::map<std::string, TemplateToken> special_tokens;
  static void fields(auto& self, auto&& f) {
    f("single", self.single);
    f("pair", self.pair);
    f("special_tokens", self.special_tokens);
  }
};
struct PostProcessorSequence {
  static constexpr const char* type = "Sequence";
  std::vector<PostProcessor> processors;
  static void fields(auto& self, auto&& f) { f("processors", self.processors); }
};

struct PostProcessor {
  std::variant<PostProcessorSequence, BertProcessing, RobertaProcessing, TemplateProcessing, ByteLevel> part;

  static constexpr std::int32_t text = -1;  // stands for the tokens of the text

  // What surrounds the text: special ids and `text`.
  std::vector<std::int32_t> around(const std::vector<std::int32_t>& inner = {text}) const;
};

}  // namespace fovea::text::detail
