#include "fovea/data/shard_list.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "test_files.h"

namespace fovea::data {
namespace {

using Names = std::vector<std::string>;

TEST(Shards, BracesStandForNames) {
  EXPECT_EQ(expand_braces("a{000..002}.tar"), (Names{"a000.tar", "a001.tar", "a002.tar"}));
  EXPECT_EQ(expand_braces("a{8..11}"), (Names{"a8", "a9", "a10", "a11"}));
  EXPECT_EQ(expand_braces("{08..11}"), (Names{"08", "09", "10", "11"}));
  EXPECT_EQ(expand_braces("{0..010..5}"), (Names{"000", "005", "010"}));
  EXPECT_EQ(expand_braces("{3..1}"), (Names{"3", "2", "1"}));
  EXPECT_EQ(expand_braces("{-1..1}"), (Names{"-1", "0", "1"}));
  EXPECT_EQ(expand_braces("{0..9..4}"), (Names{"0", "4", "8"}));
  EXPECT_EQ(expand_braces("{a..c}"), (Names{"a", "b", "c"}));
  EXPECT_EQ(expand_braces("{train,val}-{0..1}"), (Names{"train-0", "train-1", "val-0", "val-1"}));
  EXPECT_EQ(expand_braces("{a{0..1},b,}x"), (Names{"a0x", "a1x", "bx", "x"}));
  for (const char* plain : {"a.tar", "{}", "{a}", "{0..x}", "{1..2..x}", "a{b", "a}b", "{0...2}", ""})
    EXPECT_EQ(expand_braces(plain), Names{plain}) << plain;
  EXPECT_EQ(expand_braces("{a}{0..1}"), (Names{"{a}0", "{a}1"}));
  EXPECT_NE(error_of([] { expand_braces("{0..9999999}"); }).find("stands for more than 1000000 names"),
            std::string::npos);
  EXPECT_NE(error_of([] { expand_braces("{0..99999}{0..99999}"); }).find("stands for more than"), std::string::npos);
}

TEST(Shards, AreListedFromAllSources) {
  const TempFolder folder;
  for (const char* name : {"a-00.tar", "a-01.tar", "b.tar.gz", "other.txt", ".hidden.tar"}) folder.write(name, "");
  const std::vector<Shard> shards = list_shards(folder / "a-{00..01}.tar" + "::" + folder / "b.tar.gz", "1::2.5");
  ASSERT_EQ(shards.size(), 3u);
  EXPECT_EQ(shards[1].path, folder / "a-01.tar");
  EXPECT_EQ(shards[1].weight, 1);
  EXPECT_EQ(shards[2].path, folder / "b.tar.gz");
  EXPECT_EQ(shards[2].weight, 2.5);
  EXPECT_EQ(list_shards(folder.path()).size(), 3u);
  EXPECT_TRUE(names_shards(folder.path()));
  EXPECT_TRUE(names_shards("x::y"));
  EXPECT_TRUE(names_shards("a/{00..31}.tar"));
  EXPECT_TRUE(names_shards("a/{00..31}.tar.zst"));
  EXPECT_FALSE(names_shards("a/pairs.csv"));
  EXPECT_FALSE(names_shards("a/{00..31}.csv"));
}

TEST(Shards, ErrorsNameWhatIsMissing) {
  const TempFolder folder;
  const std::string there = folder.write("0.tar", "");
  EXPECT_EQ(error_of([&] { list_shards(folder / "{0..2}.tar"); }),
            "[shards] 2 of 3 shards are missing or no files; the first: " + folder / "1.tar" +
                "\nhint: {000..031} counts to its last number, which must exist");
  EXPECT_NE(error_of([] { list_shards("pipe:curl -s x"); }).find("hint: shards are files of this machine"),
            std::string::npos);
  EXPECT_NE(error_of([&] { list_shards(there + "::"); }).find("has an empty source"), std::string::npos);
  EXPECT_NE(error_of([&] { list_shards(there, "1::2"); }).find("2 upsampling factors for 1 source"), std::string::npos);
  for (const char* factor : {"x", "0", "-1", "1x", ""}) {
    const std::string both = there + "::" + there;
    EXPECT_NE(error_of([&] { list_shards(both, std::string("1::") + factor); }).find("is no number above 0"),
              std::string::npos)
        << factor;
  }
  std::filesystem::create_directory(folder / "empty");
  EXPECT_NE(error_of([&] { list_shards(folder / "empty"); }).find("holds no tar archive"), std::string::npos);
}

}  // namespace
}  // namespace fovea::data
