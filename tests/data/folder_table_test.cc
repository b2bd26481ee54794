#include "fovea/data/folder_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "fovea/data/image_text_dataset.h"
#include "test_files.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

// Files are not looked into, so their contents do not matter.
void touch(const TempFolder& folder, const std::string& name, const std::string& contents = "") {
  fs::create_directories(fs::path(folder / name).parent_path());
  folder.write(name, contents);
}

std::vector<std::string> rows_of(const Table& table) {
  std::vector<std::string> rows;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    std::string text;
    for (std::size_t c = 0; c < table.columns().size(); ++c) {
      for (const std::string_view value : table.values(row, static_cast<std::int64_t>(c))) {
        text += concat(text.empty() ? "" : "|", value);
      }
    }
    rows.push_back(text);
  }
  return rows;
}

using Rows = std::vector<std::string>;

TEST(FolderTable, CaptionsStandBesideTheirPictures) {
  const TempFolder folder;
  touch(folder, "b.jpg"), touch(folder, "b.txt", "\xEF\xBB\xBF one \r\n\r\ntwo words\n");
  touch(folder, "deep/er/a ä.PNG"), touch(folder, "deep/er/a ä.txt", "three");
  touch(folder, "no text.jpeg"), touch(folder, "empty.png"), touch(folder, "empty.txt");
  touch(folder, "notes.txt", "about nothing"), touch(folder, "c.gif");
  testing::internal::CaptureStderr();
  const Table table = read_folder(folder.path());
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(table.columns(), (std::vector<std::string>{"image", "caption"}));
  EXPECT_EQ(rows_of(table), (Rows{"b.jpg|one|two words", "deep/er/a ä.PNG|three"}));
  EXPECT_NE(warnings.find("2 of 4 pictures have no text file with a caption and are left out; the first: empty.png"),
            std::string::npos)
      << warnings;
}

TEST(FolderTable, NamesAreCaptionsOtherwise) {
  const TempFolder folder;
  touch(folder, "sea_lions/1.png"), touch(folder, "dogs/2.png"), touch(folder, "dogs/big/red-dog_3.png");
  touch(folder, "a_cat.jpg"), touch(folder, ".hidden.png"), touch(folder, ".git/x.png");
  EXPECT_EQ(
      rows_of(read_folder(folder.path())),
      (Rows{"a_cat.jpg|a cat", "dogs/2.png|dogs", "dogs/big/red-dog_3.png|red dog 3", "sea_lions/1.png|sea lions"}));
}

TEST(FolderTable, FoldersNameTheSplits) {
  const TempFolder folder;
  touch(folder, "train/dogs/1.png"), touch(folder, "train/dogs/2.png"), touch(folder, "test/dogs/3.png");
  touch(folder, "test/a_cat.png");
  EXPECT_EQ(rows_of(read_folder(folder.path())), (Rows{"test/a_cat.png|a cat|test", "test/dogs/3.png|dogs|test",
                                                       "train/dogs/1.png|dogs|train", "train/dogs/2.png|dogs|train"}));
  EXPECT_EQ(split_names(folder.path(), "split"), (std::vector<std::string>{"test", "train"}));
  DatasetOptions options;
  options.split = "train";
  EXPECT_EQ(ImageTextDataset(folder.path(), options).size(), 2);
}

TEST(FolderTable, LinksAndOddFilesDoNoHarm) {
  const TempFolder folder;
  touch(folder, "real/a.png");
  fs::create_directories(folder / "folder.png");
  fs::create_directory_symlink(folder.path(), folder / "real/loop");
  fs::create_directory_symlink(folder / "real", folder / "twice");
  fs::create_symlink("nowhere.png", folder / "broken.png");
  EXPECT_EQ(rows_of(read_folder(folder.path())).size(), 2u);  // the picture once, and the broken link for the loader
  const TempFolder elsewhere;
  touch(elsewhere, "x.png");
  fs::create_directory_symlink(elsewhere.path(), folder / "elsewhere");
  EXPECT_EQ(rows_of(read_folder(folder.path())).size(), 3u);
  fs::create_symlink("self", folder / "self");
  EXPECT_EQ(rows_of(read_folder(folder.path())).size(), 3u);
}

TEST(FolderTable, UnreadableFoldersAreNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const TempFolder folder;
  touch(folder, "a.png"), touch(folder, "locked/b.png");
  fs::permissions(folder / "locked", fs::perms::none);
  testing::internal::CaptureStderr();
  EXPECT_EQ(read_folder(folder.path()).rows(), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("locked: Permission denied"), std::string::npos);
  fs::permissions(folder / "locked", fs::perms::owner_all);
}

TEST(FolderTable, NoPicturesIsAnError) {
  const TempFolder folder;
  EXPECT_EQ(error_of([&] { read_folder(folder.path()); }), "[folder] no PNG or JPEG picture in " + folder.path());
  touch(folder, "a.webp");
  EXPECT_NE(error_of([&] { ImageTextDataset(folder.path(), {}); }).find("hint: " + folder / "a.webp"),
            std::string::npos);
}

TEST(FolderTable, WithoutSplitsAllRowsAreUsed) {
  const TempFolder folder;
  touch(folder, "a.png");
  DatasetOptions options;
  options.split = "train";
  EXPECT_NE(error_of([&] { ImageTextDataset(folder.path(), options); }).find("when split_column is empty"),
            std::string::npos);
  options.split = options.split_column = "";
  EXPECT_EQ(ImageTextDataset(folder.path(), options).eval_text(0), "a");
}

}  // namespace
}  // namespace fovea::data
