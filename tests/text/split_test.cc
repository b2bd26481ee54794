#include "fovea/text/split.h"

#include <gtest/gtest.h>

#include <string>

#include "fovea/text/clean.h"

namespace fovea::text {
namespace {

using Words = std::vector<std::string_view>;

TEST(Split, KeepsLettersTogetherAndDigitsApart) {
  EXPECT_EQ(split_words("a cat, 2 dogs!"), (Words{"a", "cat", ",", "2", "dogs", "!"}));
  EXPECT_EQ(split_words("1234 x2y"), (Words{"1", "2", "3", "4", "x", "2", "y"}));
  EXPECT_EQ(split_words("foo_bar-baz..."), (Words{"foo", "_", "bar", "-", "baz", "..."}));
  EXPECT_EQ(split_words("½ⅷ٣"), (Words{"½", "ⅷ", "٣"}));
}

TEST(Split, CutsContractionsWhereverAWordMayBegin) {
  EXPECT_EQ(split_words("it's we'll i'd they've you're i'm can't"),
            (Words{"it", "'s", "we", "'ll", "i", "'d", "they", "'ve", "you", "'re", "i", "'m", "can", "'t"}));
  EXPECT_EQ(split_words("'saw"), (Words{"'s", "aw"}));
  EXPECT_EQ(split_words("!'s"), (Words{"!'", "s"}));  // the run of signs takes the apostrophe first
  EXPECT_EQ(split_words("o'clock '"), (Words{"o", "'", "clock", "'"}));
}

TEST(Split, FollowsUnicodeCategories) {
  EXPECT_EQ(split_words("улыбка 笑脸。にっこり"), (Words{"улыбка", "笑脸", "。", "にっこり"}));
  // Vowel signs are marks, not letters.
  EXPECT_EQ(split_words("हिंदी"), (Words{"ह", "िं", "द", "ी"}));
  EXPECT_EQ(split_words("👩‍🚀🇩🇪"), (Words{"👩‍🚀🇩🇪"}));
}

TEST(Split, DropsUnicodeWhiteSpaceAndNothingElse) {
  EXPECT_EQ(split_words(" \t\n\v\f\r\u0085\u00a0\u1680\u2007\u2028\u2029\u202f\u205f\u3000"), Words{});
  EXPECT_EQ(split_words("\u200b"), Words{"\u200b"});
  EXPECT_EQ(split_words(""), Words{});
}

TEST(Split, MayIgnoreCase) {
  EXPECT_EQ(split_words("it'ſ a\u0345b", Case::ignored), (Words{"it", "'ſ", "a", "b"}));
  EXPECT_EQ(split_words("it'ſ a\u0345b"), (Words{"it", "'", "ſ", "a", "\u0345", "b"}));
}

TEST(Split, KeepsSpacesWithGpt2sWords) {
  EXPECT_EQ(split_gpt2_words("It's 2024,  and\n\n we're"),
            (Words{"It", "'s", " 2024", ",", " ", " and", "\n\n", " we", "'re"}));
  EXPECT_EQ(split_gpt2_words("  \n"), Words{"  \n"});
  EXPECT_EQ(split_gpt2_words("a\tb \u3000c"), (Words{"a", "\t", "b", " ", "\u3000", "c"}));
  EXPECT_EQ(split_gpt2_words(" 's ''s"), (Words{" '", "s", " ''", "s"}));
  EXPECT_EQ(split_gpt2_words(""), Words{});
}

TEST(Split, TakesIllFormedTextWithoutHarm) {
  EXPECT_EQ(split_words("a\xffz\xe2\x82"), (Words{"a", "\xff", "z", "\xe2\x82"}));
}

}  // namespace
}  // namespace fovea::text
