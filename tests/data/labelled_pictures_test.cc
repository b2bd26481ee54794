// Classes from folders, tables and idx files; the shipped Fashion-MNIST pictures.
#include "fovea/data/labelled_pictures.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/image/encode.h"
#include "fovea/io/file.h"

namespace fovea::data {
namespace {

using tests::error_of;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class Labelled : public ::testing::Test {
 protected:
  void picture(const std::string& name, std::uint8_t shade) const {
    const std::filesystem::path path(folder_ / name);
    std::filesystem::create_directories(path.parent_path());
    image::Image image(4, 4);
    image.pixels.assign(image.pixels.size(), shade);
    io::write_file(path.string(), image::encode_png(image));
  }
  std::string open_error(const DatasetOptions& options, const std::vector<std::string>& classes) const {
    return error_of([&] { LabelledPictures(folder_.path(), options, classes); });
  }
  std::string open_error(const DatasetOptions& options) const { return open_error(options, {}); }
  std::string open_error() const {
    const DatasetOptions defaults;
    return open_error(defaults);
  }
  // Two pictures of 2 x 3 pixels.
  void write_idx(const std::string& prefix, const std::string& labels) const {
    folder_.write(prefix + "-images-idx3-ubyte", idx({2, 2, 3}, "abcdefghijkl"));
    folder_.write(prefix + "-labels-idx1-ubyte", idx({static_cast<char>(labels.size())}, labels));
  }
  static std::string idx(std::initializer_list<char> extents, const std::string& values) {
    std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
    for (const char extent : extents) bytes += std::string(3, '\0') + extent;
    return bytes + values;
  }

  const tests::TempFolder folder_;
};

TEST_F(Labelled, FoldersAreClasses) {
  picture("red_fox/1.png", 1);
  picture("cat/b.png", 2);
  picture("cat/a.png", 3);
  const LabelledPictures pictures(folder_.path(), {});
  EXPECT_EQ(pictures.classes(), (std::vector<std::string>{"cat", "red fox"}));
  EXPECT_EQ(pictures.labels(), (std::vector<std::int64_t>{0, 0, 1}));
  EXPECT_EQ(pictures.picture(0).pixels[0], 3);
  EXPECT_EQ(pictures.picture(2).pixels[0], 1);

  const LabelledPictures ordered(folder_.path(), {}, {"dog", "red fox", "cat"});
  EXPECT_EQ(ordered.labels(), (std::vector<std::int64_t>{2, 2, 1}));
  EXPECT_TRUE(
      contains(open_error({}, {"cats", "red fox"}), "is of class \"cat\", which is none of the 2 given classes"));
  EXPECT_TRUE(contains(open_error({}, {"cats", "red fox"}), "did you mean \"cats\"?"));
  EXPECT_TRUE(contains(open_error({}, {"cat", "cat"}), "class \"cat\" is given twice"));
}

TEST_F(Labelled, TablesNameTheColumn) {
  picture("1.png", 1);
  folder_.write("captions.tsv", "image\tkind\tsplit\n1.png\tdog\ttest\n1.png\tcat\ttest\n1.png\t\ttrain\n");
  DatasetOptions options;
  options.text_columns.front().name = "kind";
  options.split = "test";
  EXPECT_EQ(LabelledPictures(folder_.path(), options).labels(), (std::vector<std::int64_t>{1, 0}));
  options.split = "train";
  EXPECT_TRUE(contains(open_error(options), "1.png has no class"));
}

TEST_F(Labelled, IdxFilesHoldPicturesAndLabels) {
  write_idx("t10k", std::string("\x01\x00", 2));
  folder_.write("classes.txt", "shirt\nbag\n");
  const LabelledPictures pictures(folder_.path(), {});
  EXPECT_EQ(pictures.size(), 2);
  EXPECT_EQ(pictures.labels(), (std::vector<std::int64_t>{1, 0}));
  const image::Image second = pictures.picture(1);
  EXPECT_EQ(second.width, 3);
  EXPECT_EQ(second.height, 2);
  EXPECT_EQ(std::string(second.pixels.begin(), second.pixels.begin() + 6), "ggghhh");

  write_idx("train", std::string("\x00\x00", 2));
  EXPECT_TRUE(contains(open_error(), "several sets of pictures: t10k, train"));
  DatasetOptions options;
  options.split = "train";
  EXPECT_EQ(LabelledPictures(folder_.path(), options).labels(), (std::vector<std::int64_t>{0, 0}));
  options.split = "tset";
  EXPECT_TRUE(contains(open_error(options), "no pictures called \"tset\", it has t10k, train"));
}

TEST_F(Labelled, IdxFilesThatDoNotFitAreNamed) {
  write_idx("t10k", std::string("\x01\x02", 2));
  EXPECT_TRUE(contains(open_error(), "classes.txt"));  // is missing
  folder_.write("classes.txt", "shirt\nbag\n");
  EXPECT_TRUE(contains(open_error(), "t10k-labels-idx1-ubyte has a label 2, but there are 2 classes"));
  write_idx("t10k", std::string("\x01\x01\x01", 3));
  EXPECT_TRUE(contains(open_error(), "has shape (3,), but"));
  folder_.write("t10k-images-idx3-ubyte", idx({2, 2, 3}, "abc"));
  EXPECT_TRUE(contains(open_error(), "t10k-images-idx3-ubyte at byte 16: 3 values, but the shape is (2, 2, 3)"));
  folder_.write("t10k-images-idx3-ubyte", "PNG");
  EXPECT_TRUE(contains(open_error(), "at byte 0: expected an IDX file of unsigned bytes"));
  std::filesystem::remove(folder_ / "t10k-images-idx3-ubyte");
  EXPECT_TRUE(contains(open_error(), "but not the pictures that belong to it"));
}

TEST_F(Labelled, FoldersWithoutPicturesAreRefused) {
  EXPECT_TRUE(contains(open_error(), "no PNG or JPEG picture in"));
  EXPECT_TRUE(contains(error_of([&] { LabelledPictures(folder_ / "missing", {}); }), "missing does not exist"));
}

TEST(FashionMnist, IsReadFromItsCompressedFiles) {
  const LabelledPictures pictures(FOVEA_SOURCE_DIR "/data/fashion_mnist_1k", {});
  EXPECT_EQ(pictures.size(), 1000);
  EXPECT_EQ(pictures.classes().size(), 10u);
  EXPECT_EQ(pictures.classes()[static_cast<std::size_t>(pictures.labels()[0])],
            "ankle boot");  // the test set's known beginning
  EXPECT_EQ(pictures.classes()[static_cast<std::size_t>(pictures.labels()[1])], "pullover");
  EXPECT_EQ(pictures.picture(0).width, 28);
  std::map<std::int64_t, int> counts;
  for (const std::int64_t label : pictures.labels()) ++counts[label];
  EXPECT_EQ(counts.size(), 10u);
}

}  // namespace
}  // namespace fovea::data
