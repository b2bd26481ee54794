#include "fovea/data/image_text_dataset.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "test_files.h"

namespace fovea::data {
namespace {

const std::string shipped = FOVEA_SOURCE_DIR "/data/emoji_clipart";
constexpr const char* small_table =
    "image\tsplit\tcaption\talt\tkeywords\n"
    "a.png\ttrain\tred\tscarlet\tone, two, three\n"
    "b.png\tval\tblue\t\t\n"
    "/abs/c.png\ttrain\t\tgreen\t\n";

DatasetOptions all_columns(const std::string& split) {
  DatasetOptions options;
  options.split = split;
  options.text_columns = {{"caption"}, {"alt", 2}, {"keywords", 1, ", "}};
  return options;
}

TEST(ImageTextDataset, ReadsTheShippedSplits) {
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"train", 6195},    {"val_style", 503},   {"test_style", 1109},  {"val_concept", 435},
      {"test_both", 183}, {"val_clipart", 152}, {"test_concept", 567}, {"test_clipart", 359}};
  for (const auto& [split, size] : sizes) {
    DatasetOptions options;
    options.split = split;
    EXPECT_EQ(ImageTextDataset(shipped, options).size(), size) << split;
  }
  EXPECT_EQ(ImageTextDataset(shipped, {}).size(), 9503);
}

TEST(ImageTextDataset, HoldsPathsAndTexts) {
  const TempFolder folder;
  const ImageTextDataset dataset(folder.write("pairs.tsv", small_table), all_columns("train"));
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset[0].image_path, folder.path() + "/a.png");
  EXPECT_EQ(dataset[1].image_path, "/abs/c.png");
  EXPECT_EQ(dataset.eval_text(0), "red");
  EXPECT_EQ(dataset.eval_text(1), "");
}

TEST(ImageTextDataset, AFolderMeansItsCaptions) {
  const TempFolder folder;
  folder.write("captions.tsv", small_table);
  EXPECT_EQ(ImageTextDataset(folder.path(), {}).size(), 3);
}

TEST(ImageTextDataset, TablesNeedNoSplits) {
  const TempFolder folder;
  const std::string path = folder.write("pairs.tsv", "image\tcaption\na b.png\tred\nb.png\tblue\n");
  DatasetOptions options;
  options.split_column = "";
  const ImageTextDataset dataset(path, options);
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset[0].image_path, folder / "a b.png");
  options.split = "train";
  EXPECT_EQ(error_of([&] { ImageTextDataset(path, options); }),
            "[dataset] split \"train\" is asked for, but split_column is empty, which means that there are no splits");
  options.split_column = "split";
  const std::string error = error_of([&] { ImageTextDataset(path, options); });
  EXPECT_NE(error.find("no column \"split\", its columns are image, caption\nhint: when split_column is empty"),
            std::string::npos)
      << error;
}

TEST(ImageTextDataset, ReadsTheWordsOfOpenClip) {
  const TempFolder folder;
  DatasetOptions options;
  options.image_column = "filepath";
  options.text_columns = {{"title"}};
  for (const char separator : {'\t', ','}) {
    const std::string text = concat("filepath", separator, "title\na.png", separator, "\"red, round\"\n");
    const ImageTextDataset dataset(folder.write("pairs.csv", text), options);
    EXPECT_EQ(dataset.eval_text(0), "red, round");
    EXPECT_EQ(dataset[0].image_path, folder / "a.png");
  }
}

TEST(ImageTextDataset, SeveralValuesShareTheColumnsWeight) {
  const TempFolder folder;
  const std::string path =
      folder.write("captions.jsonl", R"({"image": "a.png", "caption": ["one", "two", ""], "alt": "three"}
{"image": "b\nc.png", "alt": "four"}
)");
  DatasetOptions options;
  options.text_columns = {{"caption"}, {"alt", 2}};
  const ImageTextDataset dataset(folder.path(), options);
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset.eval_text(0), "one");
  EXPECT_EQ(dataset[1].image_path, folder / "b\nc.png");
  EXPECT_EQ(dataset.eval_text(1), "");
  Rng rng(4);
  std::map<std::string, int> counts;
  for (int i = 0; i < 6000; ++i) {
    ++counts[dataset.random_text(0, rng)];
    EXPECT_EQ(dataset.random_text(1, rng), "four");
  }
  EXPECT_NEAR(counts["one"], 6000.0 * (1.0 / 3) / (2.0 / 3 + 2), 100);
  EXPECT_NEAR(counts["two"], counts["one"], 150);
  EXPECT_NEAR(counts["three"], 6000.0 * 2 / (2.0 / 3 + 2), 150);
  EXPECT_EQ(path, folder / "captions.jsonl");
}

TEST(ImageTextDataset, OneBadRowStopsNobody) {
  const TempFolder folder;
  const std::string path =
      folder.write("pairs.tsv", "image\tcaption\na.png\tgood\nb.png\tcaf\xE9\n\tno picture\n\xE9.png\tx\n");
  testing::internal::CaptureStderr();
  const ImageTextDataset dataset(path, {});
  const std::string warnings = testing::internal::GetCapturedStderr();
  ASSERT_EQ(dataset.size(), 3);
  EXPECT_EQ(dataset.eval_text(1), "caf\xEF\xBF\xBD");
  EXPECT_EQ(dataset[2].image_path, folder / "\xE9.png");  // file names are bytes
  EXPECT_NE(warnings.find("pairs.tsv: 1 row without a picture left out; the first: " + path + ":4"), std::string::npos)
      << warnings;
  EXPECT_NE(warnings.find("1 row with bytes that are not UTF-8, which became U+FFFD; the first: " + path + ":3"),
            std::string::npos)
      << warnings;
  EXPECT_NE(error_of([&] {
              ImageTextDataset(folder.write("none.jsonl", R"({"image": "", "caption": "x"})"), {});
            }).find("none of the 1 rows of"),
            std::string::npos);
}

TEST(ImageTextDataset, NamesTheSplits) {
  const TempFolder folder;
  const std::string path = folder.write("pairs.tsv", std::string(small_table) + "d.png\t\tgray\t\t\n");
  EXPECT_EQ(split_names(path, "split"), (std::vector<std::string>{"train", "val"}));  // rows of no split are of none
  EXPECT_EQ(split_names(shipped, "split").size(), 8u);
  EXPECT_NE(error_of([&] { split_names(path, "part"); }).find("no column \"part\""), std::string::npos);
  EXPECT_NE(error_of([] { split_names("no/such", "split"); }).find("no/such does not exist"), std::string::npos);
}

TEST(ImageTextDataset, DrawsTextsByWeight) {
  const TempFolder folder;
  const ImageTextDataset dataset(folder.write("pairs.tsv", small_table), all_columns("train"));
  Rng rng(4);
  std::map<std::string, int> counts;
  std::set<std::string> lists;
  constexpr int draws = 8000;
  for (int i = 0; i < draws; ++i) {
    const std::string text = dataset.random_text(0, rng);
    const bool list = text != "red" && text != "scarlet";
    ++counts[list ? "list" : text];
    if (list) lists.insert(text);
    EXPECT_EQ(dataset.random_text(1, rng), "green");
  }
  EXPECT_NEAR(counts["red"], draws / 4, 150);
  EXPECT_NEAR(counts["scarlet"], draws / 2, 180);
  EXPECT_NEAR(counts["list"], draws / 4, 150);
  // Every ordered choice of one, two or three of the three keywords.
  EXPECT_EQ(lists.size(), 3u + 6u + 6u);
  EXPECT_TRUE(lists.contains("two"));
  EXPECT_TRUE(lists.contains("three, one, two"));
}

TEST(ImageTextDataset, ErrorsNameWhatThereIs) {
  const TempFolder folder;
  const std::string path = folder.write("pairs.tsv", small_table);
  const auto error_for = [&](const DatasetOptions& options) {
    return error_of([&] { ImageTextDataset(path, options); });
  };
  EXPECT_NE(error_for(all_columns("test")).find("has no rows of split \"test\", its splits are train (2), val (1)"),
            std::string::npos);
  DatasetOptions wrong_column;
  wrong_column.image_column = "filepath";
  EXPECT_NE(error_for(wrong_column).find("no column \"filepath\""), std::string::npos);
  DatasetOptions no_text;
  no_text.text_columns.clear();
  EXPECT_NE(error_for(no_text).find("no text columns"), std::string::npos);
  DatasetOptions negative;
  negative.text_columns = {{"caption", -1}};
  EXPECT_NE(error_for(negative).find("weight of column \"caption\" is -1"), std::string::npos);
  const std::string empty = folder.write("empty.tsv", "image\tcaption\n");
  EXPECT_NE(error_of([&] { ImageTextDataset(empty, {}); }).find("empty.tsv has no rows"), std::string::npos);
  EXPECT_NE(error_of([] { ImageTextDataset("no/such", {}); }).find("no/such does not exist"), std::string::npos);
}

}  // namespace
}  // namespace fovea::data
