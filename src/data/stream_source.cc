#include <algorithm>

#include "data/batch_source.h"
#include "data/skip_log.h"
#include "fovea/core/error.h"
#include "fovea/data/shard_stream.h"

namespace fovea::data::detail {
namespace {

constexpr std::int64_t failures_limit = 1000;  // of pictures in a row

// Batches of the next usable samples. Threads decode as many samples as a batch has; a batch is put together from
// those that could be used, whichever thread had them, so that it follows from the stream alone.
class StreamSource final : public BatchSource {
 public:
  StreamSource(ShardStream stream, const image::TransformConfig& transform, const TextEncoder& encoder,
               const LoaderOptions& options)
      : stream_(std::move(stream)),
        transform_(transform),
        encoder_(encoder),
        options_(options),
        share_(options.batch_size / options.ranks) {}

  Job take(std::int64_t number) override {
    Job job{number, {}};
    while (std::ssize(job.samples) < share_) job.samples.push_back(stream_.next());
    return job;
  }

  Part make(Job job) override {
    Part part;
    part.taken = std::ssize(job.samples);
    for (const StreamSample& sample : job.samples) {
      try {
        part.samples.push_back(made(sample));
      } catch (const Error& error) {
        const std::string_view what = error.what();
        skipped_.add(what.find(sample.name) != std::string_view::npos ? std::string(what)
                                                                      : concat(sample.name, ": ", what));
      }
    }
    return part;
  }

  Batch assemble(FunctionRef<Part()> next) override {
    while (std::ssize(waiting_) < share_) {
      Part part = next();
      failures_ = part.samples.empty() ? failures_ + part.taken : 0;
      FOVEA_CHECK(failures_ < std::max(failures_limit, 2 * share_), "[stream] none of ", failures_,
                  " pictures in a row can be used; one of them: ", skipped_.last_reason());
      std::move(part.samples.begin(), part.samples.end(), std::back_inserter(waiting_));
    }
    const std::span<MadeSample> used(waiting_.data(), static_cast<std::size_t>(share_));
    position_ = used.back().after;
    Batch batch = make_batch(used, transform_, options_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + share_);
    batch.epoch = delivered_ / batches_per_epoch();
    batch.index = delivered_ % batches_per_epoch();
    ++delivered_;
    return batch;
  }

  std::int64_t restart(std::int64_t number, const StreamPosition& position) override {
    FOVEA_CHECK(number == 0 || position != StreamPosition(), "[stream] batch ", number,
                " cannot be gone to without the stream's position, which the checkpoint does not have");
    stream_.seek(position);
    position_ = position;
    waiting_.clear();
    failures_ = 0;
    delivered_ = number;
    return 0;
  }

  StreamPosition position() const override { return position_; }
  std::int64_t size() const override { return stream_.samples(); }
  // Rounded up, as open_clip does: the stream goes on anyway.
  std::int64_t batches_per_epoch() const override { return chunk_count(size(), options_.batch_size); }
  std::int64_t skipped() const override { return stream_.skipped() + skipped_.count(); }

 private:
  MadeSample made(const StreamSample& sample) const {
    MadeSample result;
    result.id = sample.id;
    result.after = sample.after;
    const PictureFile file{{reinterpret_cast<const std::uint8_t*>(sample.picture.data()), sample.picture.size()},
                           sample.name};
    const auto transformed = [&](Rng rng) {
      const FileFacts facts = facts_of(file);
      const image::Image picture = decode(file, reduction_of(facts, transform_, options_, rng), transform_, options_);
      return image::train_transform(picture, facts.size, transform_, rng);
    };
    if (options_.features) {
      const std::int64_t view = options_.feature_views > 0 ? sample.pass % options_.feature_views : 0;
      add_features(result, hash128(sample.picture.data(), sample.picture.size()), view, options_, transformed);
    } else {
      result.picture = transformed(Rng(sample.draw.derive("augment")));
    }
    Rng rng(sample.draw.derive("text"));
    std::string text = random_text(sample.texts, rng);
    result.tokens = encode_text(std::move(text), rng, encoder_, options_);
    return result;
  }

  ShardStream stream_;
  const image::TransformConfig transform_;
  const TextEncoder& encoder_;
  const LoaderOptions options_;
  const std::int64_t share_;  // this rank's of every batch
  SkipLog skipped_;
  // Of the thread that takes batches.
  std::vector<MadeSample> waiting_;
  StreamPosition position_;
  std::int64_t failures_ = 0, delivered_ = 0;
};

}  // namespace

std::unique_ptr<BatchSource> stream_source(ShardStream stream, const image::TransformConfig& transform,
                                           const TextEncoder& encoder, const LoaderOptions& options) {
  return std::make_unique<StreamSource>(std::move(stream), transform, encoder, options);
}

}  // namespace fovea::data::detail
