// The published tokenizers against the published code; the texts and ids come from
// tests/golden/make_tokenizer_golden.py.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/text/tokenizer.h"

namespace fovea::text {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

struct Case {
  std::string text;
  Ids clip, gpt2, bert, cased_bert;  // BERT's without [CLS] and [SEP]
};

std::string vocabulary(const std::string& name) { return std::string(FOVEA_SOURCE_DIR) + "/data/tokenizers/" + name; }

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::ifstream in(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published_tokens.jsonl");
    std::vector<Case> read;
    for (std::string line; std::getline(in, line);) {
      const json row = json::parse(line);
      read.push_back({row[0], row[1].get<Ids>(), row[2].get<Ids>(), row[3].get<Ids>(), row[4].get<Ids>()});
    }
    return read;
  }();
  return all;
}

// The tokenizer, and what its tokenizer.json gives when it is read again.
class Published : public testing::TestWithParam<const char*> {
 protected:
  void expect(Ids Case::*ids, const Ids& before = {}, const Ids& after = {}) {
    const Tokenizer original = Tokenizer::load(vocabulary(GetParam()));
    const tests::TempFolder folder;
    original.save(folder / "tokenizer.json");
    const Tokenizer saved = Tokenizer::load(folder.path());
    EXPECT_EQ(saved.vocabulary_size(), original.vocabulary_size());
    ASSERT_EQ(cases().size(), 2000u);
    for (const Case& one : cases()) {
      Ids expected = before;
      expected.insert(expected.end(), (one.*ids).begin(), (one.*ids).end());
      expected.insert(expected.end(), after.begin(), after.end());
      EXPECT_EQ(original.encode(one.text), expected) << one.text;
      EXPECT_EQ(saved.encode(one.text), expected) << one.text;
    }
  }
};

using PublishedClip = Published;
TEST_P(PublishedClip, EqualsOpenClip) {
  expect(&Case::clip);
  const Tokenizer clip = Tokenizer::load(vocabulary(GetParam()));
  EXPECT_EQ(clip.vocabulary_size(), 49408);
  EXPECT_EQ(clip.start_id(), 49406);
  EXPECT_EQ(clip.end_id(), 49407);
  EXPECT_EQ(clip.id_of("<end_of_text>"), 49407);
  EXPECT_EQ(clip.encode("a photo of a cat"), (Ids{49406, 320, 1125, 539, 320, 2368, 49407}));
  EXPECT_EQ(clip.encode("a photo of a cat", 4), (Ids{49406, 320, 1125, 49407}));
  EXPECT_EQ(clip.decode(clip.encode("A photo,\n of a CAT")), "a photo , of a cat");
}
INSTANTIATE_TEST_SUITE_P(Files, PublishedClip, testing::Values("clip"));

using PublishedGpt2 = Published;
TEST_P(PublishedGpt2, EqualsHuggingFaces) {
  expect(&Case::gpt2);
  const Tokenizer gpt2 = Tokenizer::load(vocabulary(GetParam()));
  EXPECT_EQ(gpt2.vocabulary_size(), 50257);
  EXPECT_EQ(gpt2.start_id(), -1);
  EXPECT_EQ(gpt2.end_id(), -1);
  EXPECT_EQ(gpt2.id_of("<|endoftext|>"), 50256);
  for (const Case& one : cases()) {
    if (one.text.find("<|endoftext|>") == std::string::npos) {
      EXPECT_EQ(gpt2.decode(one.gpt2), one.text);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Files, PublishedGpt2, testing::Values("gpt2"));

using PublishedBert = Published;
TEST_P(PublishedBert, EqualsHuggingFaces) {
  expect(&Case::bert, {101}, {102});
  const Tokenizer bert = Tokenizer::load(vocabulary(GetParam()));
  EXPECT_EQ(bert.vocabulary_size(), 30522);
  EXPECT_EQ(bert.start_id(), 101);
  EXPECT_EQ(bert.end_id(), 102);
  EXPECT_EQ(bert.id_of("[MASK]"), 103);
  EXPECT_EQ(bert.id_of("no such token"), -1);
  EXPECT_EQ(bert.decode(bert.encode("It's unaffable, isn't it?")),
            "it ' s unaffable, isn ' t it?");  // as Hugging Face's
}
INSTANTIATE_TEST_SUITE_P(Files, PublishedBert, testing::Values("bert-base-uncased"));

// BERT's uncased words, read as if they kept case.
TEST(PublishedFolders, CasedBertEqualsHuggingFaces) {
  const tests::TempFolder folder;
  folder.write("vocab.txt", io::read_file(vocabulary("bert-base-uncased/vocab.txt")));
  folder.write("tokenizer_config.json", R"({"do_lower_case": false})");
  const Tokenizer bert = Tokenizer::load(folder.path());
  for (const Case& one : cases()) {
    Ids expected{101};
    expected.insert(expected.end(), one.cased_bert.begin(), one.cased_bert.end());
    expected.push_back(102);
    EXPECT_EQ(bert.encode(one.text), expected) << one.text;
  }
}

TEST(PublishedFolders, GptVocabularyFileGivesTheSame) {
  const tests::TempFolder folder;
  folder.write("merges.txt", "#version: 0.2\nh e\nl l\nhe ll\n");
  const Tokenizer derived = Tokenizer::load(folder.path());
  EXPECT_EQ(derived.vocabulary_size(), 260);
  EXPECT_EQ(derived.encode("hello hell"), (Ids{258, 78, 220, 258}));
  folder.write("vocab.json", R"({"h":0,"e":1,"l":2,"o":3,"he":4,"ll":5,"hell":6})");
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("hello"), (Ids{6, 3}));
}

TEST(PublishedFolders, BertMayKeepCase) {
  const tests::TempFolder folder;
  folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nHi\nhi\n##é\n##e\r\n");
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("Hié"), (Ids{2, 6, 8, 3}));
  folder.write("tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_EQ(Tokenizer::load(folder.path()).encode("Hié"), (Ids{2, 5, 7, 3}));
}

}  // namespace
}  // namespace fovea::text
