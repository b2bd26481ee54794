#include "fovea/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/batch_source.h"
#include "data/distinct_order.h"
#include "data/skip_log.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/text/clean.h"

namespace fovea::data {
namespace {

using image::Image;
using PictureHandle = std::shared_ptr<const Image>;
using detail::FileFacts, detail::Job, detail::MadeSample, detail::Part;

// Decoded pictures, whole and reduced, kept until the budget is used up. Thread-safe.
class PictureCache {
 public:
  PictureCache(std::int64_t pictures, std::int64_t bytes)
      : known_(static_cast<std::size_t>(pictures)), bytes_left_(bytes) {}

  // What decides the reduction that is wanted; once one of them was added.
  std::optional<FileFacts> facts(std::int64_t id) {
    const std::lock_guard lock(mutex_);
    return known_[static_cast<std::size_t>(id)].facts;
  }
  PictureHandle find(std::int64_t id, int reduction) {
    const std::lock_guard lock(mutex_);
    for (const Kept& kept : known_[static_cast<std::size_t>(id)].kept) {
      if (kept.reduction == reduction) return kept.picture;
    }
    return nullptr;
  }
  void add(std::int64_t id, const FileFacts& facts, int reduction, const PictureHandle& picture) {
    const auto bytes = static_cast<std::int64_t>(picture->pixels.size());
    const std::lock_guard lock(mutex_);
    Known& known = known_[static_cast<std::size_t>(id)];
    known.facts = facts;
    const bool is_kept = std::any_of(known.kept.begin(), known.kept.end(),
                                     [&](const Kept& kept) { return kept.reduction == reduction; });
    if (is_kept || bytes > bytes_left_) return;
    known.kept.push_back({reduction, picture});
    bytes_left_ -= bytes;
  }

 private:
  struct Kept {
    int reduction;
    PictureHandle picture;
  };
  struct Known {
    std::optional<FileFacts> facts;
    std::vector<Kept> kept;
  };
  std::mutex mutex_;
  std::vector<Known> known_;
  std::int64_t bytes_left_;
};

// Which samples turned out to be unusable. Thread-safe.
class SkipList {
 public:
  explicit SkipList(std::int64_t samples) : skipped_(static_cast<std::size_t>(samples)) {}

  bool contains(std::int64_t id) {
    const std::lock_guard lock(mutex_);
    return skipped_[static_cast<std::size_t>(id)];
  }
  void add(std::int64_t id, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (skipped_[static_cast<std::size_t>(id)]) return;
    skipped_[static_cast<std::size_t>(id)] = true;
    log_.add(reason);
  }
  std::int64_t count() const { return log_.count(); }
  std::string last_reason() const { return log_.last_reason(); }

 private:
  std::mutex mutex_;
  std::vector<bool> skipped_;
  detail::SkipLog log_;
};

// Samples with equal captions have equal keys.
std::vector<std::int64_t> caption_keys(const ImageTextDataset& dataset) {
  std::unordered_map<std::string, std::int64_t> known;
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    keys.push_back(known.emplace(text::clean(dataset.eval_text(i)), std::ssize(known)).first->second);
  return keys;
}

// Makes any batch of a data set with random access from its number alone.
class TableSource final : public detail::BatchSource {
 public:
  TableSource(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
              const LoaderOptions& options)
      : dataset_(std::move(dataset)),
        transform_(transform),
        encoder_(encoder),
        options_(options),
        pictures_(dataset_.size(), options.cache_bytes),
        skipped_(dataset_.size()),
        file_hashes_(static_cast<std::size_t>(options.features ? dataset_.size() : 0)) {
    if (options.distinct_batches == 0) return;
    const std::int64_t together = options.batch_size * options.distinct_batches;
    distinct_.emplace(caption_keys(dataset_), together);
    FOVEA_CHECK(distinct_->groups() > 0, "[loader] ", together, " samples with different captions are to be used ",
                "together, but the ", dataset_.size(), " samples have ", distinct_->keys(),
                "\nhint: choose a smaller batch (data.batch_size), or set data.distinct_captions=false");
  }

  const ImageTextDataset& dataset() const { return dataset_; }

  std::int64_t size() const override { return dataset_.size(); }
  std::int64_t skipped() const override { return skipped_.count(); }
  std::int64_t batches_per_epoch() const override {
    if (distinct_) return distinct_->groups() * options_.distinct_batches;
    return options_.drop_last ? dataset_.size() / options_.batch_size
                              : chunk_count(dataset_.size(), options_.batch_size);
  }

  Job take(std::int64_t number) override { return {number, {}}; }
  Batch assemble(FunctionRef<Part()> next) override { return next().batch; }
  std::int64_t restart(std::int64_t number, const StreamPosition&) override { return number; }
  StreamPosition position() const override { return {}; }

  Part make(Job job) override {
    const std::int64_t epoch = job.number / batches_per_epoch(), index = job.number % batches_per_epoch();
    const auto order = order_of(epoch);
    const std::int64_t share = options_.batch_size / options_.ranks;
    const std::int64_t begin = index * options_.batch_size + options_.rank * share;
    const std::int64_t count = std::min(share, dataset_.size() - begin);
    std::vector<MadeSample> samples;
    for (std::int64_t i = 0; i < count; ++i)
      samples.push_back(made((*order)[static_cast<std::size_t>(begin + i)], epoch));
    Part part;
    part.batch = detail::make_batch(samples, transform_, options_);
    part.batch.epoch = epoch;
    part.batch.index = index;
    return part;
  }

 private:
  using Order = std::vector<std::int64_t>;

  // The samples of one epoch in the order of their use.
  std::shared_ptr<const Order> order_of(std::int64_t epoch) {
    const std::lock_guard lock(orders_mutex_);
    auto& order = orders_[epoch];
    if (!order && distinct_) order = std::make_shared<const Order>(distinct_->draw(Rng(key("shuffle", epoch))));
    if (!order) {
      Order ids(static_cast<std::size_t>(dataset_.size()));
      std::iota(ids.begin(), ids.end(), 0);
      if (options_.shuffle) Rng(key("shuffle", epoch)).shuffle(ids);
      order = std::make_shared<const Order>(std::move(ids));
    }
    const auto result = order;
    // Workers may be at the end of one epoch and at the start of the next; nobody needs more.
    std::erase_if(orders_, [epoch](const auto& entry) { return std::abs(entry.first - epoch) > 1; });
    return result;
  }

  RngKey key(const char* purpose, std::int64_t epoch) const {
    return RngKey{options_.seed}.derive(purpose).derive(static_cast<std::uint64_t>(epoch));
  }

  // A picture as it comes from its file, and the size it had there.
  struct Source {
    PictureHandle picture;
    image::Size size;
  };

  // Reduced by as much as the transform allows with this generator.
  Source source(std::int64_t id, const Rng& rng) {
    const auto reduction = [&](const FileFacts& facts) {
      return detail::reduction_of(facts, transform_, options_, rng);
    };
    if (const std::optional<FileFacts> facts = pictures_.facts(id)) {
      if (PictureHandle known = pictures_.find(id, reduction(*facts))) return {std::move(known), facts->size};
    }
    const std::string& path = dataset_[id].image_path;
    const std::string bytes = image::read_picture_file(path);
    const detail::PictureFile file{{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path};
    const FileFacts facts = detail::facts_of(file);
    const auto decoded = std::make_shared<const Image>(detail::decode(file, reduction(facts), transform_, options_));
    pictures_.add(id, facts, reduction(facts), decoded);
    return {decoded, facts.size};
  }

  Image transformed(std::int64_t id, Rng rng) {
    const auto [picture, size] = source(id, rng);
    return options_.train ? image::train_transform(*picture, size, transform_, rng)
                          : image::eval_transform(*picture, transform_);
  }

  // The hash of a picture's file, which is read once.
  Hash128 file_hash(std::int64_t id) {
    std::optional<Hash128>& place = file_hashes_[static_cast<std::size_t>(id)];
    {
      const std::lock_guard lock(hashes_mutex_);
      if (place) return *place;
    }
    const std::string file = image::read_picture_file(dataset_[id].image_path);
    const Hash128 hash = hash128(file.data(), file.size());
    const std::lock_guard lock(hashes_mutex_);
    place = hash;
    return hash;
  }

  // The scheduled sample, or the first usable one after it. The random numbers stay those of the scheduled sample: a
  // picture shown twice in an epoch is not transformed twice in the same way.
  MadeSample made(std::int64_t scheduled, std::int64_t epoch) {
    MadeSample sample;
    add_picture(scheduled, epoch, sample);
    Rng rng(key("text", epoch).derive(static_cast<std::uint64_t>(scheduled)));
    std::string text = options_.train ? dataset_.random_text(sample.id, rng) : dataset_.eval_text(sample.id);
    sample.tokens = detail::encode_text(std::move(text), rng, *encoder_, options_);
    return sample;
  }

  void add_picture(std::int64_t scheduled, std::int64_t epoch, MadeSample& sample) {
    const Rng rng(key("augment", epoch).derive(static_cast<std::uint64_t>(scheduled)));
    const std::int64_t candidates = std::min<std::int64_t>(dataset_.size(), 100);
    for (std::int64_t i = 0; i < candidates; ++i) {
      const std::int64_t id = (scheduled + i) % dataset_.size();
      if (skipped_.contains(id)) continue;
      try {
        sample.id = id;
        if (options_.features) {
          const std::int64_t view = options_.feature_views > 0 ? epoch % options_.feature_views : 0;
          detail::add_features(sample, file_hash(id), view, options_,
                               [&](Rng drawn) { return transformed(id, drawn); });
        } else {
          sample.picture = transformed(id, rng);
        }
        return;
      } catch (const Error& error) {
        skip(id, error.what());
      }
    }
    fail("[loader] none of ", candidates, " pictures in a row can be used; one of them: ", skipped_.last_reason(),
         "\nhint: picture paths start from the table's folder");
  }

  void skip(std::int64_t id, const std::string& what) {
    const std::string& path = dataset_[id].image_path;
    const bool names_it = what.find(path) != std::string::npos;
    const std::string reason = concat("sample ", id, names_it ? "" : " (" + path + ")", ": ", what);
    if (!options_.train) fail("[loader] ", reason);
    skipped_.add(id, reason);
  }

  const ImageTextDataset dataset_;
  const image::TransformConfig transform_;
  const TextEncoder* encoder_;
  const LoaderOptions options_;
  PictureCache pictures_;
  SkipList skipped_;
  std::mutex hashes_mutex_;
  std::vector<std::optional<Hash128>> file_hashes_;
  std::optional<detail::DistinctOrder> distinct_;
  std::mutex orders_mutex_;
  std::map<std::int64_t, std::shared_ptr<const Order>> orders_;
};

void check(const TextEncoder* encoder, const LoaderOptions& options) {
  FOVEA_CHECK(encoder != nullptr, "[loader] no text encoder was given");
  FOVEA_CHECK(options.batch_size >= 1, "[loader] batch size is ", options.batch_size, ", expected at least 1");
  FOVEA_CHECK(options.workers >= 0 && options.workers <= 1024, "[loader] ", options.workers,
              " workers, expected 0 to 1024");
  FOVEA_CHECK(options.prefetch >= 1, "[loader] prefetch is ", options.prefetch, ", expected at least 1");
  FOVEA_CHECK(options.word_dropout >= 0 && options.word_dropout <= 1, "[loader] word dropout is ", options.word_dropout,
              ", expected 0 to 1");
}

void check_ranks(const LoaderOptions& options) {
  FOVEA_CHECK(options.rank >= 0 && options.rank < options.ranks, "[loader] no rank ", options.rank, ", there are ",
              options.ranks);
  FOVEA_CHECK(options.batch_size % options.ranks == 0 && (options.ranks == 1 || options.drop_last),
              "[loader] batches of ", options.batch_size, " cannot be shared evenly by ", options.ranks,
              " ranks\nhint: choose a multiple of their number (data.batch_size), and leave out incomplete batches");
}

void check(const ImageTextDataset& dataset, const LoaderOptions& options) {
  FOVEA_CHECK(options.distinct_batches >= 0 && (options.distinct_batches == 0 || (options.train && options.shuffle)),
              "[loader] captions are to differ in ", options.distinct_batches,
              " batches in a row, expected 0, or a number when training in random order");
  FOVEA_CHECK(!options.drop_last || options.batch_size <= dataset.size(), "[loader] a batch of ", options.batch_size,
              " is larger than the data set, which has ", dataset.size(),
              " samples\nhint: choose a smaller batch (data.batch_size), or keep the incomplete last batch");
}

void check_for_stream(const LoaderOptions& options) {
  FOVEA_CHECK(options.train && options.shuffle && options.drop_last,
              "[loader] streams are for training, in random order and whole batches");
  FOVEA_CHECK(options.distinct_batches == 0, "[loader] captions cannot be kept apart in a stream",
              "\nhint: set data.distinct_captions=false");
}

}  // namespace

// The queue between the workers and next(). Jobs are numbered from where the loader was started.
struct Loader::Impl {
  Impl(std::unique_ptr<detail::BatchSource> what, const LoaderOptions& options)
      : source(std::move(what)),
        worker_count(options.workers),
        prefetch(std::max<std::int64_t>(options.prefetch, options.workers)) {}
  ~Impl() { stop(); }

  Batch next() {
    return source->assemble([this] { return next_part(); });
  }

  Part next_part() {
    if (worker_count == 0) {
      Part part = source->make(source->take(taken));
      ++taken;
      return part;
    }
    if (workers.empty()) start();
    std::unique_lock lock(mutex);
    made_one.wait(lock, [this] { return results.contains(taken); });
    // A failed job stays in its place: whoever asks again gets the same answer.
    if (const std::exception_ptr error = results.at(taken).error) std::rethrow_exception(error);
    Part part = std::move(results.extract(taken).mapped().part);
    ++taken;
    took_one.notify_one();
    return part;
  }

  void restart(std::int64_t number, const StreamPosition& position) {
    stop();
    taken = source->restart(number, position);
  }

  void start() {
    stopping = false;
    started = taken;
    for (int i = 0; i < worker_count; ++i) workers.emplace_back([this] { work(); });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    took_one.notify_all();
    for (std::thread& worker : workers) worker.join();
    workers.clear();
    results.clear();
  }

  void work() {
    const SerialScope serial;
    while (true) {
      std::unique_lock turn(taking);  // before `mutex`: whoever waits for room goes on with the next job
      std::unique_lock lock(mutex);
      took_one.wait(lock, [this] { return stopping || started < taken + prefetch; });
      if (stopping) return;
      const std::int64_t number = started++;
      lock.unlock();
      Result result = attempt(number, turn);
      lock.lock();
      results.emplace(number, std::move(result));
      made_one.notify_one();
    }
  }

  struct Result {
    Part part;
    std::exception_ptr error;
  };

  // Lets others take jobs once this one is taken.
  Result attempt(std::int64_t number, std::unique_lock<std::mutex>& turn) {
    try {
      Job job = source->take(number);
      turn.unlock();
      return {source->make(std::move(job)), nullptr};
    } catch (...) {
      return {{}, std::current_exception()};
    }
  }

  std::unique_ptr<detail::BatchSource> source;
  const ImageTextDataset* dataset = nullptr;  // when there is one
  int worker_count;
  std::int64_t prefetch;
  std::vector<std::thread> workers;

  std::mutex taking;
  std::mutex mutex;  // guards what follows
  std::condition_variable made_one, took_one;
  std::map<std::int64_t, Result> results;
  std::int64_t started = 0, taken = 0;  // the next job to be begun, and to be handed out
  bool stopping = false;
};

Loader::Loader(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
               const LoaderOptions& options) {
  check(encoder, options);
  check_ranks(options);
  check(dataset, options);
  image::check(transform);
  auto source = std::make_unique<TableSource>(std::move(dataset), transform, encoder, options);
  const ImageTextDataset* kept = &source->dataset();
  impl_ = std::make_unique<Impl>(std::move(source), options);
  impl_->dataset = kept;
}

Loader::Loader(ShardStream stream, const image::TransformConfig& transform, const TextEncoder* encoder,
               const LoaderOptions& options) {
  check(encoder, options);
  check_ranks(options);
  check_for_stream(options);
  image::check(transform);
  impl_ = std::make_unique<Impl>(detail::stream_source(std::move(stream), transform, *encoder, options), options);
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

Batch Loader::next() { return impl_->next(); }

void Loader::restart(std::int64_t epoch, std::int64_t index, const StreamPosition& position) {
  FOVEA_CHECK(epoch >= 0 && index >= 0 && index <= batches_per_epoch(), "[loader] no batch ", index, " in epoch ",
              epoch, ", an epoch has ", batches_per_epoch());
  impl_->restart(epoch * batches_per_epoch() + index, position);
}

StreamPosition Loader::position() const { return impl_->source->position(); }
std::int64_t Loader::batches_per_epoch() const { return impl_->source->batches_per_epoch(); }
std::int64_t Loader::size() const { return impl_->source->size(); }
std::int64_t Loader::skipped() const { return impl_->source->skipped(); }
const ImageTextDataset& Loader::dataset() const {
  FOVEA_CHECK(impl_->dataset, "[loader] a stream has no data set with random access");
  return *impl_->dataset;
}

}  // namespace fovea::data
