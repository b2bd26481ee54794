// What a loader's threads do, for each kind of data set. Private to the sources.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/data/batch.h"
#include "fovea/data/loader.h"
#include "fovea/image/transform.h"

namespace fovea::data::detail {

// A sample that is ready to stand in a batch.
struct MadeSample {
  std::int64_t id = 0;
  std::vector<std::int32_t> tokens;
  std::optional<image::Image> picture;  // none when there are features
  std::vector<float> features;          // with a feature cache, what it holds; empty when it holds none
  Hash128 feature_key;
  StreamPosition after;  // of a stream
};

// Batches without a picture's features, or all the same.
Batch make_batch(std::span<MadeSample> samples, const image::TransformConfig& transform, const LoaderOptions& options);

// What stands in a picture's file.
struct PictureFile {
  std::span<const std::uint8_t> bytes;
  const std::string& name;
};
struct FileFacts {
  image::Size size;
  bool reducible;
};
FileFacts facts_of(const PictureFile& file);
// By how much the file's picture may be reduced for the transform with this generator.
int reduction_of(const FileFacts& facts, const image::TransformConfig& transform, const LoaderOptions& options,
                 const Rng& rng);
image::Image decode(const PictureFile& file, int reduction, const image::TransformConfig& transform,
                    const LoaderOptions& options);

// Looks a picture's features up; when there are none, `transformed` is called with the generator of its view, which
// follows from the file, so that equal pictures have equal features.
void add_features(MadeSample& sample, const Hash128& file, std::int64_t view, const LoaderOptions& options,
                  FunctionRef<image::Image(Rng)> transformed);

// Throws Error when the encoder gives no token.
std::vector<std::int32_t> encode_text(std::string text, Rng& rng, const TextEncoder& encoder,
                                      const LoaderOptions& options);

// Work for one thread, and what came of it.
struct Job {
  std::int64_t number = 0;
  std::vector<StreamSample> samples;
};
struct Part {
  Batch batch;
  std::vector<MadeSample> samples;
  std::int64_t taken = 0;  // of the stream, with those that could not be used
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // Jobs are taken in the order of their numbers, by one thread at a time, and done by several.
  virtual Job take(std::int64_t number) = 0;
  virtual Part make(Job job) = 0;
  // The next batch, from parts in the order of their jobs.
  virtual Batch assemble(FunctionRef<Part()> next) = 0;

  // Goes to batch `number`, counted through all epochs. Returns the number of the job to begin with.
  virtual std::int64_t restart(std::int64_t number, const StreamPosition& position) = 0;
  virtual StreamPosition position() const = 0;

  virtual std::int64_t size() const = 0;
  virtual std::int64_t batches_per_epoch() const = 0;
  virtual std::int64_t skipped() const = 0;
};

std::unique_ptr<BatchSource> stream_source(ShardStream stream, const image::TransformConfig& transform,
                                           const TextEncoder& encoder, const LoaderOptions& options);

}  // namespace fovea::data::detail
