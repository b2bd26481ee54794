#include "fovea/data/shard_reader.h"

#include <gtest/gtest.h>

#include "../support/tar_bytes.h"
#include "test_files.h"

namespace fovea::data {
namespace {

using tests::tar_entry;

// "key: suffix=contents suffix=" of every sample.
std::string samples_of(const std::string& path, const std::vector<std::string>& read) {
  ShardReader reader(path, read);
  std::string text;
  while (const std::optional<ShardSample> sample = reader.next()) {
    text += sample->key + ":";
    for (const ShardMember& member : sample->members) text += " " + member.suffix + "=" + member.contents;
    text += "\n";
  }
  return text;
}

class Shard : public testing::Test {
 protected:
  void SetUp() override {
    const std::string error = error_of([] { io::TarReader reader("/no/such"); });
    if (error.find("has no libarchive") != std::string::npos) GTEST_SKIP() << "this build has no libarchive";
  }
  // Files with their own names as contents.
  std::string tar(const std::vector<std::string>& names) {
    std::string bytes;
    for (const std::string& name : names) bytes += tar_entry({name, name});
    return folder_.write("a.tar", bytes + tests::tar_end);
  }
  TempFolder folder_;
};

// The names that the regular expressions of webdataset 1.0 and open_clip 3 give, written out.
TEST(ShardNames, AreSplitAsWebdatasetSplits) {
  const struct {
    const char *name, *key, *suffix;
  } cases[]{{"0001.jpg", "0001", "jpg"},
            {"a/b/0001.seg.PNG", "a/b/0001", "seg.png"},
            {"a.b/c.d", "a.b/c", "d"},
            {"./0001.txt", "./0001", "txt"},
            {"x.", "x", ""},
            {"/abs.txt", "/abs", "txt"},
            {"a/.hidden.jpg", "a/", "hidden.jpg"},
            {"a.b/c/.hidden", "a.b/c/", "hidden"},
            {"__a.b", "__a", "b"},
            {"a/__b__/c.d", "a/__b__/c", "d"},
            {"ä/ß.jpg", "ä/ß", "jpg"}};
  for (const auto& c : cases) {
    const std::optional<MemberName> parts = parse_member_name(c.name);
    ASSERT_TRUE(parts) << c.name;
    EXPECT_EQ(parts->key, c.key) << c.name;
    EXPECT_EQ(parts->suffix, c.suffix) << c.name;
  }
  for (const char* none :
       {"", "noextension", ".hidden", "a.b/c", "a.b/.hidden", "__meta__", "__a.b__", "__meta__/x.jpg", "a/"})
    EXPECT_FALSE(parse_member_name(none)) << none;
}

TEST_F(Shard, NeighboursWithOneKeyAreASample) {
  EXPECT_EQ(samples_of(tar({"0.jpg", "0.txt", "1.JPG", "1.json", "1.txt", "x/1.jpg"}), {"txt"}),
            "0: jpg= txt=0.txt\n1: jpg= json= txt=1.txt\nx/1: jpg=\n");
}

TEST_F(Shard, ASuffixThatComesAgainBeginsTheNext) {
  EXPECT_EQ(samples_of(tar({"0.jpg", "0.txt", "0.jpg", "0.txt", "1.txt", "0.jpg"}), {}),
            "0: jpg= txt=\n0: jpg= txt=\n1: txt=\n0: jpg=\n");
  EXPECT_EQ(samples_of(tar({"0.jpg", "0.JPG"}), {"jpg"}), "0: jpg=0.jpg\n0: jpg=0.JPG\n");
}

TEST_F(Shard, OtherFilesBelongToNone) {
  EXPECT_EQ(samples_of(tar({"README", "0.jpg", "__index__", ".x", "0.txt"}), {}), "0: jpg= txt=\n");
  EXPECT_EQ(samples_of(tar({}), {}), "");
}

TEST_F(Shard, WhatCameBeforeTheDamageIsDelivered) {
  const std::string bytes =
      tar_entry({"0.jpg", "a"}) + tar_entry({"0.txt", "b"}) + tar_entry({"1.jpg", std::string(900, 'x')});
  ShardReader reader(folder_.write("cut.tar", bytes.substr(0, bytes.size() - 700)), {"jpg", "txt"});
  EXPECT_EQ(reader.next()->key, "0");
  EXPECT_NE(error_of([&] { reader.next(); }).find("cut.tar is damaged or cut short in 1.jpg"), std::string::npos);
}

TEST_F(Shard, ASampleBeforeADamagedHeaderIsWhole) {
  ShardReader reader(
      folder_.write("cut.tar", tar_entry({"0.jpg", "a"}) + tar_entry({"0.txt", "b"}) + std::string(512, 'x')),
      {"jpg", "txt"});
  EXPECT_EQ(reader.next()->members.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NE(error_of([&] { reader.next(); }).find("cut.tar is damaged or cut short after 0.txt"), std::string::npos);
  }
}

TEST_F(Shard, PassesOverSamples) {
  const std::string path = tar({"0.jpg", "0.txt", "1.jpg", "1.txt"});
  ShardReader reader(path, {"jpg", "txt"});
  EXPECT_EQ(reader.next(false)->members[1].contents, "");
  const std::optional<ShardSample> sample = reader.next();
  EXPECT_EQ(sample->find({"webp", "txt"})->contents, "1.txt");
  EXPECT_EQ(sample->find({"webp"}), nullptr);
  const ShardMember& member = sample->members[0];
  EXPECT_EQ(io::read_member(io::member_path(path, member.offset, member.bytes, member.name)), "1.jpg");
  EXPECT_FALSE(reader.next());
}

}  // namespace
}  // namespace fovea::data
