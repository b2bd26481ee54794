// Batches from a data set, made ahead by worker threads.
#pragma once

#include <cstdint>
#include <memory>

#include "fovea/core/export.h"
#include "fovea/data/batch.h"
#include "fovea/data/feature_cache.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/data/shard_stream.h"
#include "fovea/data/text_encoder.h"
#include "fovea/image/decode.h"
#include "fovea/image/transform.h"

namespace fovea::data {

struct LoaderOptions {
  std::int64_t batch_size = 256;                        // of all ranks together
  int rank = 0, ranks = 1;                              // which even part of every batch is delivered, of how many
  bool train = true;                                    // random transforms and texts; otherwise those of evaluation
  bool shuffle = true;                                  // a new order in every epoch
  bool drop_last = true;                                // leave out the samples that do not fill a batch
  int workers = 1;                                      // threads that make batches; 0: they are made inside next()
  std::int64_t prefetch = 4;                            // batches made ahead, at most (at least one per worker)
  std::int64_t cache_bytes = std::int64_t{1} << 30;     // decoded pictures kept in memory
  std::int64_t max_pixels = image::default_max_pixels;  // of one picture
  double word_dropout = 0;                              // training: probability of leaving out each word of a text
  // Training, in random order: so many batches in a row, counted from an epoch's first, hold no two samples with equal
  // captions (those of evaluation, cleaned); an epoch has as many batches as can be filled so. 0: any may meet.
  std::int64_t distinct_batches = 0;
  std::uint64_t seed = 0;
  // When not null, must outlive the loader: features that it holds are delivered in place of pictures.
  const FeatureCache* features = nullptr;
  std::int64_t feature_views = 0;  // training with it: transforms of each picture, one epoch each; 0: not random at all
};

// Delivers one epoch after another; each of several ranks gets its even share of every batch. A batch is decided by the
// seed, its epoch and its index alone: the number of workers, the cache and restarts do not change it.
//
// While training, a picture that cannot be read or transformed is skipped: it is counted, named in a warning (the first
// ten), and the next sample in the data set's order that can be used takes its place, so that batches keep their size.
// In evaluation, where that would change the score, it is an error.
class FOVEA_API Loader {
 public:
  // The encoder must outlive the loader. Throws Error for impossible options, and when batches are larger than the data
  // set and incomplete ones are dropped.
  Loader(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
         const LoaderOptions& options);
  // Of a stream, a picture that cannot be used is left out, counted and named in the same way, and the next of the
  // stream stands in its place. Its seed, rank and ranks must be those of the options. An epoch is as many batches as
  // stream.samples() fill, the last one by samples of the next pass.
  Loader(ShardStream stream, const image::TransformConfig& transform, const TextEncoder* encoder,
         const LoaderOptions& options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  // The next batch; after an epoch's last comes the first of the following one. Throws what went wrong while making it.
  Batch next();

  // Goes to batch `index` (0 .. batches_per_epoch()) of an epoch. A new loader stands at (0, 0). Of a stream, anywhere
  // else needs the position() that was taken there.
  void restart(std::int64_t epoch, std::int64_t index, const StreamPosition& position = {});
  StreamPosition position() const;

  std::int64_t batches_per_epoch() const;
  std::int64_t size() const;                // samples of an epoch
  std::int64_t skipped() const;             // pictures found unusable so far; of a stream, also samples and shards
  const ImageTextDataset& dataset() const;  // throws Error for a stream

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::data
