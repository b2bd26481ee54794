#include "fovea/text/caption_words.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

namespace fovea::text {
namespace {

TEST(CaptionWords, AreCleanedAndCut) {
  const std::tuple<const char*, const char*, int> cases[] = {
      {"A red-roofed House, 1920x1080!", "a red-roofed house 1920x1080", 4},
      {"", "", 0},
      {" \t ", "", 0},
      {"...!? -- ", "", 0},
      {"don't (stop) 'now'", "don't stop now", 3},
      {"a&amp;b &lt;p&gt; caf&eacute;", "a&b p café", 3},
      {"\xC3\x89T\xC3\x89\xC2\xA0\xC3\x80 \xC2\xABla plage\xC2\xBB", "été à la plage", 4},
      {"E\xCC\x81t\xC3\xA9", "été", 1},  // NFC
      {"赤い車", "赤 い 車", 3},
      {"日本の猫 cat", "日 本 の 猫 cat", 5},
      {"❤ heart ❤", "heart", 1},
      {"빨간 자동차", "빨간 자동차", 2},
      {"รถสีแดง", "รถสีแดง", 1},
      {"लाल कार।", "लाल कार", 2},
      {"caf\xE9", "caf", 1},  // U+FFFD is no letter
      {"x_1 _y_", "x_1 y", 2},
  };
  for (const auto& [caption, words, count] : cases) {
    std::string out;
    EXPECT_EQ(append_caption_words(caption, out), count) << caption;
    EXPECT_EQ(out, words) << caption;
  }
}

TEST(CaptionWords, AreAppended) {
  std::string out = "before";
  EXPECT_EQ(append_caption_words("!", out), 0);
  EXPECT_EQ(append_caption_words("One", out), 1);
  EXPECT_EQ(out, "beforeone");
}

// ASCII has a way of its own, which must give the same.
TEST(CaptionWords, AreTheSameWhateverStandsBeside) {
  for (int c = 0; c < 128; ++c) {
    if (c == '&') continue;
    const std::string text = std::string("A b") + static_cast<char>(c) + "c" + static_cast<char>(c) + " D";
    std::string plain, other;
    append_caption_words(text, plain);
    append_caption_words(text + " é", other);
    EXPECT_EQ(plain + " é", other) << c;
  }
}

}  // namespace
}  // namespace fovea::text
