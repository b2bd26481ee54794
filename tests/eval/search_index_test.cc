// An index finds what a search through all pictures finds, and follows the files.
#include "fovea/eval/search_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "../support/error_of.h"
#include "../support/tiny_clip.h"
#include "fovea/data/folder_table.h"
#include "fovea/image/decode.h"
#include "fovea/io/file.h"
#include "fovea/io/safetensors.h"
#include "fovea/models/presets.h"
#include "fovea/tensor/factory.h"

namespace fovea::eval {
namespace {

using tests::error_of;

class Search : public ::testing::Test {
 protected:
  static models::ClipModel make_model(std::uint64_t seed) {
    nn::Init init(seed, DType::f32);
    return models::ClipModel(models::parse_clip_config(tests::tiny_vit_transformer), init);
  }
  ClipEncoder encoder(std::int64_t batch_size = 7) const {
    return {model_, text::default_tokenizer(), transform_, batch_size};
  }
  IndexUpdate update(SearchIndex& index) const {
    return index.update(encoder(), data_.path(), data::list_pictures(data_.path()));
  }

  const tests::TinyData data_;
  const models::ClipModel model_ = make_model(3);
  const image::TransformConfig transform_ = image::parse_transform_config(R"({"size": 16})");
};

TEST_F(Search, FindsTheMostSimilarPictures) {
  SearchIndex index;
  const IndexUpdate done = update(index);
  EXPECT_EQ(done.embedded, 40);
  EXPECT_EQ(done.kept + done.dropped, 0);
  const std::vector<std::string> queries{"red rows", "a green square"};
  const Tensor texts = embed_texts(encoder(), queries);
  const auto found = index.search(texts, 4);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    std::vector<std::pair<double, std::string>> all;  // one by one, without the index
    for (const std::string& name : data::list_pictures(data_.path())) {
      const Tensor row =
          embed_pictures(encoder(), 1, [&](std::int64_t) { return image::read_image(data_.path() + "/" + name); }).rows;
      double cosine = 0;
      for (std::int64_t e = 0; e < row.dim(1); ++e)
        cosine += row.at(e) * texts.at(static_cast<std::int64_t>(q) * row.dim(1) + e);
      all.emplace_back(-cosine, name);
    }
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(index.pictures[static_cast<std::size_t>(found[q][i].candidate)].path, all[i].second);
      EXPECT_NEAR(found[q][i].score, -all[i].first, 1e-5);
    }
  }
}

TEST_F(Search, AnIndexReadBackIsTheSame) {
  SearchIndex index;
  update(index);
  index.model_folder = "models/tiny";
  const std::string file = data_.folder() / "pictures.index";
  index.save(file);
  const SearchIndex back = SearchIndex::load(file);
  EXPECT_EQ(back.root, index.root);
  EXPECT_EQ(back.model_folder, "models/tiny");
  EXPECT_EQ(back.fingerprint, index.fingerprint);
  EXPECT_EQ(back.pictures, index.pictures);
  for (std::int64_t i = 0; i < index.rows.numel(); ++i) ASSERT_EQ(back.rows.at(i), index.rows.at(i));
}

TEST_F(Search, AnUpdateEmbedsWhatIsNewOrChanged) {
  SearchIndex index;
  update(index);
  EXPECT_EQ(update(index).kept, 40);
  const std::string changed = data_.path() + "/red_rows.png";
  io::write_file(changed, io::read_file(data_.path() + "/blue_top.png"));
  std::filesystem::last_write_time(changed, std::filesystem::file_time_type::clock::now() + std::chrono::seconds(2));
  std::filesystem::remove(data_.path() + "/red_top.png");
  std::filesystem::create_directory(data_.path() + "/a");
  io::write_file(data_.path() + "/a/new.png", io::read_file(data_.path() + "/pink_top.png"));
  data_.folder().write("damaged.png", "not a picture");
  const IndexUpdate done = update(index);
  EXPECT_EQ(done.kept, 38);
  EXPECT_EQ(done.embedded, 2);
  EXPECT_EQ(done.dropped, 2);
  ASSERT_EQ(done.left_out.size(), 1u);
  EXPECT_NE(done.left_out[0].find("damaged.png"), std::string::npos);

  SearchIndex whole;  // made at once
  update(whole);
  EXPECT_EQ(index.pictures, whole.pictures);
  for (std::int64_t i = 0; i < index.rows.numel(); ++i) ASSERT_NEAR(index.rows.at(i), whole.rows.at(i), 1e-6);
}

TEST_F(Search, AnotherModelOrTransformEmbedsAllAgain) {
  SearchIndex index;
  update(index);
  const models::ClipModel other = make_model(4);
  EXPECT_NE(embedding_fingerprint(model_, transform_), embedding_fingerprint(other, transform_));
  image::TransformConfig squashed = transform_;
  squashed.resize_mode = image::ResizeMode::squash;
  EXPECT_NE(embedding_fingerprint(model_, transform_), embedding_fingerprint(model_, squashed));
  EXPECT_EQ(embedding_fingerprint(model_, transform_), embedding_fingerprint(make_model(3), transform_));
  const IndexUpdate done = index.update({other, text::default_tokenizer(), transform_}, data_.path(),
                                        {"red_rows.png", "red_top.png", "red_rows.png"});
  EXPECT_EQ(done.kept, 0);
  EXPECT_EQ(done.embedded, 2);
}

TEST_F(Search, NothingToFindIsAnErrorAndKeepsTheIndex) {
  SearchIndex index;
  update(index);
  const std::string error = error_of([&] { index.update(encoder(), data_.path(), {"gone.png"}); });
  EXPECT_NE(error.find("none of the 1 pictures could be read"), std::string::npos) << error;
  EXPECT_NE(error.find("gone.png"), std::string::npos) << error;
  EXPECT_EQ(index.pictures.size(), 40u);
}

TEST_F(Search, FilesThatAreNoIndexAreRefused) {
  const std::string file = data_.folder() / "pictures.index";
  SearchIndex index;
  update(index);
  index.save(file);
  const std::string whole = io::read_file(file);
  for (const std::size_t kept : {std::size_t{0}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    io::write_file(file, whole.substr(0, kept));
    EXPECT_NE(error_of([&] { SearchIndex::load(file); }).find("pictures.index"), std::string::npos) << kept;
  }
  io::save_safetensors(file, {{"embeddings", index.rows}});
  EXPECT_NE(error_of([&] { SearchIndex::load(file); }).find("is not a search index"), std::string::npos);
  io::Metadata metadata{{"format", "fovea-index/1"}};
  io::save_safetensors(file, {{"embeddings", index.rows}}, metadata);
  EXPECT_NE(error_of([&] { SearchIndex::load(file); }).find("has no i64 tensor \"files\""), std::string::npos);
  io::save_safetensors(
      file, {{"embeddings", index.rows}, {"paths", zeros({3}, DType::u8)}, {"files", zeros({2, 2}, DType::i64)}},
      metadata);
  EXPECT_NE(error_of([&] { SearchIndex::load(file); }).find("embeddings of (40, 16)"), std::string::npos);
}

}  // namespace
}  // namespace fovea::eval
