#include "fovea/io/tar.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "../support/error_of.h"
#include "../support/tar_bytes.h"
#include "../support/temp_folder.h"
#include "fovea/image/decode.h"

namespace fovea::io {
namespace {

using namespace fovea::tests;

using Files = std::vector<std::pair<std::string, std::string>>;

Files files_of(const std::string& path) {
  TarReader reader(path);
  Files files;
  while (reader.next()) {
    EXPECT_GE(reader.bytes(), 0);
    files.emplace_back(reader.name(), reader.read());
  }
  return files;
}

class Tar : public testing::Test {
 protected:
  void SetUp() override {
    const std::string error = error_of([] { TarReader reader("/no/such"); });
    if (error.find("has no libarchive") != std::string::npos) GTEST_SKIP() << "this build has no libarchive";
  }
  TempFolder folder_;
};

const std::string small = "hello", large(3000, 'x');

TEST_F(Tar, ReadsEveryKindOfHeader) {
  const std::string long_name = std::string(120, 'd') + "/" + std::string(150, 'n') + ".txt";
  const std::string base256("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12);
  const std::string tar = tar_entry({"old.txt", small, '\0', old_magic}) +                      // before POSIX
                          tar_entry({"ustar.txt", large}) +                                     //
                          tar_entry({"b.txt", small, '0', tests::TarEntry{}.magic, "", "a"}) +  // ustar's prefix
                          tar_entry({"gnu.txt", small, '0', gnu_magic, base256}) +              //
                          gnu_long_name(long_name) + tar_entry({"cut", small, '0', gnu_magic}) +
                          pax_header(pax_record("path", "päx/名.txt") + pax_record("mtime", "1.5") +
                                     pax_record("SCHILY.xattr.user.odd", "1") + pax_record("size", "5")) +
                          tar_entry({"ignored", small}) + tar_entry({"global", pax_record("comment", "all"), 'g'}) +
                          tar_entry({"last.txt", ""}) + tar_end;
  EXPECT_EQ(files_of(folder_.write("a.tar", tar)), (Files{{"old.txt", small},
                                                          {"ustar.txt", large},
                                                          {"a/b.txt", small},
                                                          {"gnu.txt", small},
                                                          {long_name, small},
                                                          {"päx/名.txt", small},
                                                          {"last.txt", ""}}));
}

TEST_F(Tar, PassesOverWhatIsNoFile) {
  const std::string tar = tar_entry({"folder/", "", '5'}) +
                          tar_entry({"link", "", '2', TarEntry{}.magic, "", "", "a"}) + tar_entry({"a", small}) +
                          tar_entry({"hard", "", '1', TarEntry{}.magic, "", "", "a"}) + tar_entry({"pipe", "", '6'}) +
                          tar_entry({"b", small}) + tar_end;
  EXPECT_EQ(files_of(folder_.write("a.tar", tar)), (Files{{"a", small}, {"b", small}}));
}

TEST_F(Tar, ReadsCompressedArchives) {
  std::string tar;
  Files expected;
  for (int i = 0; i < 200; ++i) {
    expected.emplace_back(std::to_string(i), std::string(1000, static_cast<char>('a' + i % 26)));
    tar += tar_entry({expected.back().first, expected.back().second});
  }
  tar += tar_end;
  EXPECT_EQ(files_of(folder_.write("a.tar.gz", gzip_stored(tar))), expected);
  EXPECT_EQ(files_of(folder_.write("a.tar.zst", zstd_raw(tar))), expected);
  TarReader packed(folder_ / "a.tar.gz");
  ASSERT_TRUE(packed.next());
  EXPECT_EQ(packed.offset(), -1);
}

TEST_F(Tar, FilesThatAreNotReadArePassedOver) {
  const std::string path =
      folder_.write("a.tar", tar_entry({"a", large}) + tar_entry({"b", small}) + tar_entry({"c", large}) + tar_end);
  TarReader reader(path);
  ASSERT_TRUE(reader.next());
  ASSERT_TRUE(reader.next());
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.name(), "c");
  EXPECT_EQ(reader.read(), large);
  EXPECT_FALSE(reader.next());
}

TEST_F(Tar, MembersHaveNamesOfTheirOwn) {
  const std::string path =
      folder_.write("a#1.tar", tar_entry({"a", large}) + pax_header(pax_record("path", "sub/b.png")) +
                                   tar_entry({"x", small}) + tar_end);
  TarReader reader(path);
  Files files;
  while (reader.next()) {
    const std::string name = member_path(path, reader.offset(), reader.bytes(), reader.name());
    EXPECT_TRUE(name.ends_with("/" + reader.name()));
    EXPECT_EQ(read_member(name), reader.read());
    EXPECT_EQ(image::read_picture_file(name), read_member(name));
  }
  EXPECT_EQ(member_path("a.tar", 512, 5, "x/y.png"), "a.tar#512+5/x/y.png");
  for (const char* other : {"a.tar", "a.tar#512", "a.tar#512+5", "a#b+c/d", "#", "a.tar#512/5"})
    EXPECT_FALSE(read_member(other)) << other;
  EXPECT_NE(error_of([&] { read_member(path + "#99999+5/x"); }).find("[tar] " + path + ": 5 bytes at byte 99999"),
            std::string::npos);
}

TEST_F(Tar, ErrorsSayHowFarItWent) {
  const std::string two = tar_entry({"one.jpg", large}) + tar_entry({"two.jpg", large});
  const auto error = [&](const std::string& bytes) {
    const std::string path = folder_.write("bad.tar", bytes);
    return error_of([&] { files_of(path); });
  };
  const std::string name = "[tar] " + folder_ / "bad.tar";
  const std::string in_the_middle = error(two.substr(0, 512 + 3072 + 512 + 1000));
  EXPECT_TRUE(in_the_middle.starts_with(name + " is damaged or cut short in two.jpg (file 2 of it): "))
      << in_the_middle;
  EXPECT_TRUE(error(two.substr(0, 512 + 3072 + 100)).starts_with(name + " is damaged or cut short after one.jpg"));
  std::string damaged = two;
  damaged[512 + 3072 + 20] = 'X';  // of the second header, whose checksum is wrong now
  EXPECT_TRUE(error(damaged + tar_end).starts_with(name + " is damaged or cut short after one.jpg (file 1 of it): "));
  EXPECT_TRUE(error("not a tar archive").starts_with(name + " is no tar archive: "));
  EXPECT_TRUE(error(std::string(5000, 'x')).starts_with(name + " is no tar archive: "));
  const std::string gz = gzip_stored(tar_entry({"one.jpg", std::string(200000, 'x')}) + two + tar_end);
  const std::string packed = error(gz.substr(0, gz.size() - 5000));
  EXPECT_TRUE(packed.starts_with(name + " is damaged or cut short")) << packed;
  // A size that is not believed.
  const std::string huge = tar_entry({"huge.jpg", "", '0', TarEntry{}.magic, "77777777777"});
  EXPECT_TRUE(error(huge + std::string(100, 'x')).starts_with(name + " is damaged or cut short in huge.jpg"));
  EXPECT_NE(error_of([] { TarReader reader("/no/such.tar"); }).find("cannot open /no/such.tar"), std::string::npos);
  EXPECT_NE(error_of([] { TarReader reader("/dev/zero"); }).find("is not a regular file"), std::string::npos);
}

TEST_F(Tar, OneWithoutItsEndIsWhole) {
  EXPECT_EQ(files_of(folder_.write("a.tar", tar_entry({"a", small}) + tar_entry({"b", small}))).size(), 2u);
  EXPECT_TRUE(files_of(folder_.write("b.tar", tar_end)).empty());
}

TEST_F(Tar, WhatIsWrittenIsReadByAll) {
  const std::string path = folder_ / "w.tar";
  {
    TarWriter writer(path);
    writer.add("000.txt", small);
    writer.add("sub/001.bin", large);
    writer.add("empty", "");
    EXPECT_NE(error_of([&] { writer.add(std::string(101, 'n'), ""); }).find("has 101 bytes, expected 1 to 100"),
              std::string::npos);
    writer.commit();
  }
  EXPECT_EQ(read_file(path),
            tar_entry({"000.txt", small}) + tar_entry({"sub/001.bin", large}) + tar_entry({"empty", ""}) + tar_end);
  EXPECT_EQ(files_of(path), (Files{{"000.txt", small}, {"sub/001.bin", large}, {"empty", ""}}));
  { TarWriter abandoned(folder_ / "none.tar"); }
  EXPECT_NE(error_of([&] { TarReader reader(folder_ / "none.tar"); }), "");
  if (std::system("tar --version > /dev/null 2>&1") == 0) {
    EXPECT_EQ(std::system(("tar tf " + path + " > /dev/null").c_str()), 0);
  }
}

}  // namespace
}  // namespace fovea::io
