#include "fovea/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "shipped_texts.h"

namespace fovea::text {
namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

// The definition, with everything counted anew for each merge. Words are of lower-case letters, whose ids are their
// places after '!', 256 more at a word's end.
struct SlowTrainer {
  std::vector<std::pair<std::vector<std::int32_t>, std::int64_t>> words;

  explicit SlowTrainer(const WordCounts& counts) {
    for (const auto& [word, count] : counts) {
      std::vector<std::int32_t> ids;
      for (std::size_t i = 0; i < word.size(); ++i) {
        ids.push_back(word[i] - '!' + (i + 1 == word.size() ? 256 : 0));
      }
      words.emplace_back(ids, count);
    }
  }

  Pair best_pair() {
    std::map<Pair, std::int64_t> frequency;
    for (const auto& [ids, count] : words) {
      for (std::size_t i = 1; i < ids.size(); ++i) frequency[{ids[i - 1], ids[i]}] += count;
    }
    Pair best = frequency.begin()->first;
    for (const auto& [pair, count] : frequency) {  // in the order of the ids, so that the first of equals stays
      if (count > frequency[best]) best = pair;
    }
    return best;
  }

  void apply(const Pair& pair, std::int32_t id) {
    for (auto& [ids, count] : words) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        if (Pair{ids[i], ids[i + 1]} != pair) continue;
        ids[i] = id;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
};

WordCounts random_words(std::uint64_t seed, std::int64_t letters) {
  Rng rng(seed);
  WordCounts counts;
  for (int i = 0; i < 60; ++i) {
    std::string word;
    const std::int64_t length = 1 + rng.below(9);
    for (std::int64_t c = 0; c < length; ++c) word += static_cast<char>('a' + rng.below(letters));
    counts[word] += 1 + rng.below(4);
  }
  return counts;
}

TEST(BpeTrainer, EqualsThePlainDefinition) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const WordCounts counts = random_words(seed, 2 + static_cast<std::int64_t>(seed) % 4);  // few letters: many "aaa"
    constexpr std::int32_t merge_count = 60;
    const std::vector<BpeMerge> merges = train_bpe(counts, 514 + merge_count);
    SlowTrainer slow(counts);
    for (std::int32_t i = 0; i < merge_count; ++i) {
      const Pair expected = slow.best_pair();
      const auto [left, right] = merges[static_cast<std::size_t>(i)];
      ASSERT_EQ((Pair{left, right}), expected) << "seed " << seed << ", merge " << i;
      slow.apply(expected, 512 + i);
    }
  }
}

TEST(BpeTrainer, CleansAndSplitsTexts) {
  WordCounts counts;
  count_words("A cat &amp; a CAT's 42", counts);
  EXPECT_EQ(counts, (WordCounts{{"&", 1}, {"'s", 1}, {"2", 1}, {"4", 1}, {"a", 2}, {"cat", 2}}));
  const std::vector<std::string> texts{"The CAT", "the cat sat"};
  const Tokenizer tokenizer(train_bpe(texts, 519));
  EXPECT_EQ(tokenizer.vocabulary_size(), 519);
  EXPECT_EQ(tokenizer.encode("cat").size(), 3u);
  EXPECT_EQ(tokenizer.encode("the").size(), 3u);
}

TEST(BpeTrainer, MakesTheDefaultVocabulary) {
  const Tokenizer trained(train_bpe(shipped::texts("train"), default_tokenizer().vocabulary_size()));
  EXPECT_EQ(trained.merges_text(), default_tokenizer().merges_text())
      << "run train_tokenizer --source src/text/default_vocabulary.cc";
}

TEST(BpeTrainer, SaysWhatIsMissing) {
  const std::vector<std::string> texts{"abc", ""};
  EXPECT_EQ(train_bpe(texts, 514).size(), 0u);
  EXPECT_EQ(train_bpe(texts, 516).size(), 2u);
  EXPECT_THROW(train_bpe(texts, 513), Error);
  try {
    train_bpe(texts, 600);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "[train_bpe] 1 distinct words give 2 merges, a vocabulary of 600 entries needs 86\n"
                 "hint: ask for at most 516 entries, or give more text");
  }
}

}  // namespace
}  // namespace fovea::text
