// Features of a frozen tower, kept on disk, so that later epochs and runs neither decode nor encode.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "fovea/core/export.h"
#include "fovea/core/hash.h"

namespace fovea::data {

// One file of a folder, which holds the features that one tower gives after one transform: rows of `width` bf16
// numbers, each under the hash of what was encoded. The file grows by whole rows with a checksum each; a row that a
// crash cut short, or that was damaged since, counts as absent. Several processes may use a folder at once: each adds
// its rows and sees those that were there when it opened the file. May be used by several threads.
class FOVEA_API FeatureCache {
 public:
  // `encoder` is the hash of everything besides the input that decides the features: weights, transform, seed. Makes
  // folder and file where they are missing. Throws Error naming the file and the system's reason.
  FeatureCache(const std::string& folder, const Hash128& encoder, std::int64_t width);
  ~FeatureCache();

  std::int64_t width() const;
  std::int64_t size() const;  // rows

  // Writes the `width` numbers that were added under `key`, and says whether there are any.
  bool find(const Hash128& key, float* features) const;

  // Rounds rows of `width` numbers to bf16 in place, nearest and ties to even, and keeps them: whoever computed them
  // goes on with the numbers that find will give. Keys that are there already are passed over.
  void add(std::span<const Hash128> keys, float* features);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::data
