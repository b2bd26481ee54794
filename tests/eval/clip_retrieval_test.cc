// A model scored on a split, against its embeddings one by one; and splits with bad pictures.
#include "fovea/eval/clip_retrieval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "../support/tiny_clip.h"
#include "fovea/image/decode.h"
#include "fovea/models/presets.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::eval {
namespace {

constexpr std::int64_t context = 16;

std::vector<double> unit(const Tensor& row) {
  std::vector<double> values;
  double squared = 0;
  for (std::int64_t i = 0; i < row.numel(); ++i) {
    values.push_back(row.at(i));
    squared += row.at(i) * row.at(i);
  }
  for (double& value : values) value /= std::sqrt(squared);
  return values;
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Percent of the queries whose best right answer has fewer than `k` better candidates.
double recall(const std::vector<std::vector<double>>& scores, const std::vector<std::set<std::size_t>>& right,
              std::size_t k) {
  std::size_t found = 0;
  for (std::size_t q = 0; q < scores.size(); ++q) {
    double best = -2;
    for (const std::size_t answer : right[q]) best = std::max(best, scores[q][answer]);
    const auto better = std::count_if(scores[q].begin(), scores[q].end(), [&](double s) { return s > best; });
    found += static_cast<std::size_t>(better) < k ? 1 : 0;
  }
  return 100 * static_cast<double>(found) / static_cast<double>(scores.size());
}

class ClipRetrieval : public ::testing::Test {
 protected:
  static models::ClipModel make_model(DType dtype = DType::f32) {
    nn::Init init(3, dtype);
    return models::ClipModel(models::parse_clip_config(tests::tiny_vit_transformer), init);
  }

  void write_table(const std::string& rows) const {
    data_.folder().write("captions.tsv", "image\tsplit\tcaption\n" + rows);
  }
  Retrieval score(const models::ClipModel& model, std::int64_t batch_size) const {
    data::DatasetOptions options;
    options.split = "test";
    return clip_retrieval({model, tokenizer_, transform_, batch_size}, data::ImageTextDataset(data_.path(), options));
  }
  std::string error(std::int64_t batch_size = 4) const {
    try {
      score(make_model(), batch_size);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  const tests::TinyData data_;
  const text::Tokenizer& tokenizer_ = text::default_tokenizer();
  const image::TransformConfig transform_ = image::parse_transform_config(R"({"size": 16})");
};

TEST_F(ClipRetrieval, RanksWhatTheModelEmbeds) {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"red_rows.png", "red rows"},     {"blue_rows.png", "Striped"},      {"green_top.png", "green top"},
      {"pink_columns.png", "striped "}, {"black_square.png", "black box"}, {"cyan_left.png", "STRIPED"}};
  const std::vector<std::string> captions{"red rows", "striped", "green top", "black box"};  // distinct, once cleaned
  const std::size_t caption_of[] = {0, 1, 2, 1, 3, 1};
  std::string rows;
  for (const auto& [picture, caption] : pairs) rows += concat(picture, "\ttest\t", caption, "\n");
  write_table(rows);

  const models::ClipModel model = make_model();
  std::vector<std::vector<double>> images, texts;
  for (const auto& [picture, caption] : pairs) {
    const image::Image drawn = image::read_image(data_.path() + "/" + picture);
    const Tensor input = image::to_tensor(image::eval_transform(drawn, transform_), transform_.normalization);
    images.push_back(unit(model.encode_image(input, {}).value()));
  }
  for (const std::string& caption : captions) {
    const std::vector<std::int32_t> ids = tokenizer_.encode(caption, context);
    const auto count = static_cast<std::int64_t>(ids.size());
    texts.push_back(
        unit(model.encode_text(from_values<std::int32_t>({count}, ids), PackedLayout::uniform(1, count), {}).value()));
  }
  std::vector<std::vector<double>> i2t(images.size()), t2i(texts.size());
  std::vector<std::set<std::size_t>> texts_of(images.size()), images_of(texts.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    texts_of[i].insert(caption_of[i]);
    images_of[caption_of[i]].insert(i);
    for (std::size_t t = 0; t < texts.size(); ++t) {
      i2t[i].push_back(cosine(images[i], texts[t]));
      t2i[t].push_back(i2t[i].back());
    }
  }

  for (const std::int64_t batch_size : {1, 4, 256}) {
    const Retrieval scores = score(model, batch_size);
    EXPECT_EQ(scores.i2t.queries, 6);
    EXPECT_EQ(scores.i2t.candidates, 4);
    EXPECT_EQ(scores.t2i.queries, 4);
    EXPECT_EQ(scores.t2i.candidates, 6);
    EXPECT_NEAR(scores.i2t.r1, recall(i2t, texts_of, 1), 1e-9);
    EXPECT_NEAR(scores.t2i.r1, recall(t2i, images_of, 1), 1e-9);
    EXPECT_NEAR(scores.t2i.r5, recall(t2i, images_of, 5), 1e-9);
  }
}

TEST_F(ClipRetrieval, EveryCaptionCanTakePart) {
  const models::ClipModel model = make_model();
  const ClipEncoder encoder{model, tokenizer_, transform_, 3};
  data::DatasetOptions options;
  options.text_columns = {{"caption"}, {"keywords"}};
  options.split = "test";
  const data::ImageTextDataset dataset(data_.path(), options);
  const EmbeddedPairs first = embed_pairs(encoder, dataset);
  EXPECT_EQ(first.captions.size(), 8u);
  PairOptions every;
  every.every_caption = true;
  const EmbeddedPairs all = embed_pairs(encoder, dataset, every);
  EXPECT_EQ(all.captions.size(), 16u);  // "red left" and "red, left": none is equal to another
  EXPECT_EQ(all.matches.size(), 16u);
  EXPECT_EQ(count_different_bits(all.images, first.images), 0);
}

// A tower that does not end in the joint space: its features times the projection are the embeddings.
TEST_F(ClipRetrieval, FeaturesComeBeforeTheProjection) {
  const models::ClipModel model = make_model();
  const ClipEncoder encoder{model, tokenizer_, transform_, 3};
  const auto read = [&](std::int64_t i) {
    return image::read_image(data_.path() + (i == 0 ? "/red_rows.png" : "/blue_rows.png"));
  };
  const Tensor features = picture_features(encoder, 2, read).rows, embedded = embed_pictures(encoder, 2, read).rows;
  ASSERT_EQ(features.shape(), Shape({2, 32}));
  const Tensor projected = model.project_image(features, {}).value();
  for (std::int64_t row = 0; row < 2; ++row) {
    const auto expected = unit(projected.rows(row, row + 1)), ours = unit(embedded.rows(row, row + 1));
    for (std::size_t e = 0; e < expected.size(); ++e) EXPECT_NEAR(ours[e], expected[e], 1e-5);
  }
}

TEST_F(ClipRetrieval, ModelsInF64AreScoredToo) {
  const Retrieval single = score(make_model(), 8), twice = score(make_model(DType::f64), 8);
  EXPECT_EQ(single.i2t.r1, twice.i2t.r1);
  EXPECT_EQ(single.t2i.median_rank, twice.t2i.median_rank);
}

TEST_F(ClipRetrieval, PicturesThatCannotBeReadAreLeftOut) {
  data_.folder().write("damaged.png", "not a picture");
  write_table(
      "red_rows.png\ttest\tred rows\ndamaged.png\ttest\tdamaged\nmissing.png\ttest\tmissing\n"
      "pink_top.png\ttest\tpink top\n");
  const Retrieval scores = score(make_model(), 8);
  EXPECT_EQ(scores.i2t.queries, 2);
  EXPECT_EQ(scores.i2t.candidates, 2);  // their captions are no candidates either
  EXPECT_EQ(scores.t2i.queries, 2);
}

TEST_F(ClipRetrieval, SaysWhyNothingCanBeScored) {
  EXPECT_EQ(error(0), "[embed] the batch size is 0, expected at least 1");
  write_table("missing.png\ttest\ta\nmissing_too.png\ttest\tb\n");
  EXPECT_EQ(error().substr(0, 56), "[retrieval] none of the 2 pictures could be read; the fi");
  EXPECT_NE(error().find("missing.png"), std::string::npos) << error();
}

}  // namespace
}  // namespace fovea::eval
