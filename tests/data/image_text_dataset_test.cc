#include "fovea/data/image_text_dataset.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "../support/tar_bytes.h"
#include "fovea/image/decode.h"
#include "fovea/io/tar.h"
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

TEST(ImageTextDataset, JoinsASecondTable) {
  const TempFolder folder;
  const std::string path = folder.write("pairs.tsv",
                                        "image\tconcept\tcaption\n"
                                        "a.png\tc1\tone\nb.png\t\ttwo\nc.png\tc2\tthree\nd.png\tc9\tfour\n");
  folder.write("names.tsv", "concept\tcaption\tde\tfr\nc2\tignored\tzwei\t\nc1\tignored\teins\tun\n");
  DatasetOptions options;
  options.join = "names.tsv";
  options.join_column = "concept";
  options.text_columns = {{"caption"}, {"de"}, {"fr"}};
  testing::internal::CaptureStderr();
  const ImageTextDataset dataset(path, options);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "2 rows without a partner in names.tsv left out; the first: " + path + ":3"),
            std::string::npos);
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset.eval_text(0), "one");
  EXPECT_EQ(dataset.languages(), (std::vector<std::string>{"caption", "de", "fr"}));
  EXPECT_EQ(dataset.texts_in(0, "de"), std::vector<std::string>{"eins"});
  EXPECT_EQ(dataset.texts_in(1, "de"), std::vector<std::string>{"zwei"});
  EXPECT_TRUE(dataset.texts_in(1, "fr").empty());
  folder.write("names.tsv", "concept\tcaption\tde\tfr\nc2\t\tzwei\t\nc2\t\teins\tun\n");
  EXPECT_NE(error_of([&] { ImageTextDataset(path, options); }).find("names.tsv:3 has the same concept \"c2\" as "),
            std::string::npos);
}

TEST(ImageTextDataset, TheShippedNamesInAllLanguages) {
  DatasetOptions options;
  options.join = "labels.tsv";
  options.join_column = "concept";
  options.text_columns.clear();
  for (const char* language :
       {"en", "de", "es", "fr", "it", "pt", "nl", "pl", "sv", "ru", "uk", "hi", "zh", "ja", "ko", "th", "vi"})
    options.text_columns.push_back({language});
  options.split = "test_style";
  const ImageTextDataset style(shipped, options);
  EXPECT_EQ(style.size(), 1109);
  EXPECT_EQ(style.languages().size(), 17u);
  options.split = "train";
  testing::internal::CaptureStderr();
  EXPECT_EQ(ImageTextDataset(shipped, options).size(), 3554);  // 6195 without the clip art
  EXPECT_NE(testing::internal::GetCapturedStderr().find("2641 rows without a partner in labels.tsv"),
            std::string::npos);
}

TEST(ImageTextDataset, LanguagesMayHaveAColumn) {
  const TempFolder folder;
  DatasetOptions options;
  options.language_column = "lang";
  const ImageTextDataset dataset(
      folder.write("pairs.jsonl", R"({"image": "a.png", "caption": ["one", "uno"], "lang": "x"}
{"image": "b.png", "caption": "zwei", "lang": "de"})"),
      options);
  EXPECT_EQ(dataset.languages(), (std::vector<std::string>{"x", "de"}));
  EXPECT_EQ(dataset.eval_texts(0), (std::vector<std::string>{"one", "uno"}));
  EXPECT_EQ(dataset.texts_in(1, "de"), std::vector<std::string>{"zwei"});
}

TEST(ImageTextDataset, EveryTextMayBeASample) {
  const TempFolder folder;
  DatasetOptions options;
  options.every_text = true;
  options.text_columns = {{"caption"}, {"alt"}};
  const ImageTextDataset dataset(
      folder.write("pairs.jsonl", R"({"image": "a.png", "caption": ["one", "uno"], "alt": "1"}
{"image": "b.png", "alt": "2"}
{"image": "c.png"})"),
      options);
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < dataset.size(); ++i) texts.push_back(dataset[i].texts.front().text);
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "uno", "1", "2", ""}));
  EXPECT_EQ(dataset[1].image_path, dataset[0].image_path);
}

TEST(ImageTextDataset, ReadsTheJsonOfCoco) {
  const TempFolder folder;
  const auto write = [&](const std::string& images, const std::string& annotations) {
    return folder.write("annotations/captions_val2017.json", R"({"info": {"year": 2017}, "licenses": [{"id": 1}],
      "images": [)" + images + R"(], "annotations": [)" + annotations +
                                                                 "]}");
  };
  std::filesystem::create_directories(folder / "annotations");
  std::filesystem::create_directories(folder / "val2017");
  folder.write("val2017/1.jpg", "x");
  const std::string images =
      R"({"id": 7, "file_name": "1.jpg", "coco_url": "http://x"}, {"id": 9, "file_name": "2.jpg"},
      {"id": 8, "file_name": "3.jpg"})";
  const std::string path = write(images, R"({"id": 1, "image_id": 8, "caption": " third\n"},
      {"id": 2, "image_id": 7, "caption": "a"}, {"id": 3, "image_id": 7, "caption": "b"},
      {"id": 4, "image_id": 77, "caption": "stray"}, {"id": 5, "image_id": 9, "caption": "  "})");
  EXPECT_EQ(detect_dataset_type(path), DatasetType::coco);
  EXPECT_TRUE(split_names(path, "split").empty());
  testing::internal::CaptureStderr();
  DatasetOptions options;
  options.split = "val";  // such a file has no splits
  const ImageTextDataset dataset(path, options);
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_NE(warnings.find("1 captions of no picture"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("1 of 3 pictures have no caption"), std::string::npos) << warnings;
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset[0].image_path, folder / "val2017/1.jpg");
  EXPECT_EQ(dataset.eval_texts(0), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(dataset.eval_texts(1), (std::vector<std::string>{"third"}));
  options.image_root = "/elsewhere";
  options.every_text = true;
  const ImageTextDataset pairs(path, options);
  ASSERT_EQ(pairs.size(), 3);
  EXPECT_EQ(pairs[1].image_path, "/elsewhere/1.jpg");
  const auto error = [&](const std::string& i, const std::string& a) {
    const std::string file = write(i, a);
    return error_of([&] { ImageTextDataset(file, {}); });
  };
  EXPECT_NE(error(R"({"id": 1})", "").find("image 0 has no \"file_name\", expected text"), std::string::npos);
  EXPECT_NE(error(R"({"file_name": "x"})", "").find("image 0 has no \"id\""), std::string::npos);
  EXPECT_NE(
      error(R"({"id": 1, "file_name": "x"}, {"id": 1, "file_name": "y"})", "").find("image 1 has the id of an earlier"),
      std::string::npos);
  EXPECT_NE(error(R"({"id": 1, "file_name": "x"})", R"({"image_id": 1, "caption": 5})")
                .find("annotation 0 has no \"caption\""),
            std::string::npos);
  EXPECT_NE(error(R"({"id": 1, "file_name": "x"})", "").find("has no picture with a caption"), std::string::npos);
  EXPECT_NE(error("{", "").find("is not valid JSON: "), std::string::npos);
  DatasetOptions coco;
  coco.type = DatasetType::coco;
  const std::string other = folder.write("a.json", "[1]");
  EXPECT_NE(error_of([&] { ImageTextDataset(other, coco); }).find("has no list \"images\""), std::string::npos);
}

TEST(ImageTextDataset, ReadsShards) {
  if (error_of([] { io::TarReader reader("/no/such"); }).find("has no libarchive") != std::string::npos)
    GTEST_SKIP() << "this build has no libarchive";
  using tests::tar_entry;
  const TempFolder folder;
  const std::string jpg = "not really a picture";
  folder.write("0.tar", tar_entry({"a.jpg", jpg}) + tar_entry({"a.txt", "first\n"}) +
                            tar_entry({"a.json", R"({"caption": "other", "alt": ["x", "y"], "lang": "de"})"}) +
                            tar_entry({"b.txt", "no picture"}) + tar_entry({"c.png", jpg}) +
                            tar_entry({"c.txt", " \n"}) + tests::tar_end);
  folder.write("1.tar", tar_entry({"a.webp", jpg}) + tar_entry({"a.json", R"({"caption": "second"})"}) +
                            tar_entry({"cut.jpg", std::string(5000, 'x')}).substr(0, 1000));
  DatasetOptions options;
  options.split = "val";
  options.text_columns = {{"caption"}, {"alt"}};
  options.language_column = "lang";
  testing::internal::CaptureStderr();
  const ImageTextDataset dataset(folder / "{0..1}.tar", options);
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_NE(warnings.find("4 samples are left out; the first: " + folder / "0.tar" +
                          ": [shards] b has no picture (jpg, png, jpeg, webp), only txt"),
            std::string::npos)
      << warnings;
  ASSERT_EQ(dataset.size(), 2);
  EXPECT_EQ(image::read_picture_file(dataset[0].image_path), jpg);
  EXPECT_EQ(dataset.eval_texts(0), std::vector<std::string>{"first"});
  EXPECT_EQ(dataset.texts_in(0, "de"), (std::vector<std::string>{"first", "x", "y"}));
  EXPECT_EQ(dataset.eval_texts(1), std::vector<std::string>{"second"});
  EXPECT_EQ(detect_dataset_type(folder.path()), DatasetType::webdataset);
  const std::string packed = folder.write("2.tar.gz", tests::gzip_stored(io::read_file(folder / "0.tar")));
  EXPECT_NE(error_of([&] { ImageTextDataset(packed, {}); }).find("is compressed, which only training can read"),
            std::string::npos);
  const std::string empty = folder.write("3.tar", tests::tar_end);
  EXPECT_NE(error_of([&] { ImageTextDataset(empty, {}); }).find("3.tar holds no usable sample"), std::string::npos);
}

TEST(ImageTextDataset, TypesHaveNames) {
  EXPECT_EQ(parse_dataset_type("auto"), DatasetType::automatic);
  EXPECT_EQ(parse_dataset_type("coco"), DatasetType::coco);
  EXPECT_NE(error_of([] { parse_dataset_type("tsv"); }).find("\"tsv\", expected auto, webdataset, csv, coco or folder"),
            std::string::npos);
  const TempFolder folder;
  folder.write("captions.tsv", small_table);
  folder.write("a.png", "x");
  EXPECT_EQ(detect_dataset_type(folder.path()), DatasetType::csv);
  DatasetOptions options;
  options.type = DatasetType::folder;
  EXPECT_EQ(ImageTextDataset(folder.path(), options).eval_text(0), "a");
  options.type = DatasetType::csv;
  const TempFolder pictures;
  pictures.write("a.png", "x");
  EXPECT_EQ(detect_dataset_type(pictures.path()), DatasetType::folder);
  EXPECT_NE(error_of([&] { ImageTextDataset(pictures.path(), options); }).find("holds no table called captions"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::data
