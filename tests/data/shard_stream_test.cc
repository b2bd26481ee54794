#include "fovea/data/shard_stream.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "../support/tar_bytes.h"
#include "fovea/data/loader.h"
#include "fovea/image/encode.h"
#include "fovea/io/tar.h"
#include "fovea/tensor/reduce.h"
#include "test_files.h"

namespace fovea::data {
namespace {

using tests::tar_entry;

// A PNG picture that its number decides.
std::string picture(int number) {
  image::Image image(8, 8);
  Rng rng(static_cast<std::uint64_t>(number));
  for (auto& x : image.pixels) x = static_cast<std::uint8_t>(rng.below(256));
  return image::encode_png(image);
}

// Shards 0.tar, 1.tar, ... in a folder, of so many samples each, whose captions are their numbers.
class Stream : public testing::Test {
 protected:
  void SetUp() override {
    const std::string error = error_of([] { io::TarReader reader("/no/such"); });
    if (error.find("has no libarchive") != std::string::npos) GTEST_SKIP() << "this build has no libarchive";
  }
  std::string sample(int number) const {
    const std::string name = std::to_string(number);
    return tar_entry({name + ".png", picture(number)}) + tar_entry({name + ".txt", name});
  }
  std::string write_shards(const std::vector<int>& sizes) {
    int number = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      std::string bytes;
      for (int k = 0; k < sizes[i]; ++k) bytes += sample(number++);
      folder_.write(std::to_string(i) + ".tar", bytes + tests::tar_end);
    }
    return folder_ / "{0.." + std::to_string(sizes.size() - 1) + "}.tar";
  }
  static StreamOptions buffer_of(std::int64_t size, std::int64_t samples = 1) {
    StreamOptions options;
    options.shuffle_buffer = size;
    options.samples = samples;
    return options;
  }
  static std::vector<int> take(ShardStream& stream, int count) {
    std::vector<int> numbers;
    for (int i = 0; i < count; ++i) numbers.push_back(std::stoi(stream.next().texts.front().text));
    return numbers;
  }
  TempFolder folder_;
};

std::vector<int> sorted(std::vector<int> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

TEST_F(Stream, EveryPassShowsEverySampleOnceInANewOrder) {
  const std::string shards = write_shards({4, 1, 7, 3, 5});
  ShardStream stream(shards, {}, buffer_of(1, 0), 3);
  EXPECT_EQ(stream.samples(), 20);
  std::vector<std::vector<int>> passes;
  for (int pass = 0; pass < 3; ++pass) {
    passes.push_back(take(stream, 20));
    const std::vector<int> all = sorted(passes.back());
    for (int i = 0; i < 20; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
  }
  EXPECT_NE(passes[0], passes[1]);
  ShardStream again(shards, {}, buffer_of(1, 0), 3), other(shards, {}, buffer_of(1, 0), 4);
  EXPECT_EQ(take(again, 20), passes[0]);
  EXPECT_NE(take(other, 20), passes[0]);
}

TEST_F(Stream, TheBufferMixesWhatItHolds) {
  const std::string shards = write_shards({10, 10, 10});
  ShardStream ordered(shards, {}, buffer_of(1), 1), mixed(shards, {}, buffer_of(15), 1);
  const std::vector<int> straight = take(ordered, 60), shuffled = take(mixed, 60);
  EXPECT_NE(straight, shuffled);
  for (std::ptrdiff_t begin = 0; begin < 60; begin += 15) {
    EXPECT_EQ(sorted({straight.begin() + begin, straight.begin() + begin + 15}),
              sorted({shuffled.begin() + begin, shuffled.begin() + begin + 15}));
  }
  const StreamSample sample = mixed.next();
  EXPECT_EQ(sample.picture, picture(std::stoi(sample.texts.front().text)));
  EXPECT_EQ(sample.pass, 2);
}

TEST_F(Stream, GoesOnFromEveryPosition) {
  const std::string shards = write_shards({4, 1, 7, 3, 5});
  for (const std::int64_t buffer : {1, 6, 50}) {
    ShardStream stream(shards, {}, buffer_of(buffer), 3);
    std::vector<StreamPosition> positions{stream.position()};
    std::vector<StreamSample> samples;
    for (int i = 0; i < 45; ++i) {
      samples.push_back(stream.next());
      positions.push_back(stream.position());
      EXPECT_EQ(samples.back().after, positions.back());
    }
    for (std::size_t i = 0; i < 45; i += 4) {
      ShardStream resumed(shards, {}, buffer_of(buffer), 3);
      if (i % 8) resumed.next();
      resumed.seek(positions[i]);
      for (std::size_t k = i; k < 45; ++k) {
        const StreamSample sample = resumed.next();
        EXPECT_EQ(sample.name, samples[k].name);
        EXPECT_EQ(sample.id, samples[k].id);
        EXPECT_EQ(sample.draw, samples[k].draw);
        EXPECT_EQ(sample.after, samples[k].after);
      }
    }
  }
}

TEST_F(Stream, RanksShareEveryPass) {
  const std::string shards = write_shards({4, 4, 4, 4, 4, 4});
  for (const std::int64_t ranks : {2, 3, 6}) {
    std::vector<int> all;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      ShardStream stream(shards, {}, buffer_of(3), 9, rank, ranks);
      const std::vector<int> own = take(stream, static_cast<int>(24 / ranks));
      all.insert(all.end(), own.begin(), own.end());
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(std::set<int>(all.begin(), all.end()).size(), 24u) << ranks;
  }
  EXPECT_NE(
      error_of([&] { ShardStream(shards, {}, buffer_of(3), 9, 0, 7); }).find("6 shards cannot be shared by 7 ranks"),
      std::string::npos);
}

TEST_F(Stream, DrawsShardsByWeight) {
  write_shards({1, 1, 1, 1});
  StreamOptions options = buffer_of(1);
  options.resampled = true;
  options.factors = "1::5";
  ShardStream stream(folder_ / "{0..1}.tar::" + folder_ / "{2..3}.tar", {}, options, 1);
  std::map<int, int> counts;
  for (const int number : take(stream, 6000)) ++counts[number];
  EXPECT_NEAR(counts[0], 500, 100);  // 1 of 12; about four standard deviations
  EXPECT_NEAR(counts[1], 500, 100);
  EXPECT_NEAR(counts[2], 2500, 160);
  EXPECT_NEAR(counts[3], 2500, 160);
  options.resampled = false;
  EXPECT_NE(error_of([&] {
              ShardStream(folder_ / "0.tar::" + folder_ / "1.tar", {}, options);
            }).find("count only when shards are drawn with replacement"),
            std::string::npos);
}

TEST_F(Stream, WhatIsBadIsNamedCountedAndSkipped) {
  const std::string good = sample(1), third = sample(3);
  folder_.write("0.tar", tar_entry({"a.txt", "no picture"}) + good + tar_entry({"b.png", picture(2)}) +
                             tar_entry({"c.png", picture(2)}) + tar_entry({"c.txt", " \n"}) + tests::tar_end);
  folder_.write("1.tar", third + tar_entry({"cut.png", std::string(5000, 'x')}).substr(0, 2000));
  folder_.write("2.tar", "this is no archive");
  testing::internal::CaptureStderr();
  ShardStream stream(folder_ / "{0..2}.tar", {}, buffer_of(1, 0), 1);
  EXPECT_EQ(stream.samples(), 3);  // by their names; that c is empty shows when it is read
  EXPECT_EQ(sorted(take(stream, 4)), (std::vector<int>{1, 1, 3, 3}));
  const std::string warnings = testing::internal::GetCapturedStderr();
  for (const std::string& expected :
       {folder_ / "0.tar: [shards] a has no picture (jpg, png, jpeg, webp), only txt",
        folder_ / "0.tar: [shards] b has no caption", folder_ / "0.tar: [shards] c has no caption",
        folder_ / "1.tar is damaged or cut short in cut.png", folder_ / "2.tar is no tar archive"})
    EXPECT_NE(warnings.find(expected), std::string::npos) << expected << " is not in\n" << warnings;
  EXPECT_GE(stream.skipped(), 5);
}

TEST_F(Stream, StopsWhenThereIsNothingToBeHad) {
  folder_.write("0.tar", tar_entry({"a.png", picture(1)}) + tests::tar_end);
  folder_.write("1.tar", tests::tar_end);
  testing::internal::CaptureStderr();
  const std::string shards = folder_ / "{0..1}.tar";
  EXPECT_NE(
      error_of([&] { ShardStream(shards, {}, buffer_of(1, 0)); }).find("holds no sample with a picture and a caption"),
      std::string::npos);
  ShardStream stream(shards, {}, buffer_of(10, 5));
  for (int i = 0; i < 2; ++i) {
    const std::string error = error_of([&] { stream.next(); });
    EXPECT_NE(error.find("shards holds a usable sample; " + folder_ / "0.tar: [shards] a has no caption"),
              std::string::npos)
        << error;
  }
  testing::internal::GetCapturedStderr();
  EXPECT_NE(error_of([&] { ShardStream(shards, {}, buffer_of(0)); }).find("shuffle buffer is to hold 0"),
            std::string::npos);
}

TEST_F(Stream, AShardThatVanishesIsSkipped) {
  const std::string shards = write_shards({2, 2, 2});
  ShardStream stream(shards, {}, buffer_of(1, 6), 1);
  take(stream, 6);
  std::filesystem::remove(folder_ / "1.tar");
  testing::internal::CaptureStderr();
  EXPECT_EQ(sorted(take(stream, 4)), (std::vector<int>{0, 1, 4, 5}));
  take(stream, 4);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("cannot open " + folder_ / "1.tar"), std::string::npos);
}

TEST_F(Stream, TakesTheColumnsThatAreNamed) {
  folder_.write("0.tar",
                tar_entry({"a.jpg", picture(1)}) + tar_entry({"a.seg.png", picture(2)}) +
                    tar_entry({"a.json", R"({"caption": "json", "de": ["eins", "zwei"], "n": 5, "lang": "xx"})"}) +
                    tests::tar_end);
  const std::string shard = folder_ / "0.tar";
  EXPECT_EQ(ShardStream(shard, {}, buffer_of(1)).next().texts.front().text, "json");
  DatasetOptions columns;
  columns.image_column = "webp;seg.png";
  columns.text_columns = {{"txt;none"}, {"de"}};
  ShardStream stream(shard, columns, buffer_of(1));
  const StreamSample sample = stream.next();
  EXPECT_EQ(sample.picture, picture(2));
  ASSERT_EQ(sample.texts.size(), 3u);
  EXPECT_EQ(sample.texts[0].text, "");  // of evaluation
  EXPECT_EQ(sample.texts[2].text, "zwei");
  EXPECT_EQ(sample.texts[2].language, "de");
  columns.language_column = "lang";
  EXPECT_EQ(ShardStream(shard, columns, buffer_of(1)).next().texts[1].language, "xx");
  columns.every_text = true;
  ShardStream pairs(shard, columns, buffer_of(1));
  EXPECT_EQ(pairs.next().texts.front().text, "eins");
  const StreamSample second = pairs.next();
  EXPECT_EQ(second.texts.size(), 1u);
  EXPECT_EQ(second.texts.front().text, "zwei");
}

// The loader on a stream.

const ByteEncoder encoder;

image::TransformConfig augmented() {
  image::TransformConfig transform;
  transform.size = 8;
  transform.augment.affine.rotation = 10;
  return transform;
}

LoaderOptions loader_options(int workers) {
  LoaderOptions options;
  options.batch_size = 6;
  options.workers = workers;
  options.seed = 5;
  return options;
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.sample_ids, b.sample_ids);
  EXPECT_EQ(count_different_bits(a.images, b.images), 0);
  ASSERT_EQ(a.tokens.shape(), b.tokens.shape());
  EXPECT_EQ(count_different_bits(a.tokens, b.tokens), 0);
  EXPECT_EQ(count_different_bits(a.text.offsets, b.text.offsets), 0);
}

class StreamLoader : public Stream {
 protected:
  // Shards with pictures that are cut off among them: 20 samples, 17 of which can be used.
  void SetUp() override {
    Stream::SetUp();
    int number = 0;
    for (int shard = 0; shard < 4; ++shard) {
      std::string bytes;
      for (int k = 0; k < 5; ++k, ++number) {
        const std::string name = std::to_string(number);
        const std::string whole = picture(number);
        const bool bad = number % 7 == 3;
        bytes += tar_entry({name + ".png", bad ? whole.substr(0, whole.size() / 2) : whole}) +
                 tar_entry({name + ".txt", name});
      }
      folder_.write(std::to_string(shard) + ".tar", bytes + tests::tar_end);
    }
    testing::internal::CaptureStderr();
  }
  void TearDown() override { warnings_ = testing::internal::GetCapturedStderr(); }

  Loader loader(int workers, std::int64_t samples = 0) const {
    return Loader(ShardStream(folder_ / "{0..3}.tar", {}, buffer_of(7, samples), 5), augmented(), &encoder,
                  loader_options(workers));
  }
  std::string warnings_;
};

TEST_F(StreamLoader, BatchesDoNotDependOnTheWorkers) {
  Loader plain = loader(0), one = loader(1), four = loader(4);
  EXPECT_EQ(plain.size(), 20);
  EXPECT_EQ(plain.batches_per_epoch(), 4);
  std::map<std::int64_t, int> shown;
  for (int i = 0; i < 17; ++i) {  // 102 samples: six passes
    const Batch expected = plain.next();
    EXPECT_EQ(expected.size(), 6);
    EXPECT_EQ(expected.epoch, i / 4);
    EXPECT_EQ(expected.index, i % 4);
    expect_same(one.next(), expected);
    expect_same(four.next(), expected);
    for (const std::int64_t id : expected.sample_ids) ++shown[id];
  }
  EXPECT_EQ(shown.size(), 17u);
  for (const auto& [id, times] : shown) EXPECT_NEAR(times, 6, 1) << id;
  EXPECT_GE(plain.skipped(), 15);
}

TEST_F(StreamLoader, GoesOnToTheSameBits) {
  Loader whole = loader(2);
  std::vector<Batch> batches;
  std::vector<StreamPosition> positions;
  for (int i = 0; i < 10; ++i) {
    positions.push_back(whole.position());
    batches.push_back(whole.next());
  }
  for (const int workers : {0, 3}) {
    for (const int begin : {0, 1, 5, 9}) {
      Loader resumed = loader(workers);
      if (begin == 5) resumed.next();
      resumed.restart(begin / 4, begin % 4, positions[static_cast<std::size_t>(begin)]);
      for (int i = begin; i < 10; ++i) expect_same(resumed.next(), batches[static_cast<std::size_t>(i)]);
    }
  }
  EXPECT_NE(error_of([&] { whole.restart(0, 2); }).find("batch 2 cannot be gone to without the stream's position"),
            std::string::npos);
  whole.restart(0, 0);
  expect_same(whole.next(), batches[0]);
}

TEST_F(StreamLoader, RanksShareEveryBatch) {
  LoaderOptions options = loader_options(1);
  options.ranks = 2;
  std::set<std::int64_t> seen;
  for (options.rank = 0; options.rank < 2; ++options.rank) {
    Loader loader(ShardStream(folder_ / "{0..3}.tar", {}, buffer_of(7, 0), 5, options.rank, 2), augmented(), &encoder,
                  options);
    EXPECT_EQ(loader.batches_per_epoch(), 4);
    for (int i = 0; i < 2; ++i) {
      const Batch batch = loader.next();
      EXPECT_EQ(batch.size(), 3);
      for (const std::int64_t id : batch.sample_ids) EXPECT_TRUE(seen.insert(id).second) << id;
    }
  }
}

TEST_F(StreamLoader, AnEpochIsAsLongAsItIsSaid) {
  Loader loader = this->loader(1, 100);
  EXPECT_EQ(loader.size(), 100);
  EXPECT_EQ(loader.batches_per_epoch(), 17);
}

TEST_F(StreamLoader, BadPicturesAreNamed) {
  Loader loader = this->loader(0);
  for (int i = 0; i < 3; ++i) loader.next();
  const std::string warnings = testing::internal::GetCapturedStderr();
  testing::internal::CaptureStderr();
  EXPECT_NE(warnings.find("skipped: [image] " + folder_ / "0.tar: 3: damaged picture"), std::string::npos) << warnings;
}

TEST_F(StreamLoader, NothingButBadPicturesIsAnError) {
  folder_.write("0.tar", tar_entry({"a.png", "no picture"}) + tar_entry({"a.txt", "x"}) + tests::tar_end);
  for (const int workers : {0, 2}) {
    Loader loader(ShardStream(folder_ / "0.tar", {}, buffer_of(5), 5), augmented(), &encoder, loader_options(workers));
    EXPECT_NE(
        error_of([&] { loader.next(); }).find("[stream] none of 1002 pictures in a row can be used; one of them: "),
        std::string::npos);
  }
}

TEST_F(StreamLoader, KeepsFeatures) {
  FeatureCache cache(folder_ / "features", {1, 2}, 2);
  LoaderOptions options = loader_options(0);
  options.features = &cache;
  const auto first = [&] {
    return Loader(ShardStream(folder_ / "{0..3}.tar", {}, buffer_of(7), 5), augmented(), &encoder, options).next();
  };
  const Batch fresh = first();
  EXPECT_EQ(fresh.uncached.size(), 6u);
  std::vector<float> rows(12, 3);
  cache.add(fresh.feature_keys, rows.data());
  const Batch known = first();
  EXPECT_TRUE(known.uncached.empty());
  EXPECT_EQ(known.sample_ids, fresh.sample_ids);
  EXPECT_EQ(known.image_features.at(11), 3);
}

TEST_F(StreamLoader, RefusesWhatStreamsCannotDo) {
  LoaderOptions options = loader_options(0);
  options.distinct_batches = 1;
  const auto make = [&] {
    Loader(ShardStream(folder_ / "{0..3}.tar", {}, buffer_of(7), 5), augmented(), &encoder, options);
  };
  EXPECT_NE(error_of(make).find("captions cannot be kept apart in a stream"), std::string::npos);
  options.distinct_batches = 0;
  options.train = false;
  EXPECT_NE(error_of(make).find("streams are for training"), std::string::npos);
  EXPECT_NE(error_of([&] { loader(0).dataset(); }).find("has no data set with random access"), std::string::npos);
}

}  // namespace
}  // namespace fovea::data
