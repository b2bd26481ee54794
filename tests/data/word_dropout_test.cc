#include "fovea/data/word_dropout.h"

#include <gtest/gtest.h>

#include <map>

namespace fovea::data {
namespace {

TEST(WordDropout, KeepsTheOrderAndAtLeastOneWord) {
  Rng rng(3);
  std::map<std::string, int> counts;
  for (int i = 0; i < 8000; ++i) ++counts[drop_words("a  b c ", 0.5, rng)];
  EXPECT_EQ(counts.size(), 7u);  // every choice of at least one word, and nothing else
  // One word is protected: each word stays with probability 1/3 + 2/3 * 1/2; all stay with 1/4, one alone with 1/12.
  EXPECT_NEAR(counts["a b c"], 2000, 150);
  for (const char* word : {"a", "b", "c"}) EXPECT_NEAR(counts[word], 667, 100);
  EXPECT_NEAR(counts["a c"], 1333, 130);
}

TEST(WordDropout, TheEndsOfTheRange) {
  Rng rng(3);
  EXPECT_EQ(drop_words("one two", 0, rng), "one two");
  const std::string one = drop_words("one two", 1, rng);
  EXPECT_TRUE(one == "one" || one == "two");
  EXPECT_EQ(drop_words("", 1, rng), "");
  EXPECT_EQ(drop_words("single", 1, rng), "single");
}

}  // namespace
}  // namespace fovea::data
