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

#include "data/distinct_order.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/data/word_dropout.h"
#include "fovea/tensor/factory.h"
#include "fovea/text/clean.h"

namespace fovea::data {
namespace {

using image::Image;
using PictureHandle = std::shared_ptr<const Image>;

// Of a picture's file.
struct FileFacts {
  image::Size size;
  bool reducible;
};

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
    last_reason_ = reason;
    if (++count_ <= warnings) log::warning("skipped: ", reason);
    if (count_ == warnings) log::warning("further skipped pictures are counted, but not named");
  }
  std::int64_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  std::string last_reason() {
    const std::lock_guard lock(mutex_);
    return last_reason_;
  }

 private:
  static constexpr std::int64_t warnings = 10;

  std::mutex mutex_;
  std::vector<bool> skipped_;
  std::int64_t count_ = 0;
  std::string last_reason_;
};

// Samples with equal captions have equal keys.
std::vector<std::int64_t> caption_keys(const ImageTextDataset& dataset) {
  std::unordered_map<std::string, std::int64_t> known;
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    keys.push_back(known.emplace(text::clean(dataset.eval_text(i)), std::ssize(known)).first->second);
  return keys;
}

// Makes any batch from its number alone; may be used by several threads.
class BatchMaker {
 public:
  BatchMaker(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
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
  std::int64_t skipped() { return skipped_.count(); }

  std::int64_t batches_per_epoch() const {
    if (distinct_) return distinct_->groups() * options_.distinct_batches;
    return options_.drop_last ? dataset_.size() / options_.batch_size
                              : chunk_count(dataset_.size(), options_.batch_size);
  }

  // `number` counts the batches of all epochs.
  Batch make(std::int64_t number) {
    Batch batch;
    batch.epoch = number / batches_per_epoch();
    batch.index = number % batches_per_epoch();
    const auto order = order_of(batch.epoch);
    const std::int64_t begin = batch.index * options_.batch_size;
    const std::int64_t count = std::min(options_.batch_size, dataset_.size() - begin);
    if (options_.features) batch.image_features = Tensor({count, options_.features->width()});
    std::vector<Image> pictures;
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> lengths;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t scheduled = (*order)[static_cast<std::size_t>(begin + i)];
      const std::int64_t id = add_picture(scheduled, batch, pictures);
      const std::vector<std::int32_t> ids = encode_text(scheduled, id, batch.epoch);
      tokens.insert(tokens.end(), ids.begin(), ids.end());
      lengths.push_back(static_cast<std::int64_t>(ids.size()));
      batch.sample_ids.push_back(id);
    }
    batch.images = image::stack(pictures, {transform_.size, transform_.size});
    batch.normalization = transform_.normalization;
    batch.tokens = from_values<std::int32_t>({static_cast<std::int64_t>(tokens.size())}, tokens);
    batch.text = PackedLayout::from_lengths(lengths);
    batch.text.sample_ids = from_values<std::int64_t>({count}, batch.sample_ids);
    return batch;
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
    const auto reduction_of = [&](const FileFacts& facts) {
      return options_.train && facts.reducible ? image::train_reduction(facts.size, transform_, rng) : 1;
    };
    if (const std::optional<FileFacts> facts = pictures_.facts(id)) {
      if (PictureHandle known = pictures_.find(id, reduction_of(*facts))) return {std::move(known), facts->size};
    }
    const std::string& path = dataset_[id].image_path;
    const std::string file = image::read_picture_file(path);
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
    const FileFacts facts{image::picture_size(bytes, path), image::can_be_reduced(bytes)};
    const int reduction = reduction_of(facts);
    const auto decoded = std::make_shared<const Image>(image::decode(
        bytes, path, {.max_pixels = options_.max_pixels, .alpha = transform_.alpha, .reduction = reduction}));
    pictures_.add(id, facts, reduction, decoded);
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

  // The features of the next row of the batch, or the picture that they are to be computed from.
  void add_features(std::int64_t id, Batch& batch, std::vector<Image>& pictures) {
    const std::uint64_t view =
        options_.feature_views > 0 ? static_cast<std::uint64_t>(batch.epoch % options_.feature_views) : 0;
    const auto row = static_cast<std::int64_t>(batch.feature_keys.size());
    const struct {
      Hash128 file;
      std::uint64_t view;
    } content{file_hash(id), view};
    const Hash128 key = hash128(&content, sizeof content);
    if (!options_.features->find(key, batch.image_features.rows(row, row + 1).mutable_data<float>())) {
      // A view follows from the file, so that equal pictures have equal features.
      const RngKey drawn = RngKey{options_.seed}.derive("view").derive(view).derive(content.file.low);
      pictures.push_back(transformed(id, Rng(drawn)));
      batch.uncached.push_back(row);
    }
    batch.feature_keys.push_back(key);
  }

  // Adds the picture of the scheduled sample, or of the first usable one after it, and returns which. The random
  // numbers stay those of the scheduled sample: a picture shown twice in an epoch is not transformed twice in the same
  // way.
  std::int64_t add_picture(std::int64_t scheduled, Batch& batch, std::vector<Image>& pictures) {
    const Rng rng(key("augment", batch.epoch).derive(static_cast<std::uint64_t>(scheduled)));
    const std::int64_t candidates = std::min<std::int64_t>(dataset_.size(), 100);
    for (std::int64_t i = 0; i < candidates; ++i) {
      const std::int64_t id = (scheduled + i) % dataset_.size();
      if (skipped_.contains(id)) continue;
      try {
        if (options_.features) {
          add_features(id, batch, pictures);
        } else {
          pictures.push_back(transformed(id, rng));
        }
        return id;
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

  std::vector<std::int32_t> encode_text(std::int64_t scheduled, std::int64_t id, std::int64_t epoch) const {
    Rng rng(key("text", epoch).derive(static_cast<std::uint64_t>(scheduled)));
    std::string text = options_.train ? dataset_.random_text(id, rng) : dataset_.eval_text(id);
    if (options_.train && options_.word_dropout > 0) text = drop_words(text, options_.word_dropout, rng);
    std::vector<std::int32_t> ids = encoder_->encode(text);
    FOVEA_CHECK(!ids.empty(), "[loader] the encoder gives no token for \"", text, "\", expected at least one");
    return ids;
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

void check(const ImageTextDataset& dataset, const TextEncoder* encoder, const LoaderOptions& options) {
  FOVEA_CHECK(encoder != nullptr, "[loader] no text encoder was given");
  FOVEA_CHECK(options.batch_size >= 1, "[loader] batch size is ", options.batch_size, ", expected at least 1");
  FOVEA_CHECK(options.workers >= 0 && options.workers <= 1024, "[loader] ", options.workers,
              " workers, expected 0 to 1024");
  FOVEA_CHECK(options.prefetch >= 1, "[loader] prefetch is ", options.prefetch, ", expected at least 1");
  FOVEA_CHECK(options.word_dropout >= 0 && options.word_dropout <= 1, "[loader] word dropout is ", options.word_dropout,
              ", expected 0 to 1");
  FOVEA_CHECK(options.distinct_batches >= 0 && (options.distinct_batches == 0 || (options.train && options.shuffle)),
              "[loader] captions are to differ in ", options.distinct_batches,
              " batches in a row, expected 0, or a number when training in random order");
  FOVEA_CHECK(!options.drop_last || options.batch_size <= dataset.size(), "[loader] a batch of ", options.batch_size,
              " is larger than the data set, which has ", dataset.size(),
              " samples\nhint: choose a smaller batch (data.batch_size), or keep the incomplete last batch");
}

}  // namespace

// The queue between the workers and next(). Batches are numbered through all epochs.
struct Loader::Impl {
  Impl(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
       const LoaderOptions& options)
      : maker(std::move(dataset), transform, encoder, options),
        worker_count(options.workers),
        prefetch(std::max<std::int64_t>(options.prefetch, options.workers)) {}
  ~Impl() { stop(); }

  Batch next() {
    if (worker_count == 0) {
      Batch batch = maker.make(taken);
      ++taken;
      return batch;
    }
    if (workers.empty()) start();
    std::unique_lock lock(mutex);
    made_one.wait(lock, [this] { return results.contains(taken); });
    // A failed batch stays in its place: whoever asks again gets the same answer.
    if (const std::exception_ptr error = results.at(taken).error) std::rethrow_exception(error);
    Batch batch = std::move(results.extract(taken).mapped().batch);
    ++taken;
    took_one.notify_one();
    return batch;
  }

  void restart(std::int64_t number) {
    stop();
    taken = number;
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
    std::unique_lock lock(mutex);
    while (true) {
      took_one.wait(lock, [this] { return stopping || started < taken + prefetch; });
      if (stopping) return;
      const std::int64_t number = started++;
      lock.unlock();
      Result result = attempt(number);
      lock.lock();
      results.emplace(number, std::move(result));
      made_one.notify_one();
    }
  }

  struct Result {
    Batch batch;
    std::exception_ptr error;
  };

  Result attempt(std::int64_t number) {
    try {
      return {maker.make(number), nullptr};
    } catch (...) {
      return {{}, std::current_exception()};
    }
  }

  BatchMaker maker;
  int worker_count;
  std::int64_t prefetch;
  std::vector<std::thread> workers;

  std::mutex mutex;  // guards what follows
  std::condition_variable made_one, took_one;
  std::map<std::int64_t, Result> results;
  std::int64_t started = 0, taken = 0;  // the next number to be made, and to be handed out
  bool stopping = false;
};

Loader::Loader(ImageTextDataset dataset, const image::TransformConfig& transform, const TextEncoder* encoder,
               const LoaderOptions& options) {
  check(dataset, encoder, options);
  image::check(transform);
  impl_ = std::make_unique<Impl>(std::move(dataset), transform, encoder, options);
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

Batch Loader::next() { return impl_->next(); }

void Loader::restart(std::int64_t epoch, std::int64_t index) {
  FOVEA_CHECK(epoch >= 0 && index >= 0 && index <= batches_per_epoch(), "[loader] no batch ", index, " in epoch ",
              epoch, ", an epoch has ", batches_per_epoch());
  impl_->restart(epoch * batches_per_epoch() + index);
}

std::int64_t Loader::batches_per_epoch() const { return impl_->maker.batches_per_epoch(); }
std::int64_t Loader::size() const { return dataset().size(); }
std::int64_t Loader::skipped() const { return impl_->maker.skipped(); }
const ImageTextDataset& Loader::dataset() const { return impl_->maker.dataset(); }

}  // namespace fovea::data
