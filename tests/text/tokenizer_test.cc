#include "fovea/text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/io/file.h"
#include "fovea/text/clean.h"
#include "shipped_texts.h"

namespace fovea::text {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

// Ids of "a", "b", ... inside a word in CLIP's order, which begins with '!'.
constexpr std::int32_t id_of(char letter) { return letter - '!'; }
constexpr std::int32_t last(char letter) { return id_of(letter) + 256; }

// "ab" (512), "c" + "d</w>" (513), "ab" + "cd</w>" (514), start (515), end (516).
Tokenizer small_tokenizer() {
  const std::vector<BpeMerge> merges{{id_of('a'), id_of('b')}, {id_of('c'), last('d')}, {512, 513}};
  return Tokenizer(merges);
}

std::string without_white_space(const std::string& text) {
  std::string out = collapse_white_space(text);
  std::erase(out, ' ');
  return out;
}

TEST(Tokenizer, MergesByRankAndMarksWordEnds) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 517);
  EXPECT_EQ(tokenizer.start_id(), 515);
  EXPECT_EQ(tokenizer.end_id(), 516);
  EXPECT_EQ(tokenizer.encode("ABCD"), (Ids{515, 514, 516}));
  EXPECT_EQ(tokenizer.encode("ab abab"), (Ids{515, id_of('a'), last('b'), 512, id_of('a'), last('b'), 516}));
  EXPECT_EQ(tokenizer.encode("cdcd"), (Ids{515, id_of('c'), id_of('d'), 513, 516}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("  Abcd\n ab. ")), "abcd ab .");
}

TEST(Tokenizer, EncodesNothingAsStartAndEnd) {
  for (const char* text : {"", "  \n\t ", "\u3000"}) {
    EXPECT_EQ(default_tokenizer().encode(text), (Ids{4094, 4095}));
    EXPECT_EQ(default_tokenizer().encode(text, 2), (Ids{4094, 4095}));
  }
  EXPECT_EQ(default_tokenizer().decode(Ids{4094, 4095}), "");
  EXPECT_EQ(default_tokenizer().decode(Ids{}), "");
}

TEST(Tokenizer, TruncationKeepsStartAndEnd) {
  const std::string text = "a photo of a cat, a dog, a bird and a very small mouse";
  const Ids whole = default_tokenizer().encode(text);
  for (std::size_t length = 2; length <= whole.size() + 2; ++length) {
    Ids expected(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(std::min(length, whole.size())));
    expected.back() = default_tokenizer().end_id();
    EXPECT_EQ(default_tokenizer().encode(text, static_cast<std::int64_t>(length)), expected);
  }
  EXPECT_THROW(default_tokenizer().encode(text, 1), Error);
}

TEST(Tokenizer, TakesSpecialTokensSpelledOut) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.encode("abcd!<|EndOfText|>abcd"), (Ids{515, 514, id_of('!') + 256, 516, 514, 516}));
  EXPECT_EQ(tokenizer.encode("<|startoftext|><|startoftext|>"), (Ids{515, 515, 515, 516}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<|startoftext|>abcd<|endoftext|>")), "abcd");
}

TEST(Tokenizer, DecodesWhatItEncodedInAllLanguages) {
  for (const std::string& text : shipped::texts()) {
    const Ids ids = default_tokenizer().encode(text);
    ASSERT_EQ(without_white_space(default_tokenizer().decode(ids)), without_white_space(clean(text))) << text;
  }
}

TEST(Tokenizer, DecodesWhatItEncodedOfRandomBytes) {
  Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (std::int64_t n = rng.below(40); n > 0; --n) text += static_cast<char>(rng.below(256));
    const Ids ids = default_tokenizer().encode(text);
    ASSERT_EQ(without_white_space(default_tokenizer().decode(ids)), without_white_space(clean(text)));
  }
}

TEST(Tokenizer, DecodesAnyIdsToWellFormedText) {
  const Tokenizer& tokenizer = default_tokenizer();
  EXPECT_EQ(tokenizer.decode(Ids{255}), "\ufffd");  // one byte of two
  Rng rng(2);
  for (int i = 0; i < 500; ++i) {
    Ids ids;
    for (int n = 0; n < 8; ++n) ids.push_back(static_cast<std::int32_t>(rng.below(4096)));
    const std::string text = tokenizer.decode(ids);
    EXPECT_EQ(replace_invalid_utf8(text), text);
  }
  EXPECT_THROW(tokenizer.decode(Ids{4096}), Error);
  EXPECT_THROW(tokenizer.decode(Ids{-1}), Error);
}

// tests/golden/make_tokenizer_golden.py: Hugging Face's tokenizers, reading the tokenizer.json that we write.
TEST(Tokenizer, EqualsHuggingFaces) {
  std::ifstream in(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/clip_tokenizer.json");
  const json golden = json::parse(in);
  ASSERT_GT(golden.size(), 700u);
  for (const auto& [text, ids] : golden.items()) EXPECT_EQ(default_tokenizer().encode(text), ids.get<Ids>()) << text;
}

TEST(Tokenizer, MayBeUsedByManyThreads) {
  const std::vector<std::string> texts = shipped::texts("val");
  std::vector<Ids> expected;
  for (const std::string& text : texts) expected.push_back(default_tokenizer().encode(text));
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < texts.size(); ++i) wrong[t] += default_tokenizer().encode(texts[i]) != expected[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

// One word of a megabyte, of one letter and of many; and a megabyte of words.
TEST(Tokenizer, TakesVeryLongWords) {
  Rng rng(5);
  std::string same(1 << 20, 'a'), letters, words;
  while (letters.size() < same.size()) letters += static_cast<char>('a' + rng.below(26));
  while (words.size() < same.size()) words += rng.below(5) == 0 ? ' ' : static_cast<char>('a' + rng.below(26));
  for (const std::string& text : {same, letters, words}) {
    const std::clock_t start = std::clock();  // of this process alone: other programs do not count
    const Ids ids = default_tokenizer().encode(text);
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 2.0);
    EXPECT_EQ(without_white_space(default_tokenizer().decode(ids)), without_white_space(text));
    EXPECT_EQ(default_tokenizer().encode(text, 77).size(), 77u);
  }
}

// A queue takes over from looking at all pairs where words grow long; both merge the same pairs.
TEST(Tokenizer, LongWordsMergeAsShortOnesDo) {
  Rng rng(6);
  for (int i = 0; i < 200; ++i) {
    std::string word;
    while (word.size() < 60) word += static_cast<char>('a' + rng.below(4));
    // The definition: the earliest rule first, at all its places.
    std::vector<std::string> symbols;
    for (const char c : word) symbols.emplace_back(1, c);
    symbols.back() += "</w>";
    std::istringstream merges(default_tokenizer().merges_text());
    std::string left, right;
    std::getline(merges, left);
    while (merges >> left >> right) {
      for (std::size_t at = 0; at + 1 < symbols.size(); ++at) {
        if (symbols[at] != left || symbols[at + 1] != right) continue;
        symbols[at] += right;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      }
    }
    Ids expected{default_tokenizer().start_id()};
    for (const std::string& symbol : symbols) expected.push_back(default_tokenizer().id_of(symbol));
    expected.push_back(default_tokenizer().end_id());
    ASSERT_EQ(default_tokenizer().encode(word), expected) << word;
  }
}

void expect_equal(const Tokenizer& a, const Tokenizer& b) {
  EXPECT_EQ(a.vocabulary_size(), b.vocabulary_size());
  EXPECT_EQ(a.merges_text(), b.merges_text());
  for (const char* text : {"a photo of a cat", "<|endoftext|> größe 笑脸 👩‍🚀", "\xff", ""})
    EXPECT_EQ(a.encode(text), b.encode(text));
}

class TokenizerFiles : public testing::Test {
 protected:
  std::string temporary(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& contents) const {
    return folder_.write(name, contents);
  }
  json small_json() const {
    small_tokenizer().save(temporary("small.json"));
    return json::parse(io::read_file(temporary("small.json")));
  }

 private:
  const tests::TempFolder folder_;
};

TEST_F(TokenizerFiles, TokenizerJsonRoundTrip) {
  for (const Tokenizer& tokenizer : {default_tokenizer(), small_tokenizer()}) {
    tokenizer.save(temporary("first.json"));
    const Tokenizer loaded = Tokenizer::load(temporary("first.json"));
    expect_equal(loaded, tokenizer);
    loaded.save(temporary("second.json"));
    EXPECT_EQ(io::read_file(temporary("first.json")), io::read_file(temporary("second.json")));
  }
}

// What the files of published models have and ours have not.
TEST_F(TokenizerFiles, ReadsOtherWritersTokenizerJson) {
  json root = small_json();
  root["model"]["merges"] = json::parse(R"([["a", "b"], ["c", "d</w>"], ["ab", "cd</w>"]])");
  root["model"].erase("type");
  root["added_tokens"][0]["normalized"] = false;
  root["pre_tokenizer"]["pretokenizers"][1].erase("use_regex");
  root["padding"] = {
      {"strategy", "BatchLongest"}, {"direction", "Right"},        {"pad_to_multiple_of", nullptr}, {"pad_id", 516},
      {"pad_type_id", 0},           {"pad_token", "<|endoftext|>"}};
  expect_equal(Tokenizer::load(write("other.json", root.dump())), small_tokenizer());

  // Ids in another order, a special token that the model does not list, and one more of them.
  auto& vocabulary = root["model"]["vocab"];
  std::swap(vocabulary["ab"], vocabulary["abcd</w>"]);
  vocabulary.erase("<|startoftext|>");
  root["added_tokens"].push_back({{"content", "<pad>"}, {"id", 517}, {"special", true}});
  const Tokenizer permuted = Tokenizer::load(write("permuted.json", root.dump()));
  EXPECT_EQ(permuted.encode("abcd abb<pad>"), (Ids{515, 512, 514, last('b'), 517, 516}));
  EXPECT_EQ(permuted.decode(Ids{515, 512, 517, 514, last('b'), 516}), "abcd abb");
}

TEST_F(TokenizerFiles, ReadsMerges) {
  const std::string path = write("merges.txt", "\"header\na b\nc d</w>\r\nab cd</w>\nx y\n");
  const Tokenizer small = Tokenizer::load_merges(path, 517);
  EXPECT_EQ(small.merges_text(), small_tokenizer().merges_text());
  EXPECT_EQ(small.encode("ABCD ab"), (Ids{515, 514, id_of('a'), last('b'), 516}));
  const std::string own = write("own_merges.txt", default_tokenizer().merges_text());
  const Tokenizer loaded = Tokenizer::load_merges(own, 4096);
  EXPECT_EQ(loaded.merges_text(), default_tokenizer().merges_text());
  for (const std::string& text : shipped::texts("val")) {
    if (clean(text) == clean_like_open_clip(text)) {
      ASSERT_EQ(loaded.encode(text), default_tokenizer().encode(text)) << text;
    }
  }
}

template <class F>
void expect_error(F&& f, const std::string& expected) {
  try {
    f();
    ADD_FAILURE() << "no error, expected " << expected;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what() << "\nexpected " << expected;
  }
}

TEST_F(TokenizerFiles, BadMergesNameFileAndLine) {
  const auto check = [&](const std::string& contents, std::int64_t size, const std::string& expected) {
    const std::string path = write("bad_merges.txt", contents);
    expect_error([&] { Tokenizer::load_merges(path, size); }, expected);
  };
  const std::string file = temporary("bad_merges.txt");
  check("header\na b\nab\n", 517, file + ":3: found \"ab\", expected two pieces");
  check("header\na b\na bc\n", 517, file + ":3: found \"a bc\"");
  check("header\na b c\n", 515, file + ":2: found \"a b c\"");
  check("header\n\n", 515, file + ":2: found \"\"");
  check("header\na</w> b\n", 515, file + ":2: the left piece");
  check("header\na b\na b\n", 516, file + ":3: \"a b\" spells an earlier piece again");
  check("header\na b\n", 517, file + ":3: the file ends after 1 merges, a vocabulary of 517 entries needs 3");
  check("", 515, file + ":2: the file ends");
  check("\x1f\x8b\x08", 517, file + " is compressed");
  check("header\na b\n", 513, "vocabulary size is 513");
  expect_error([] { Tokenizer::load_merges("/nonexistent/merges.txt"); }, "/nonexistent/merges.txt");
  expect_error([] { Tokenizer(std::vector<BpeMerge>{{5, 512}}); }, "merge 0 joins 5 and 512");
  expect_error([] { Tokenizer(std::vector<BpeMerge>{{256, 5}}); }, "ends a word");
}

TEST_F(TokenizerFiles, BadTokenizerJsonNamesFileAndExpectation) {
  const json good = small_json();
  const auto check = [&](const std::string& pointer, const json& value, const std::string& expected) {
    json root = good;
    root[json::json_pointer(pointer)] = value;
    const std::string path = write("bad.json", root.dump());
    expect_error([&] { Tokenizer::load(path); }, path + ": " + expected);
  };
  const std::string number = "expected a whole number from 0 to 2147483647";
  check("/model/type", "WordLevel", "model.type is \"WordLevel\", expected BPE, WordPiece or Unigram");
  check("/model/type", "Unigram", "model.vocab is object of 517, expected an array of pieces and scores");
  check("/model/type", "WordPiece", "model.max_input_chars_per_word is missing");
  check("/model", 3, "model is 3, expected an object");
  check("/model/dropout", 0.1, "model.dropout is 0.1, expected null");
  check("/model/fuse_unk", "yes", "model.fuse_unk is \"yes\", expected true or false");
  check("/model/vocab", json::array(), "model.vocab is [], expected an object of pieces and ids");
  check("/model/vocab/a", "x", "model.vocab.a is \"x\", expected a whole number");
  check("/model/vocab/a", 1 << 20, "the id of \"a\" is 1048576, expected 0 to 66570");
  check("/model/vocab/a", -1, "the id of \"a\" is -1, expected 0 to");
  check("/model/vocab/a", 18446744073709551615u, "the id of \"a\" is -1, expected 0 to");
  check("/model/vocab/a", 4294967296, "the id of \"a\" is 4294967296, expected 0 to");
  check("/model/vocab/a", id_of('b'), "two entries have the id 65");
  check("/model/vocab/<|endoftext|>", 517, "\"<|endoftext|>\" has the ids 517 and 516");
  check("/model/merges", "a b", "model.merges is \"a b\", expected an array");
  check("/model/merges/0", "ab", "model.merges[0] is \"ab\", expected \"a b\" or");
  check("/model/merges/0", json::array({"a", "b", "c"}), "model.merges[0] is [\"a\",\"b\",\"c\"], expected");
  check("/model/merges/0", "a q", "model.merges[0] is \"a q\", which needs \"aq\": the vocabulary lacks it");
  check("/added_tokens", 7, "added_tokens is 7, expected an array");
  check("/added_tokens/0", json::object(), "added_tokens[0].id is missing");
  check("/added_tokens/0/content", "", "an added token has 0 bytes");
  check("/added_tokens/0/id", 3000000000, "added_tokens[0].id is 3000000000, " + number);
  check("/added_tokens/0/lstrip", 1, "added_tokens[0].lstrip is 1, expected true or false");
  check("/normalizer/normalizers/1/pattern", "x", "normalizer.normalizers[1].pattern is \"x\", expected {\"String\"");
  check("/normalizer/normalizers/1/pattern", {{"Regex", "(a"}},
        "normalizer.normalizers[1].pattern: the regular expression \"(a\" is malformed: missing closing parenthesis");
  check("/normalizer/normalizers/0/type", "Nmt",
        "normalizer.normalizers[0].type is \"Nmt\", expected one of Sequence, NFC, ");
  check("/normalizer/normalizers", 3, "normalizer.normalizers is 3, expected an array");
  check("/normalizer/fovea", "spotless", "normalizer names the cleaning \"spotless\", expected clip or open_clip");
  check("/pre_tokenizer/pretokenizers/0/behavior", "Eaten",
        "pre_tokenizer.pretokenizers[0].behavior is \"Eaten\", expected one of Removed, Isolated, ");
  check("/pre_tokenizer/pretokenizers/1/add_prefix_space", "no",
        "pre_tokenizer.pretokenizers[1].add_prefix_space is \"no\"");
  check("/pre_tokenizer/pretokenizers/0", 7, "pre_tokenizer.pretokenizers[0] is 7, expected an object with a \"type\"");
  check("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}},
        "pre_tokenizer.replacement is \"ab\", expected one character");
  check("/post_processor/type", "Template",
        "post_processor.type is \"Template\", expected one of Sequence, BertProcessing");
  check("/post_processor/cls", "x", "post_processor.cls is \"x\", expected a token and its id");
  check("/post_processor/sep/0", "a", "post_processor has \"a\" with the id 516, which is not its id");
  check("/decoder", "ByteLevel", "decoder is \"ByteLevel\", expected an object with a \"type\"");
  check("/truncation", {{"max_length", 1}, {"strategy", "LongestFirst"}, {"stride", 0}},
        "truncation.max_length is 1, the special tokens alone are 2");
  check("/truncation", {{"max_length", 8}, {"strategy", "OnlySecond"}, {"stride", 0}},
        "truncation.strategy is \"OnlySecond\"");
  check("/padding", {{"strategy", "Longest"}}, "padding.strategy is \"Longest\", expected \"BatchLongest\" or");
  const json unknown{{"SpecialToken", {{"id", "[CLS]"}, {"type_id", 0}}}};
  check("/post_processor",
        {{"type", "TemplateProcessing"},
         {"single", {unknown}},
         {"pair", json::array()},
         {"special_tokens", json::object()}},
        "post_processor uses \"[CLS]\", which is not among its special_tokens");
  expect_error([&] { Tokenizer::load(write("text.json", "{\"model\": ]")); },
               temporary("text.json") + ": not valid JSON at byte 10");
  expect_error([&] { Tokenizer::load(write("text.json", std::string(100000, '['))); }, "nested deeper");
  expect_error([&] { Tokenizer::load(write("text.json", "[]")); }, "found no \"model\"");
  expect_error([] { Tokenizer::load("/nonexistent/tokenizer.json"); }, "/nonexistent/tokenizer.json");
  expect_error([] { Tokenizer::load(testing::TempDir()); },
               testing::TempDir() + " holds no tokenizer, expected tokenizer.json, ");
  expect_error([] { default_tokenizer().save("/nonexistent/tokenizer.json"); }, "/nonexistent/tokenizer.json");
}

TEST_F(TokenizerFiles, DamagedTokenizerJsonLoadsOrThrowsError) {
  const std::string good = small_json().dump();
  Rng rng(3);
  int errors = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = good;
    for (std::int64_t n = rng.below(4); n >= 0; --n) {
      damaged[static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(good.size())))] =
          static_cast<char>(rng.below(128));
    }
    if (i % 4 == 0) damaged.resize(static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(good.size()))));
    try {
      Tokenizer::load(write("damaged.json", damaged)).encode("abcd 日本");
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 200);
}

}  // namespace
}  // namespace fovea::text
