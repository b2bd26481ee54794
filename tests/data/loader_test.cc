#include "fovea/data/loader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "fovea/image/encode.h"
#include "fovea/io/file.h"
#include "fovea/tensor/reduce.h"
#include "test_files.h"

namespace fovea::data {
namespace {

const std::string shipped = FOVEA_SOURCE_DIR "/data/emoji_clipart";

ImageTextDataset clip_art() {
  DatasetOptions options;
  options.split = "val_clipart";  // 152 pairs
  options.text_columns = {{"caption"}, {"keywords", 1, ", "}};
  return ImageTextDataset(shipped, options);
}

image::TransformConfig small_augmented() {
  image::TransformConfig transform;
  transform.size = 16;
  transform.augment.affine.rotation = 10;
  transform.augment.color.brightness = 0.2;
  return transform;
}

LoaderOptions options_with(int workers) {
  LoaderOptions options;
  options.batch_size = 20;
  options.workers = workers;
  options.seed = 5;
  return options;
}

const ByteEncoder encoder;

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.sample_ids, b.sample_ids);
  EXPECT_EQ(count_different_bits(a.images, b.images), 0);
  ASSERT_EQ(a.tokens.shape(), b.tokens.shape());
  EXPECT_EQ(count_different_bits(a.tokens, b.tokens), 0);
  EXPECT_EQ(count_different_bits(a.text.offsets, b.text.offsets), 0);
}

TEST(Loader, BatchesDoNotDependOnTheWorkers) {
  Loader plain(clip_art(), small_augmented(), &encoder, options_with(0));
  Loader one(clip_art(), small_augmented(), &encoder, options_with(1));
  LoaderOptions without_cache = options_with(3);
  without_cache.cache_bytes = 100000;  // about eight pictures
  Loader three(clip_art(), small_augmented(), &encoder, without_cache);
  for (int i = 0; i < 16; ++i) {
    const Batch expected = plain.next();
    expect_same(one.next(), expected);
    expect_same(three.next(), expected);
  }
}

TEST(Loader, ReducedPicturesAreThoseOfTheDecoder) {
  const TempFolder folder;
  const image::Image photo = image::read_image(FOVEA_SOURCE_DIR "/tests/golden/images/photo_420.jpg");
  const image::Image large = image::resize(photo, 200, 150, image::Interpolation::bicubic);
  const std::string jpeg = image::encode_jpeg(large, 90);
  folder.write("a.jpg", jpeg);
  folder.write("b.png", image::encode_png(large));
  image::TransformConfig transform;
  transform.size = 16;
  transform.augment.scaled_decode = true;
  transform.augment.crop.scale = {0.1, 1};
  LoaderOptions options = options_with(0);
  options.batch_size = 2;
  options.shuffle = false;
  DatasetOptions pictures;
  pictures.split_column = "";
  Loader caching(ImageTextDataset(folder.path(), pictures), transform, &encoder, options);
  options.cache_bytes = 0;
  Loader plain(ImageTextDataset(folder.path(), pictures), transform, &encoder, options);
  std::set<int> reductions;
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(jpeg.data()), jpeg.size());
  for (int epoch = 0; epoch < 20; ++epoch) {
    const Batch batch = plain.next();
    expect_same(caching.next(), batch);
    Rng rng(RngKey{5}.derive("augment").derive(static_cast<std::uint64_t>(epoch)).derive(std::uint64_t{0}));
    const int reduction = image::train_reduction({200, 150}, transform, rng);
    reductions.insert(reduction);
    const image::Image decoded = image::decode(bytes, "a.jpg", {.reduction = reduction});
    const image::Image expected = image::train_transform(decoded, {200, 150}, transform, rng);
    EXPECT_EQ(count_different_bits(batch.normalized_images(DType::f32).rows(0, 1),
                                   image::to_tensor(expected, transform.normalization)),
              0);
  }
  EXPECT_GE(reductions.size(), 3u);
}

TEST(Loader, FeaturesFollowThePicturesBytes) {
  const TempFolder folder;
  Rng rng(1);
  const auto write = [&](const std::string& name) {
    image::Image picture(20, 20);
    for (auto& x : picture.pixels) x = static_cast<std::uint8_t>(rng.below(256));
    folder.write(name, image::encode_png(picture));
  };
  for (const char* name : {"a.png", "b.png", "c.png"}) write(name);
  const TempFolder kept;
  FeatureCache cache(kept.path(), {1, 2}, 2);
  image::TransformConfig transform;
  transform.size = 16;
  LoaderOptions options = options_with(0);
  options.batch_size = 3;
  options.shuffle = false;
  DatasetOptions pictures;
  pictures.split_column = "";
  const auto first_batch = [&](bool with_cache) {
    options.features = with_cache ? &cache : nullptr;
    return Loader(ImageTextDataset(folder.path(), pictures), transform, &encoder, options).next();
  };
  const Batch fresh = first_batch(true);
  EXPECT_EQ(fresh.uncached, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(count_different_bits(fresh.images, first_batch(false).images), 0);
  std::vector<float> rows{1, 2, 3, 4, 5, 6};
  cache.add(fresh.feature_keys, rows.data());
  const Batch known = first_batch(true);
  EXPECT_TRUE(known.uncached.empty());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(known.image_features.at(i), i + 1);
  write("b.png");
  const Batch changed = first_batch(true);
  EXPECT_EQ(changed.uncached, (std::vector<std::int64_t>{1}));
  EXPECT_EQ(changed.images.dim(0), 1);
  EXPECT_EQ(count_different_bits(changed.images, first_batch(false).images.rows(1, 2)), 0);
  EXPECT_EQ(changed.image_features.at(4), 5);
}

TEST(Loader, DeliversWhatItsPartsMake) {
  const ImageTextDataset dataset = clip_art();
  image::TransformConfig transform;
  transform.size = 24;
  LoaderOptions options = options_with(2);
  options.train = options.shuffle = options.drop_last = false;
  Loader loader(dataset, transform, &encoder, options);
  ASSERT_EQ(loader.batches_per_epoch(), 8);
  std::int64_t seen = 0;
  for (int b = 0; b < 8; ++b) {
    const Batch batch = loader.next();
    EXPECT_EQ(batch.images.shape(), (Shape{batch.size(), 24, 24, 3}));
    EXPECT_EQ(batch.images.dtype(), DType::u8);
    const Tensor numbers = batch.normalized_images(DType::f32);
    EXPECT_EQ(batch.text.sequences(), batch.size());
    EXPECT_EQ(batch.text.tokens(), batch.tokens.numel());
    EXPECT_EQ(batch.index, b);
    for (std::int64_t i = 0; i < batch.size(); ++i, ++seen) {
      EXPECT_EQ(batch.sample_ids[static_cast<std::size_t>(i)], seen);
      EXPECT_EQ(batch.text.sample_ids.at(i), static_cast<double>(seen));
      const image::Image picture = image::eval_transform(image::read_image(dataset[seen].image_path), transform);
      EXPECT_EQ(count_different_bits(batch.images.rows(i, i + 1), image::stack({&picture, 1}, {24, 24})), 0);
      EXPECT_EQ(count_different_bits(numbers.rows(i, i + 1), image::to_tensor(picture, transform.normalization)), 0);
      const std::vector<std::int32_t> ids = encoder.encode(dataset.eval_text(seen));
      ASSERT_EQ(batch.text.length(i), static_cast<std::int64_t>(ids.size()));
      for (std::size_t t = 0; t < ids.size(); ++t) {
        EXPECT_EQ(batch.tokens.data<std::int32_t>()[batch.text.begin(i) + static_cast<std::int64_t>(t)], ids[t]);
      }
    }
  }
  EXPECT_EQ(seen, dataset.size());
  EXPECT_EQ(loader.next().epoch, 1);
}

TEST(Loader, EveryEpochShowsEverySampleOnceInANewOrder) {
  LoaderOptions options = options_with(2);
  options.drop_last = false;
  Loader loader(clip_art(), small_augmented(), &encoder, options);
  std::vector<std::vector<std::int64_t>> orders(2);
  for (auto& order : orders) {
    for (std::int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
      const Batch batch = loader.next();
      order.insert(order.end(), batch.sample_ids.begin(), batch.sample_ids.end());
    }
    EXPECT_EQ(order.size(), 152u);
    EXPECT_EQ(std::set(order.begin(), order.end()).size(), 152u);
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(Loader, DropsTheIncompleteBatch) {
  Loader loader(clip_art(), small_augmented(), &encoder, options_with(0));
  EXPECT_EQ(loader.batches_per_epoch(), 7);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(loader.next().size(), 20);
}

TEST(Loader, TheSeedDecidesOrderAndAugmentation) {
  LoaderOptions other = options_with(0);
  other.seed = 6;
  Loader a(clip_art(), small_augmented(), &encoder, options_with(0)), b(clip_art(), small_augmented(), &encoder, other);
  EXPECT_NE(a.next().sample_ids, b.next().sample_ids);
  // The same picture looks different in another epoch.
  LoaderOptions in_order = options_with(0);
  in_order.shuffle = false;
  Loader c(clip_art(), small_augmented(), &encoder, in_order);
  const Batch first = c.next();
  c.restart(1, 0);
  const Batch later = c.next();
  EXPECT_EQ(first.sample_ids, later.sample_ids);
  EXPECT_GT(count_different_bits(first.images, later.images), 0);
}

TEST(Loader, RestartsAnywhere) {
  Loader loader(clip_art(), small_augmented(), &encoder, options_with(2));
  std::vector<Batch> batches;
  for (int i = 0; i < 10; ++i) batches.push_back(loader.next());
  loader.restart(0, 3);
  expect_same(loader.next(), batches[3]);
  loader.restart(1, 1);
  expect_same(loader.next(), batches[8]);
  loader.restart(0, 7);  // the end of an epoch is the start of the next
  expect_same(loader.next(), batches[7]);
  EXPECT_THROW(loader.restart(0, 8), Error);
  EXPECT_THROW(loader.restart(-1, 0), Error);
}

TEST(Loader, StopsInTheMiddleOfItsWork) {
  for (int i = 0; i < 20; ++i) {
    Loader loader(clip_art(), small_augmented(), &encoder, options_with(3));
    if (i % 2) loader.next();
  }
}

TEST(Loader, DropsWordsWhileTraining) {
  LoaderOptions options = options_with(1);
  options.shuffle = false;
  Loader whole(clip_art(), small_augmented(), &encoder, options);
  options.word_dropout = 1;
  Loader dropped(clip_art(), small_augmented(), &encoder, options);
  options.train = false;
  Loader evaluated(clip_art(), small_augmented(), &encoder, options);
  const Batch full = whole.next(), short_ones = dropped.next(), asked = evaluated.next();
  EXPECT_LT(short_ones.text.tokens(), full.text.tokens());
  for (std::int64_t i = 0; i < short_ones.text.tokens(); ++i) {
    EXPECT_NE(short_ones.tokens.data<std::int32_t>()[i], ' ');
  }
  EXPECT_EQ(asked.text.length(0), 1 + static_cast<std::int64_t>(whole.dataset().eval_text(0).size()));
  EXPECT_EQ(count_different_bits(short_ones.images, full.images), 0);
}

// Ten samples under five captions (one in two spellings); two batches of two at a time are four different ones.
TEST(Loader, KeepsEqualCaptionsApart) {
  const TempFolder folder;
  const std::string picture = FOVEA_SOURCE_DIR "/tests/golden/images/rgb.png";
  const std::vector<std::string> captions{"a", "A", "a", "a", "a", "b", "b", "c", "d", "e"};
  std::string table = "image\tcaption\n";
  for (const std::string& caption : captions) table += concat(picture, "\t", caption, "\n");
  const ImageTextDataset dataset(folder.write("pairs.tsv", table), {});
  LoaderOptions options = options_with(2);
  options.batch_size = 2;
  options.distinct_batches = 2;
  Loader loader(dataset, small_augmented(), &encoder, options);
  ASSERT_EQ(loader.batches_per_epoch(),
            2);  // two groups of four have 2 + 2 + 1 + 1 + 1 places for these captions, not 8
  options.distinct_batches = 1;
  Loader single(dataset, small_augmented(), &encoder, options);
  ASSERT_EQ(single.batches_per_epoch(), 5);
  std::set<std::int64_t> met;
  for (int epoch = 0; epoch < 40; ++epoch) {
    std::set<std::string> together;
    for (int batch = 0; batch < 2; ++batch) {
      for (const std::int64_t id : loader.next().sample_ids) {
        met.insert(id);
        together.insert(id < 5 ? "a" : captions[static_cast<std::size_t>(id)]);
      }
    }
    EXPECT_EQ(together.size(), 4u);
    std::set<std::int64_t> used;
    for (int batch = 0; batch < 5; ++batch) {
      const std::vector<std::int64_t> ids = single.next().sample_ids;
      used.insert(ids.begin(), ids.end());
      EXPECT_TRUE(std::min(ids[0], ids[1]) / 5 == 0 ? std::max(ids[0], ids[1]) >= 5 : ids[0] + ids[1] != 11)
          << ids[0] << " and " << ids[1];  // 5 and 6 are both "b"
    }
    EXPECT_EQ(used.size(), 10u);
  }
  EXPECT_EQ(met.size(), 10u);  // none is left out for good

  options.batch_size = 6;
  EXPECT_NE(error_of([&] {
              Loader(dataset, small_augmented(), &encoder, options);
            }).find("6 samples with different captions are to be used together, but the 10 samples have 5\nhint: "),
            std::string::npos);
  options.shuffle = false;
  EXPECT_NE(error_of([&] { Loader(dataset, small_augmented(), &encoder, options); }).find("in random order"),
            std::string::npos);
}

// Four pictures, the second and third of which cannot be used.
std::string table_with_bad_pictures(const TempFolder& folder) {
  const std::string images = FOVEA_SOURCE_DIR "/tests/golden/images/";
  folder.write("garbage.png", "not a picture");
  return folder.write("pairs.tsv", "image\tcaption\n" + images + "rgb.png\ta\ngarbage.png\tb\nmissing.png\tc\n" +
                                       images + "smooth.png\td\n");
}

TEST(Loader, ReplacesUnusablePicturesByTheNextUsableSample) {
  const TempFolder folder;
  const std::string table = table_with_bad_pictures(folder);
  LoaderOptions options;
  options.batch_size = 4;
  options.shuffle = false;
  for (const int workers : {0, 2}) {
    options.workers = workers;
    Loader loader(ImageTextDataset(table, {}), small_augmented(), &encoder, options);
    testing::internal::CaptureStderr();
    for (int epoch = 0; epoch < 3; ++epoch) {
      const Batch batch = loader.next();
      EXPECT_EQ(batch.sample_ids, (std::vector<std::int64_t>{0, 3, 3, 3}));
      EXPECT_EQ(batch.tokens.data<std::int32_t>()[batch.text.begin(1) + 1], 'd');
      // Not the same picture three times: each keeps the random numbers of the sample it stands for.
      EXPECT_GT(count_different_bits(batch.images.rows(1, 2), batch.images.rows(2, 3)), 0);
    }
    const std::string warnings = testing::internal::GetCapturedStderr();
    EXPECT_EQ(loader.skipped(), 2);
    EXPECT_NE(warnings.find("garbage.png: expected a PNG or JPEG picture"), std::string::npos) << warnings;
    EXPECT_NE(warnings.find("missing.png: No such file"), std::string::npos) << warnings;
    EXPECT_EQ(std::count(warnings.begin(), warnings.end(), '\n'), 2) << warnings;
  }
}

TEST(Loader, EvaluationDoesNotSkip) {
  const TempFolder folder;
  LoaderOptions options;
  options.batch_size = 2;
  options.train = options.shuffle = false;
  for (const int workers : {0, 1}) {
    options.workers = workers;
    Loader loader(ImageTextDataset(table_with_bad_pictures(folder), {}), small_augmented(), &encoder, options);
    for (int attempt = 0; attempt < 2; ++attempt) {
      EXPECT_NE(error_of([&] { loader.next(); }).find("garbage.png"), std::string::npos);
    }
  }
}

// Everything that a row may name instead of a good picture, between two good ones.
TEST(Loader, NothingThatARowNamesStopsTheTraining) {
  namespace fs = std::filesystem;
  const TempFolder folder;
  const std::string images = FOVEA_SOURCE_DIR "/tests/golden/images/";
  const std::string whole = io::read_file(images + "smooth.png");
  folder.write("zero bytes.png", "");
  folder.write("cut.png", whole.substr(0, whole.size() / 2));
  folder.write("läng\nlich.png", whole);
  fs::create_directories(folder / "folder.png");
  fs::create_symlink("self.png", folder / "self.png");
  ASSERT_EQ(::mkfifo((folder / "pipe.png").c_str(), 0600), 0);
  std::string table;
  const auto row = [&](const std::string& path) {
    table += nlohmann::json{{"image", path}, {"caption", "x"}}.dump() + "\n";
  };
  row(images + "rgb.png");
  for (const char* bad :
       {"zero bytes.png", "cut.png", "folder.png", "self.png", "pipe.png", "/dev/zero", "missing.png"}) {
    row(bad);
  }
  row(images + "huge.png");
  row("läng\nlich.png");
  LoaderOptions options;
  options.batch_size = 10;
  options.shuffle = false;
  Loader loader(ImageTextDataset(folder.write("pairs.jsonl", table), {}), small_augmented(), &encoder, options);
  testing::internal::CaptureStderr();
  EXPECT_EQ(loader.next().sample_ids, (std::vector<std::int64_t>{0, 9, 9, 9, 9, 9, 9, 9, 9, 9}));
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(loader.skipped(), 8);
  for (const std::string& expected :
       {"sample 1: [image] " + folder / "zero bytes.png" + " is empty", std::string("cut.png: damaged picture"),
        std::string("folder.png is a directory or device"), std::string("self.png: Too many"),
        std::string("pipe.png is a directory or device"), std::string("/dev/zero is a directory or device"),
        std::string("missing.png: No such"), "sample 8: [image] " + images + "huge.png is 20000x10000"}) {
    EXPECT_NE(warnings.find(expected), std::string::npos) << expected << " is not in\n" << warnings;
  }
}

TEST(Loader, LeavesOutPicturesAboveTheLimit) {
  LoaderOptions options = options_with(0);
  options.max_pixels = 100;
  const TempFolder folder;
  const std::string images = FOVEA_SOURCE_DIR "/tests/golden/images/";  // 5 x 4 and 13 x 9 pixels
  const std::string table = "image\tcaption\n" + images + "rgb16.png\tx\n" + images + "rgb.png\tx\n";
  options.batch_size = 2;
  Loader loader(ImageTextDataset(folder.write("pairs.tsv", table), {}), small_augmented(), &encoder, options);
  testing::internal::CaptureStderr();
  EXPECT_EQ(loader.next().sample_ids, (std::vector<std::int64_t>{0, 0}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("rgb.png is 13x9 pixels, the limit is 100"), std::string::npos);
}

TEST(Loader, DeliversCaptionsOfAMegabyte) {
  const TempFolder folder;
  const std::string megabyte(1 << 20, 'x');
  const std::string table = "image\tcaption\n" FOVEA_SOURCE_DIR "/tests/golden/images/rgb.png\t" + megabyte + "\n";
  LoaderOptions options;
  options.batch_size = 1;
  options.word_dropout = 0.5;
  Loader loader(ImageTextDataset(folder.write("pairs.tsv", table), {}), small_augmented(), &encoder, options);
  EXPECT_EQ(loader.next().text.tokens(), 1 + (1 << 20));
}

TEST(Loader, GivesUpWhenNothingCanBeRead) {
  const TempFolder folder;
  std::string table = "image\tcaption\n";
  for (int i = 0; i < 30; ++i) table += "missing.png\tx\n";
  LoaderOptions options;
  options.batch_size = 2;
  Loader loader(ImageTextDataset(folder.write("pairs.tsv", table), {}), small_augmented(), &encoder, options);
  testing::internal::CaptureStderr();
  const std::string error = error_of([&] { loader.next(); });
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_NE(error.find("none of 30 pictures in a row can be used"), std::string::npos) << error;
  EXPECT_EQ(std::count(warnings.begin(), warnings.end(), '\n'), 11) << warnings;
}

TEST(Loader, WorkersErrorsReachTheCaller) {
  struct Failing : TextEncoder {
    std::vector<std::int32_t> encode(std::string_view) const override { return {}; }
  } const failing;
  Loader loader(clip_art(), small_augmented(), &failing, options_with(2));
  EXPECT_NE(error_of([&] { loader.next(); }).find("the encoder gives no token"), std::string::npos);
}

TEST(Loader, RefusesImpossibleOptions) {
  const auto error_for = [](const LoaderOptions& options) {
    return error_of([&] { Loader(clip_art(), small_augmented(), &encoder, options); });
  };
  LoaderOptions large = options_with(0);
  large.batch_size = 153;
  EXPECT_NE(error_for(large).find("a batch of 153 is larger than the data set, which has 152 samples\nhint: "),
            std::string::npos);
  large.drop_last = false;
  EXPECT_EQ(error_for(large), "");
  LoaderOptions options = options_with(-1);
  EXPECT_NE(error_for(options), "");
  options = options_with(0);
  options.batch_size = 0;
  EXPECT_NE(error_for(options), "");
  options = options_with(0);
  options.prefetch = 0;
  EXPECT_NE(error_for(options), "");
  options = options_with(0);
  options.word_dropout = 1.5;
  EXPECT_NE(error_for(options).find("word dropout is 1.5"), std::string::npos);
  image::TransformConfig no_size;
  no_size.size = 0;
  EXPECT_THROW(Loader(clip_art(), no_size, &encoder, options_with(0)), Error);
  EXPECT_THROW(Loader(clip_art(), small_augmented(), nullptr, options_with(0)), Error);
}

}  // namespace
}  // namespace fovea::data
