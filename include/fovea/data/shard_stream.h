// An endless stream of samples from webdataset shards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/data/image_text_dataset.h"

namespace fovea::data {

struct StreamOptions {
  std::string factors;                 // with `resampled`: a weight for each source, "1::2" (list_shards)
  bool resampled = false;              // every shard is drawn anew, by weight, instead of each once in a pass
  std::int64_t shuffle_buffer = 5000;  // samples that are read together and delivered in random order; 1: as they come
  std::int64_t samples = 0;            // of an epoch, on all ranks together; 0: as many as the shards hold, counted
};

// Where a stream stands. A shuffle buffer was filled from the `sample`-th sample of the rank's `shard`-th shard on, and
// `delivered` of what it held are gone.
struct StreamPosition {
  std::int64_t shard = 0, sample = 0, delivered = 0;

  friend bool operator==(const StreamPosition&, const StreamPosition&) = default;
};

struct StreamSample {
  std::string name;         // shard and key, for messages
  std::string picture;      // the file's bytes
  std::vector<Text> texts;  // at least one that is not empty
  std::int64_t id = 0;      // the shard's number in the list, times a million, and the sample's in the shard
  std::int64_t pass = 0;    // which pass over the shards, or as many of them
  RngKey draw;              // of what is random about this showing of the sample
  StreamPosition after;     // where the stream goes on behind it
};

// The samples of a rank, one after another and pass after pass. Everything follows from the seed: the order of the
// shards, new in every pass, of which `ranks` ranks take one each by turns; and the order inside the shuffle buffer,
// which is filled again as it empties. Samples without picture or caption, damaged and vanished shards are skipped:
// each is counted, and the first ten are named in a warning.
class FOVEA_API ShardStream {
 public:
  // `shards` as for list_shards; of `columns`, those of shards count (ImageTextDataset). Throws Error for shards that
  // are missing or fewer than ranks, and for impossible options.
  ShardStream(const std::string& shards, const DatasetOptions& columns, const StreamOptions& options,
              std::uint64_t seed = 0, std::int64_t rank = 0, std::int64_t ranks = 1);
  ~ShardStream();
  ShardStream(ShardStream&&) noexcept;
  ShardStream& operator=(ShardStream&&) noexcept;

  // Throws Error when a hundred shards, or all, give no sample one after another.
  StreamSample next();

  StreamPosition position() const;  // of the next sample
  void seek(const StreamPosition& position);

  std::int64_t samples() const;  // of an epoch
  std::int64_t skipped() const;  // samples and shards so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::data
