#include "fovea/text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
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

TEST(Tokenizer, TakesVeryLongWords) {
  const std::string text(100000, 'a');
  const Ids ids = default_tokenizer().encode(text);
  EXPECT_EQ(default_tokenizer().decode(ids), text);
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
  root["decoder"] = {{"type", "ByteLevel"}};
  root["padding"] = {{"strategy", "BatchLongest"}};
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
  expect_equal(Tokenizer::load_merges(path, 517), small_tokenizer());
  const std::string own = write("own_merges.txt", default_tokenizer().merges_text());
  expect_equal(Tokenizer::load_merges(own, 4096), default_tokenizer());
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
  check("/model/type", "WordPiece", "the model is \"WordPiece\", expected \"BPE\"");
  check("/model/end_of_word_suffix", nullptr, "end_of_word_suffix is null, expected \"</w>\"");
  check("/model/ignore_merges", true, "the model's ignore_merges is true");
  check("/model", 3, "end_of_word_suffix is null");
  check("/model/vocab", json::array(), "\"vocab\" is array, expected an object");
  check("/model/vocab/a", "x", "the id of a is \"x\", expected a whole number");
  check("/model/vocab/a", 1 << 20, "the id of \"a\" is 1048576, expected 0 to 516");
  check("/model/vocab/a", id_of('b'), "two entries have the id 65");
  check("/model/vocab/日", 517, "the entry \"日\" is not spelled in byte symbols");
  check("/model/vocab/<|endoftext|>", 3, "\"<|endoftext|>\" has the ids 3 and 516");
  check("/model/merges", "a b", "\"merges\" is string");
  check("/model/merges/0", "ab", "found the merge \"ab\", expected");
  check("/model/merges/0", json::array({"a", "b", "c"}), "found the merge [\"a\",\"b\",\"c\"], expected");
  check("/model/merges/0", "a q", "the merge \"a q\" needs \"aq\"");
  check("/added_tokens", nullptr, "\"added_tokens\" is null");
  check("/added_tokens/0/special", false, "the added token \"<|startoftext|>\" is not special");
  check("/added_tokens/0", json::object(), "\"content\" is missing");
  check("/normalizer", nullptr, "found the normalizer null");
  check("/normalizer/normalizers/1/pattern", "x", "found the normalizer");
  check("/normalizer/normalizers", json::array(), "the normalizer has no Lowercase");
  check("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\s", "the pre_tokenizer has no Split by");
  check("/pre_tokenizer/pretokenizers/1/add_prefix_space", true, "the pre_tokenizer has no ByteLevel");
  check("/pre_tokenizer/pretokenizers/0", 7, "\"type\" is missing");
  check("/post_processor/type", "TemplateProcessing",
        "post_processor is TemplateProcessing, expected RobertaProcessing");
  check("/post_processor/cls", "x", "the post_processor's cls is \"x\"");
  check("/post_processor/sep/0", "a", "the post_processor's sep [\"a\",516] is not among the added tokens");

  json missing = good;
  missing["model"]["vocab"].erase("!");
  missing["model"]["vocab"]["!!"] = 0;
  expect_error([&] { Tokenizer::load(write("missing.json", missing.dump())); },
               "the vocabulary lacks the byte 33, spelled \"!\"");
  expect_error([&] { Tokenizer::load(write("text.json", "{\"model\": ]")); },
               temporary("text.json") + ": not valid JSON at byte 10");
  expect_error([&] { Tokenizer::load(write("text.json", std::string(100000, '['))); }, "nested deeper");
  expect_error([&] { Tokenizer::load(write("text.json", "[]")); }, "found no \"model\"");
  expect_error([] { Tokenizer::load("/nonexistent/tokenizer.json"); }, "/nonexistent/tokenizer.json");
  expect_error([] { Tokenizer::load(testing::TempDir()); }, "cannot read " + testing::TempDir());
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
