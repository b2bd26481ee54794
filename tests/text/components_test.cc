// Normalizers, pre-tokenizers, post-processors, decoders and added tokens, one by one, against Hugging Face's
// tokenizers (tests/golden/make_tokenizer_golden.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/text/tokenizer.h"

namespace fovea::text {
namespace {

using nlohmann::json;
using tests::error_of;
using Ids = std::vector<std::int32_t>;

std::vector<json> lines(const std::string& name) {
  std::ifstream in(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/" + name);
  std::vector<json> read;
  for (std::string line; std::getline(in, line);) read.push_back(json::parse(line));
  EXPECT_FALSE(read.empty()) << name;
  return read;
}

// Every byte is a piece, and byte 1 ends a word: ids are what the model was given, word by word.
json over_bytes() {
  json bytes = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* digits = "0123456789ABCDEF";
    bytes[std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">"] = byte;
  }
  return {{"version", "1.0"},
          {"model",
           {{"type", "BPE"},
            {"end_of_word_suffix", "\x01"},
            {"byte_fallback", true},
            {"vocab", bytes},
            {"merges", json::array()}}}};
}

json with(json root, const json& parts) {
  root.update(parts);
  return root;
}

Tokenizer parse(const json& root) { return Tokenizer::parse(root.dump(), "test"); }

// Words of bytes, and tokens that are none.
Ids to_ids(const json& words) {
  Ids ids;
  for (const json& word : words) {
    if (word.is_number()) {
      ids.push_back(word);
      continue;
    }
    for (const char c : word.get<std::string>()) ids.push_back(static_cast<unsigned char>(c));
    ids.push_back(1);
  }
  return ids;
}

// What a tokenizer of the parts gives, and what it gives after it was written and read.
template <class F>
void twice(const json& root, F&& check) {
  const Tokenizer tokenizer = parse(root);
  check(tokenizer);
  const tests::TempFolder folder;
  tokenizer.save(folder / "tokenizer.json");
  check(Tokenizer::load(folder.path()));
}

TEST(Components, EqualHuggingFaces) {
  const std::vector<json> golden = lines("tokenizer_components.jsonl");
  const json& head = golden[0];
  int words = 0, added = 0, ids = 0, texts = 0;
  for (std::size_t i = 1; i < golden.size(); ++i) {
    const json& one = golden[i];
    SCOPED_TRACE(one["parts"].dump());
    const auto expect_words = [&](const json& inputs, const json& expected) {
      twice(with(over_bytes(), one["parts"]), [&](const Tokenizer& tokenizer) {
        for (std::size_t t = 0; t < inputs.size(); ++t) {
          EXPECT_EQ(tokenizer.encode(inputs[t].get<std::string>()), to_ids(expected[t])) << inputs[t];
        }
      });
    };
    if (one.contains("words")) {
      ++words;
      expect_words(head["component_texts"], one["words"]);
    } else if (one.contains("added_words")) {
      ++added;
      expect_words(head["added_texts"], one["added_words"]);
    } else if (one.contains("ids")) {
      ++ids;
      twice(with(over_bytes(), one["parts"]), [&](const Tokenizer& tokenizer) {
        const char* const inputs[] = {"", "abcdefgh", "xy"};
        for (std::size_t t = 0; t < 3; ++t) EXPECT_EQ(tokenizer.encode(inputs[t]), one["ids"][t].get<Ids>());
      });
    } else {
      ++texts;
      json vocabulary = json::object();
      const json& pieces = head["decoder_pieces"];
      for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id].get<std::string>()] = id;
      const json model{{"type", "WordPiece"},
                       {"unk_token", "hello"},
                       {"continuing_subword_prefix", "##"},
                       {"max_input_chars_per_word", 100},
                       {"vocab", vocabulary}};
      const json special{{{"id", vocabulary["<s>"]}, {"content", "<s>"}, {"special", true}}};
      twice(with({{"model", model}, {"added_tokens", special}}, one["parts"]), [&](const Tokenizer& tokenizer) {
        for (std::size_t t = 0; t < head["sentences"].size(); ++t) {
          EXPECT_EQ(tokenizer.decode(head["sentences"][t].get<Ids>()), one["texts"][t].get<std::string>())
              << head["sentences"][t];
        }
      });
    }
  }
  EXPECT_GT(words, 60);
  EXPECT_GT(added, 10);
  EXPECT_GT(ids, 20);
  EXPECT_GT(texts, 15);
}

TEST(Components, ByteFallbackEqualsHuggingFaces) {
  std::ifstream in(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/byte_fallback_tokenizer.json");
  twice(json::parse(in), [](const Tokenizer& tokenizer) {
    EXPECT_EQ(tokenizer.start_id(), 1);
    EXPECT_EQ(tokenizer.end_id(), -1);
    EXPECT_EQ(tokenizer.id_of("</s>"), 2);
    for (const json& row : lines("byte_fallback_tokens.jsonl")) {
      EXPECT_EQ(tokenizer.encode(row[0].get<std::string>()), row[1].get<Ids>()) << row[0];
      EXPECT_EQ(tokenizer.decode(row[1].get<Ids>()), row[2].get<std::string>()) << row[0];
    }
  });
}

Tokenizer splitting_by(const std::string& pattern) {
  return parse(
      with(over_bytes(),
           {{"pre_tokenizer",
             {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}}}}));
}

TEST(Components, RegularExpressionsThatMeanOtherThingsAreRefused) {
  for (const char* pattern :
       {"a{1,2}+", "[a&&b]",  "[a[bc]]", "[]a]",          "[^\\W]", "(*UCP)a", "(?R)",       "(?|a)",
        "(?s:.)",  "(?x: a)", "\\Qa\\E", "\\G",           "\\xff",  "\\y",     "[[:word:]]", "[[:^alpha:]]",
        "a\\",     "(?C1)",   "\\N",     "\\p{Nonsense}", "(",      "[a",      "a**b(",      "\\u12"}) {
    const std::string message = error_of([&] { splitting_by(pattern); });
    EXPECT_NE(message.find("test: pre_tokenizer.pattern: the regular expression \""), std::string::npos)
        << pattern << ": " << message;
  }
}

TEST(Components, CostlyRegularExpressionsGiveAnError) {
  const std::string many(100000, 'a');
  for (const char* pattern : {"(a+)+[bc]", "(a|aa)*b|(a|a)*c", "(?:a|[ab])*(?=c|d)"}) {
    const Tokenizer tokenizer = splitting_by(pattern);
    EXPECT_NE(error_of([&] { tokenizer.encode(many); }).find("takes too long on 100000 bytes of text"),
              std::string::npos)
        << pattern;
  }
}

TEST(Components, TextsThatGrowWithoutMeasureGiveAnError) {
  const json doubling{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const json normalizer{{"type", "Sequence"}, {"normalizers", json(40, doubling)}};
  const Tokenizer tokenizer = parse(with(over_bytes(), {{"normalizer", normalizer}}));
  EXPECT_NE(error_of([&] { tokenizer.encode("aaaa"); }).find("4 bytes of text grow to"), std::string::npos);
  const json long_content{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1 << 20, 'b')}};
  const Tokenizer replacing = parse(with(over_bytes(), {{"normalizer", long_content}}));
  EXPECT_NE(error_of([&] { replacing.encode(std::string(10000, 'a')); }).find("10000 bytes of text grow to"),
            std::string::npos);
  const json decoder{{"type", "Sequence"}, {"decoders", json(40, doubling)}};
  const Tokenizer decoding =
      parse(with(over_bytes(), {{"decoder", decoder}, {"added_tokens", {{{"id", 300}, {"content", "a"}}}}}));
  EXPECT_NE(error_of([&] { decoding.decode(Ids{300}); }).find("1 bytes of text grow to"), std::string::npos);
}

}  // namespace
}  // namespace fovea::text
