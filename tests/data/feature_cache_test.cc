#include "fovea/data/feature_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/io/file.h"
#include "test_files.h"

namespace fovea::data {
namespace {

constexpr std::int64_t width = 37;
constexpr Hash128 tower{1, 2};

Hash128 key_of(int i) { return hash128(&i, sizeof i); }

std::vector<float> features_of(int i) {
  std::vector<float> x(width);
  Rng rng(static_cast<std::uint64_t>(i) + 1);
  for (float& value : x) value = static_cast<float>(rng.normal());
  return x;
}

void add(FeatureCache& cache, int begin, int end) {
  std::vector<Hash128> keys;
  std::vector<float> rows;
  for (int i = begin; i < end; ++i) {
    keys.push_back(key_of(i));
    const std::vector<float> x = features_of(i);
    rows.insert(rows.end(), x.begin(), x.end());
  }
  cache.add(keys, rows.data());
  for (int i = begin; i < end; ++i) {
    std::vector<float> found(width);
    ASSERT_TRUE(cache.find(key_of(i), found.data()));
    for (std::size_t k = 0; k < width; ++k) {
      EXPECT_EQ(found[k], rows[static_cast<std::size_t>(i - begin) * width + k]);  // rounded in place
      EXPECT_LE(std::abs(found[k] - features_of(i)[k]), std::abs(found[k]) / 256);
    }
  }
}

int count_found(const FeatureCache& cache, int n) {
  int found = 0;
  std::vector<float> x(width);
  for (int i = 0; i < n; ++i) found += cache.find(key_of(i), x.data());
  return found;
}

std::string only_file(const std::string& folder) {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) path = entry.path().string();
  return path;
}

TEST(FeatureCache, KeepsRowsForLaterRuns) {
  const TempFolder folder;
  {
    FeatureCache cache(folder / "new/features", tower, width);
    EXPECT_EQ(count_found(cache, 10), 0);
    add(cache, 0, 4);
    add(cache, 2, 7);  // some are there already
    EXPECT_EQ(cache.size(), 7);
  }
  FeatureCache again(folder / "new/features", tower, width);
  EXPECT_EQ(count_found(again, 10), 7);
  add(again, 7, 10);
  FeatureCache other(folder / "new/features", {1, 3}, width);
  EXPECT_EQ(other.size(), 0);
}

TEST(FeatureCache, SeveralMayAddAtOnce) {
  const TempFolder folder;
  FeatureCache a(folder.path(), tower, width), b(folder.path(), tower, width);
  add(a, 0, 5);
  add(b, 5, 9);
  add(a, 9, 11);
  EXPECT_EQ(FeatureCache(folder.path(), tower, width).size(), 11);
}

TEST(FeatureCache, DamagedAndIncompleteRowsAreAbsent) {
  const TempFolder folder;
  {
    FeatureCache cache(folder.path(), tower, width);
    add(cache, 0, 6);
  }
  const std::string path = only_file(folder.path()), whole = io::read_file(path);
  std::string damaged = whole;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
  io::write_file(path, damaged);
  EXPECT_EQ(count_found(FeatureCache(folder.path(), tower, width), 6), 5);
  io::write_file(path, whole.substr(0, whole.size() - 11));
  {
    FeatureCache cut(folder.path(), tower, width);
    EXPECT_EQ(count_found(cut, 6), 5);
    add(cut, 5, 8);
  }
  EXPECT_EQ(count_found(FeatureCache(folder.path(), tower, width), 8), 8);
  EXPECT_THROW(FeatureCache(folder.path(), tower, width + 1), Error);
  io::write_file(path, "fov");  // not even the header was written
  EXPECT_EQ(FeatureCache(folder.path(), tower, width).size(), 0);
}

TEST(FeatureCache, NamesWhatCannotBeOpened) {
  const TempFolder folder;
  const std::string file = folder.write("file", "");
  EXPECT_THROW(FeatureCache(file, tower, width), Error);
}

}  // namespace
}  // namespace fovea::data
