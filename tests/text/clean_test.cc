#include "fovea/text/clean.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fovea::text {
namespace {

using Cases = std::vector<std::pair<std::string, std::string>>;

// Expected values by Python's bytes.decode("utf-8", "replace").
TEST(Clean, ReplacesIllFormedBytesAsPythonDoes) {
  const Cases cases{{"\xe2\x82", "\ufffd"},
                    {"\xe2\x82z", "\ufffdz"},
                    {"\xf0\x80\x80", "\ufffd\ufffd\ufffd"},  // overlong
                    {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},  // a surrogate
                    {"\xc0\xaf", "\ufffd\ufffd"},
                    {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},  // above U+10FFFF
                    {"z\xffz", "z\ufffdz"},
                    {"\xf0\x9f\x98\xe2\x82\xac", "\ufffd€"},
                    {"é😀", "é😀"}};
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(replace_invalid_utf8(text), expected) << testing::PrintToString(text);
    EXPECT_EQ(clean(text), expected) << testing::PrintToString(text);
  }
}

// Expected values by Python's html.unescape.
TEST(Clean, UnescapesHtmlAsPythonDoes) {
  const Cases cases{{"&amp;amp;", "&amp;"},
                    {"&lt;b&gt;", "<b>"},
                    {"&eacute &eacutex &eacute;", "é éx é"},
                    {"&#233;&#xE9;&#XE9z", "éééz"},
                    {"&#x110000; &#99999999999999999999;", "\ufffd \ufffd"},
                    {"&#0;", "\ufffd"},
                    {"&#128;&#159;", "€Ÿ"},
                    {"&#xD800;", "\ufffd"},
                    {"&#1;&#xfdd0;&#xFFFF;|", "|"},
                    {"&notit; &notin; &nosuch; & &; &#; &#x; &#xg", "¬it; ∉ &nosuch; & &; &#; &#x; &#xg"},
                    {"&ampamp;", "&amp;"},
                    {"&CounterClockwiseContourIntegral;", "∳"},
                    {"&NotEqualTilde;", "≂\u0338"},
                    {"&Tab;&NewLine;", "\t\n"},
                    {"&a&b&amp&lt", "&a&b&<"},
                    {"&#13;x", "\rx"},
                    {"&AMP &Amp;", "& &Amp;"},
                    {"&é;", "&é;"},
                    {"&", "&"},
                    {"&#", "&#"},
                    {"&#65", "A"},
                    {"&AElig;&zwnj;&quot&yuml", "Æ\u200c\"ÿ"},  // first and last names of the table
                    {"", ""}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(unescape_html(text), expected) << text;
}

TEST(Clean, ComposesAsNfc) {
  EXPECT_EQ(normal_form("e\u0301 A\u030a \u1100\u1161\u11a8", NormalForm::c), "é Å 각");
  EXPECT_EQ(normal_form("\u212b \u0958", NormalForm::c),
            "Å \u0915\u093c");  // a singleton, and one that composition leaves out
  EXPECT_EQ(normal_form("\u0061\u0323\u0307 \u0061\u0307\u0323", NormalForm::c), "ạ\u0307 ạ\u0307");
  EXPECT_EQ(normal_form("ﬁ ½", NormalForm::c), "ﬁ ½");  // compatibility forms stay
}

// Expected values by open_clip's cleaning.
TEST(Clean, CleansLikeOpenClip) {
  const Cases cases{{"“It’s” ﬁne…", "\"it's\" fine…"},
                    {"ＬＯＵＤ　ｶﾞ", "loud ガ"},
                    {"\x1b[36;44mblue\x1b[0m\x07", "blue"},
                    {"a\u0093b\u0094", "a\"b\""},
                    {"&EACUTE; &amp;amp;amp;amp; &frac12", "é & ½"},
                    {"<b>&amp;amp;amp;</b>", "<b>&amp;</b>"},
                    {"ΟΔΟΣ ΣΑΣ. Σ", "οδος σας. σ"},
                    {"\xff", "\ufffd"}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(clean_like_open_clip(text), expected) << text;
  std::string unfolding = "x";
  for (int i = 0; i < 100000; ++i) unfolding += "&amp;amp;";
  EXPECT_FALSE(clean_like_open_clip("&" + std::string(300000, 'a') + unfolding).empty());
}

TEST(Clean, CollapsesWhiteSpace) {
  EXPECT_EQ(collapse_white_space(" a\t\n b\u00a0\u3000c\u2028\u0085 "), "a b c");
  EXPECT_EQ(collapse_white_space(" \n "), "");
  EXPECT_EQ(collapse_white_space("\u200b \ufeff"), "\u200b \ufeff");
}

TEST(Clean, LowerCasesAllScripts) {
  EXPECT_EQ(lower_case("AZ@[ ÀÞ ŞĞ ΑΩ АЯЁ ẞ Ⓐ Ⅷ ǅ"), "az@[ àþ şğ αω аяё ß ⓐ ⅷ ǆ");
  EXPECT_EQ(lower_case("İSTANBUL"), "i\u0307stanbul");
  EXPECT_EQ(lower_case("ΟΔΟΣ"), "οδοσ");
  EXPECT_EQ(lower_case("日本 हिं ไทย"), "日本 हिं ไทย");
}

TEST(Clean, DoesAllStepsInClipsOrder) {
  EXPECT_EQ(clean("  Tom &amp;amp; JERRY&nbsp;\n&amp;lt;3  CAFE\u0301 "), "tom & jerry <3 café");
  EXPECT_EQ(clean("&Eacute;"), "é");
  EXPECT_EQ(clean("&amp;amp;amp;"), "&amp;");  // twice, not more
  EXPECT_EQ(clean(std::string("a\0b", 3)), std::string("a\0b", 3));
  EXPECT_EQ(clean(""), "");
}

}  // namespace
}  // namespace fovea::text
