// SentencePiece models against the original library, and tokenizer.json's Unigram against Hugging Face's tokenizers:
// files made by tests/golden/make_sentencepiece_golden.py.
#include <gtest/gtest.h>

#include <sstream>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/io/gzip.h"
#include "fovea/text/clean.h"
#include "fovea/text/tokenizer.h"

namespace fovea::text {
namespace {

using tests::error_of;
using Ids = std::vector<std::int32_t>;

const std::string folder = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/sentencepiece/";

std::string unzipped(const std::string& name) { return io::gunzip(io::read_file(folder + name + ".gz"), name); }

std::vector<std::string> lines_of(const std::string& name) {
  std::vector<std::string> lines;
  std::istringstream in(unzipped(name));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> texts() {
  std::vector<std::string> all = lines_of("texts");
  for (std::string& line : all) {
    std::string bytes;
    for (std::size_t i = 0; i < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    line = bytes;
  }
  return all;
}

std::string numbers(const Ids& ids) {
  std::string text;
  for (const std::int32_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

std::string checksum(const Ids& ids, const std::string& decoded) {
  std::uint32_t h = 0x811C9DC5;
  for (const char c : numbers(ids) + "\n" + decoded) h = (h ^ static_cast<unsigned char>(c)) * 0x01000193;
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", h);
  return digits;
}

void append_length(std::string& bytes, std::size_t length) {
  for (; length > 127; length >>= 7) bytes += static_cast<char>((length & 127) | 128);
  bytes += static_cast<char>(length);
}

// A protocol buffer's field of bytes.
std::string field(int number, const std::string& value) {
  std::string bytes(1, static_cast<char>(number << 3 | 2));
  append_length(bytes, value.size());
  return bytes + value;
}

// The model with its table of characters, which is stored apart: fields that are there twice are merged.
std::string model_bytes(const std::string& name, const std::string& rule) {
  std::string bytes = unzipped(name + ".model");
  return rule.empty() ? bytes : bytes + field(3, field(2, unzipped("charsmap_" + rule)));
}

struct Model {
  const char *name, *rule;
};
constexpr Model models[]{{"unigram_nmt_nfkc", "nmt_nfkc"},
                         {"unigram_identity_bytes", ""},
                         {"unigram_nmt_nfkc_cf_siglip", "nmt_nfkc_cf"},
                         {"bpe_nmt_nfkc", "nmt_nfkc"},
                         {"bpe_identity_bytes", ""},
                         {"bpe_nmt_nfkc_cf_bytes", "nmt_nfkc_cf"},
                         {"unigram_suffix", ""},
                         {"bpe_spaces", ""}};

Tokenizer load(const Model& model, const SentencePieceOptions& options = {}) {
  return Tokenizer::parse_sentence_piece(model_bytes(model.name, model.rule), model.name, options);
}

Tokenizer reloaded(const Tokenizer& tokenizer) {
  const tests::TempFolder temporary;
  tokenizer.save(temporary / "tokenizer.json");
  return Tokenizer::load(temporary / "tokenizer.json");
}

class SentencePieceGolden : public ::testing::TestWithParam<Model> {};

TEST_P(SentencePieceGolden, TokensAndTextsAreTheOriginals) {
  const Tokenizer tokenizer = load(GetParam()), again = reloaded(tokenizer);
  const std::vector<std::string> all = texts(), sums = lines_of(std::string(GetParam().name) + ".sums");
  ASSERT_EQ(all.size(), 2000);
  ASSERT_EQ(sums.size(), all.size());
  int different = 0;
  for (std::size_t i = 0; i < all.size() && different < 10; ++i) {
    const Ids ids = tokenizer.encode(all[i]);
    const std::string decoded = tokenizer.decode(ids);
    const bool same = checksum(ids, decoded) == sums[i];
    different += !same;
    EXPECT_TRUE(same) << GetParam().name << " text " << i << ": " << all[i].substr(0, 200) << "\nids " << numbers(ids)
                      << "\ndecoded " << decoded.substr(0, 300);
    EXPECT_EQ(again.encode(all[i]), ids);
  }
}

INSTANTIATE_TEST_SUITE_P(SentencePiece, SentencePieceGolden, ::testing::ValuesIn(models));

// The file of Hugging Face's tokenizers, its table of characters put in again.
std::string converted_json(const Model& model, const Tokenizer& with_table) {
  const tests::TempFolder temporary;
  with_table.save(temporary / "t.json");
  const std::string saved = io::read_file(temporary / "t.json"), key = "\"precompiled_charsmap\": \"";
  const std::size_t begin = saved.find(key) + key.size();
  std::string json = unzipped(std::string(model.name) + ".json");
  return json.replace(json.find("CHARSMAP"), 8, saved.substr(begin, saved.find('"', begin) - begin));
}

TEST(Unigram, TokensAreThoseOfHuggingFacesTokenizers) {
  for (const Model& model : {models[0], models[2]}) {
    const Tokenizer tokenizer = Tokenizer::parse(converted_json(model, load(model)), "json");
    const Tokenizer again = reloaded(tokenizer);
    const std::vector<std::string> all = texts(), sums = lines_of(std::string(model.name) + ".json_sums");
    int different = 0;
    for (std::size_t i = 0; i < all.size() && different < 10; ++i) {
      if (sums[i] == "-") continue;
      const Ids ids = tokenizer.encode(all[i]);
      const bool same = checksum(ids, "") == sums[i];
      different += !same;
      EXPECT_TRUE(same) << model.name << " text " << i << ": " << all[i].substr(0, 200) << "\nids " << numbers(ids);
      EXPECT_EQ(again.encode(all[i]), ids);
    }
  }
}

// SigLIP's: lower case without punctuation, its end token behind every text.
TEST(SentencePieceTokenizer, OptionsSurroundAndCleanTexts) {
  const Tokenizer tokenizer = load(models[2], {false, true, true}), plain = load(models[2]);
  EXPECT_EQ(tokenizer.end_id(), 1);
  EXPECT_EQ(tokenizer.start_id(), -1);
  Ids expected = plain.encode("a red car the best");
  expected.push_back(1);
  for (const Tokenizer& each : {tokenizer, reloaded(tokenizer)}) {
    EXPECT_EQ(each.encode("  A red CAR,\tthe \"best\"! "), expected);
    EXPECT_EQ(each.encode("a red car the best", 3), (Ids{expected[0], expected[1], 1}));
    EXPECT_EQ(each.encode(""), Ids{1});
    EXPECT_EQ(each.decode(expected), "a red car the best");
  }
  EXPECT_EQ(canonicalize(" (A)\x1d"
                         "b\u00a0C-\xff "),
            "a b c\uFFFD");
  EXPECT_NE(error_of([&] { load(models[2], {true, false, false}); }).find("no piece for the start"), std::string::npos);
}

TEST(SentencePieceTokenizer, FoldersSayTheOptions) {
  const tests::TempFolder temporary;
  io::write_file(temporary / "spiece.model", model_bytes(models[2].name, models[2].rule));
  io::write_file(temporary / "tokenizer_config.json", R"({"tokenizer_class": "SiglipTokenizer"})");
  EXPECT_EQ(Tokenizer::load(temporary.path()).encode("Red!"), load(models[2], {false, true, true}).encode("red"));
  io::write_file(temporary / "tokenizer_config.json", R"({"tokenizer_class": "T5TokenizerFast"})");
  EXPECT_EQ(Tokenizer::load(temporary.path()).encode("Red!"), load(models[2], {false, true, false}).encode("Red!"));
  EXPECT_EQ(Tokenizer::load(temporary / "spiece.model").encode("Red!"), load(models[2]).encode("Red!"));
}

TEST(SentencePieceTokenizer, IdsOutsideAreRefused) {
  const Tokenizer tokenizer = load(models[7]);
  EXPECT_EQ(tokenizer.vocabulary_size(), 800);
  EXPECT_NE(error_of([&] { tokenizer.decode(Ids{800}); }).find("token 800 is outside"), std::string::npos);
  EXPECT_NE(error_of([&] { tokenizer.decode(Ids{-1}); }).find("token -1 is outside"), std::string::npos);
}

TEST(SentencePieceTokenizer, DamagedFilesAreRefused) {
  const tests::TempFolder temporary;
  const auto expect = [&](const std::string& bytes, const std::string& part) {
    io::write_file(temporary / "m.model", bytes);
    const std::string error = error_of([&] { Tokenizer::load(temporary / "m.model"); });
    EXPECT_NE(error.find(part), std::string::npos) << "no \"" << part << "\" in: " << error;
  };
  const auto piece = [](const std::string& text, int type) {
    return field(1, field(1, text) + std::string{static_cast<char>(3 << 3), static_cast<char>(type)});
  };
  const std::string unknown = piece("<unk>", 2);
  const std::string whole = unzipped("bpe_spaces.model");
  expect(whole.substr(0, 1000), "bytes, ");
  expect("{\"model\": 1}", "m.model: at byte ");
  expect("", "no piece is the unknown one");
  expect(piece("a", 1), "no piece is the unknown one");
  expect(unknown + piece("b", 2), "\"b\" is a second unknown piece");
  expect(unknown + piece("a", 1) + piece("a", 1), "\"a\"");
  expect(unknown + field(1, ""), "a piece without text");
  expect(unknown + piece("a", 7), "a piece of type 7");
  expect(unknown + piece("<0xZZ>", 6), "names no byte");
  expect(unknown + field(2, std::string{static_cast<char>(3 << 3), 4}),
         "model_type 4, expected 1 (unigram) or 2 (bpe)");
  expect(unknown + field(2, std::string{static_cast<char>(((35 << 3) & 127) | 128), 2, 1}), "needs the piece <0x00>");
  expect(unknown + field(3, field(2, "abc")), "the charsmap has 3 bytes");
  expect(unknown + field(3, field(2, std::string("\x08\0\0\0abcd", 8))), "its table has 8 bytes, 4 follow");
  expect(unknown + std::string(1, 3), "wire type 3");
  expect(unknown + std::string{static_cast<char>(1 << 3), 0}, "of another kind, expected bytes");
  expect(std::string(12, '\xff'), "more than 64 bits");
}

TEST(Unigram, BadFilesAreRefused) {
  const auto error_with = [](const std::string& model) {
    return error_of([&] { Tokenizer::parse(R"({"model": {"type": "Unigram", )" + model + "}}", "t"); });
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  };
  expect(error_with(R"("vocab": {"a": 1})"), "expected an array of pieces and scores");
  expect(error_with(R"("vocab": [["a"]])"), "model.vocab[0] is [\"a\"], expected a piece and its score");
  expect(error_with(R"("unk_id": 1, "vocab": [["a", 0]])"), "model.unk_id is 1, expected an id of the 1 entries");
  expect(error_with(R"("vocab": [["a", 0], ["a", 0]])"), "has the ids 0 and 1");
  const Tokenizer tokenizer = Tokenizer::parse(R"({"model": {"vocab": [["a", -1], ["ab", -1.5], ["b", -2]]}})", "t");
  EXPECT_EQ(tokenizer.encode("abba"), (Ids{1, 2, 0}));
  expect(error_of([&] { tokenizer.encode("ax"); }), "\"x\" is not in the vocabulary, and there is no unknown token");
  expect(error_of([] {
           Tokenizer::parse(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"},
                                "model": {"type": "Unigram", "vocab": [["a", 0]]}})",
                            "t");
         }),
         "expected base64");
}

}  // namespace
}  // namespace fovea::text
