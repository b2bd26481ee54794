#include "fovea/data/shard_stream.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "data/sample_texts.h"
#include "data/skip_log.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/shard_list.h"

namespace fovea::data {
namespace {

constexpr std::int64_t ids_of_a_shard = 1'000'000, fruitless_limit = 100;

// Which shard comes when, on all ranks together.
class ShardOrder {
 public:
  ShardOrder(std::vector<Shard> shards, bool resampled, RngKey key)
      : shards_(std::move(shards)), resampled_(resampled), key_(key) {
    for (const Shard& shard : shards_) sums_.push_back((sums_.empty() ? 0 : sums_.back()) + shard.weight);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(shards_.size()); }
  const std::string& path(std::int64_t shard) const { return shards_[static_cast<std::size_t>(shard)].path; }
  std::int64_t pass(std::int64_t turn) const { return turn / size(); }

  std::int64_t shard_at(std::int64_t turn) {
    if (resampled_) {
      const double drawn = Rng(key_.derive(static_cast<std::uint64_t>(turn))).uniform() * sums_.back();
      const auto found = std::upper_bound(sums_.begin(), sums_.end(), drawn);
      return std::min(found - sums_.begin(), size() - 1);
    }
    if (pass(turn) != pass_) {
      pass_ = pass(turn);
      order_.resize(shards_.size());
      std::iota(order_.begin(), order_.end(), 0);
      Rng(key_.derive(static_cast<std::uint64_t>(pass_))).shuffle(order_);
    }
    return order_[static_cast<std::size_t>(turn % size())];
  }

 private:
  std::vector<Shard> shards_;
  bool resampled_;
  RngKey key_;
  std::vector<double> sums_;  // of the weights
  std::int64_t pass_ = -1;
  std::vector<std::int64_t> order_;  // in that pass
};

std::int64_t count_samples(const std::vector<Shard>& shards, const detail::ShardColumns& columns) {
  std::int64_t count = 0;
  for (const Shard& shard : shards) {
    try {
      ShardReader reader(shard.path, {});
      while (const std::optional<ShardSample> sample = reader.next(false)) {
        count += sample->find(columns.image_suffixes()) && sample->find(columns.text_suffixes());
      }
    } catch (const Error&) {  // the stream names it
    }
  }
  log::info(count, count == 1 ? " sample in " : " samples in ", shards.size(),
            shards.size() == 1 ? " shard" : " shards", "; --train-num-samples saves counting them");
  return count;
}

std::vector<Shard> checked_shards(const std::string& sources, const StreamOptions& options, std::int64_t ranks) {
  FOVEA_CHECK(options.shuffle_buffer >= 1, "[stream] the shuffle buffer is to hold ", options.shuffle_buffer,
              " samples, expected at least 1");
  FOVEA_CHECK(options.samples >= 0, "[stream] an epoch is to have ", options.samples, " samples, expected at least 0");
  FOVEA_CHECK(options.factors.empty() || options.resampled,
              "[stream] upsampling factors are given, which count only when shards are drawn with replacement",
              "\nhint: --dataset-resampled (data.resampled)");
  std::vector<Shard> shards = list_shards(sources, options.factors);
  FOVEA_CHECK(options.resampled || std::ssize(shards) >= ranks, "[stream] ", shards.size(),
              " shards cannot be shared by ", ranks,
              " ranks, expected at least one for each\nhint: write more and smaller shards, or draw them with "
              "replacement (--dataset-resampled)");
  return shards;
}

// What the shuffle buffer holds.
struct Buffer {
  StreamPosition begin;  // with none delivered
  std::vector<StreamSample> samples;
  bool ends_pass = false;  // no sample of the next pass stands among these
};

}  // namespace

struct ShardStream::Impl {
  Impl(const std::string& sources, const DatasetOptions& dataset, const StreamOptions& stream_options, RngKey seed,
       std::int64_t own_rank, std::int64_t all_ranks)
      : options(stream_options),
        every_text(dataset.every_text),
        columns(dataset),
        key(seed),
        rank(own_rank),
        ranks(all_ranks),
        order(checked_shards(sources, options, ranks), options.resampled, key.derive("shards")),
        read(columns.text_suffixes()) {
    read.insert(read.end(), columns.image_suffixes().begin(), columns.image_suffixes().end());
    samples = options.samples > 0 ? options.samples : count_samples(list_shards(sources), columns);
    FOVEA_CHECK(samples > 0, "[stream] ", sources, " holds no sample with a picture and a caption",
                "\nhint: --image-key and --text-key name the members to use");
  }

  StreamSample next() {
    if (delivered == size_of(current)) {
      while (!is_full(filling)) read_into(filling);
      shuffle(filling);
      current = std::move(filling);
      delivered = 0;
      filling = {{turn, sample, 0}, {}, false};
    } else if (!is_full(filling)) {
      read_into(filling);  // the buffer is filled as it empties
    }
    StreamSample result = std::move(current.samples[static_cast<std::size_t>(delivered++)]);
    result.after = position();
    return result;
  }

  StreamPosition position() const {
    return delivered == size_of(current) ? filling.begin
                                         : StreamPosition{current.begin.shard, current.begin.sample, delivered};
  }

  void seek(const StreamPosition& to) {
    reader.reset();
    current = {};
    delivered = 0;
    turn = to.shard;
    sample = to.sample;
    filling = {{turn, sample, 0}, {}, false};
    if (to.delivered == 0) return;
    while (!is_full(filling)) read_into(filling);
    shuffle(filling);
    current = std::move(filling);
    filling = {{turn, sample, 0}, {}, false};
    FOVEA_CHECK(to.delivered <= size_of(current), "[stream] no place ", to.delivered, " in a shuffle buffer of ",
                size_of(current), " samples\nhint: the shards are other ones than when the position was taken");
    delivered = to.delivered;
  }

  static std::int64_t size_of(const Buffer& buffer) { return std::ssize(buffer.samples); }
  bool is_full(const Buffer& buffer) const { return buffer.ends_pass || size_of(buffer) >= options.shuffle_buffer; }

  void shuffle(Buffer& buffer) const {
    if (options.shuffle_buffer == 1) return;
    const auto place = [](std::int64_t number) { return static_cast<std::uint64_t>(number); };
    Rng(key.derive("samples").derive(place(global_turn(buffer.begin.shard))).derive(place(buffer.begin.sample)))
        .shuffle(buffer.samples);
  }

  std::int64_t global_turn(std::int64_t own_turn) const { return own_turn * ranks + rank; }

  // Adds what the next usable sample makes, unless a pass ends before it.
  void read_into(Buffer& buffer) {
    while (true) {
      const std::optional<ShardSample> found = next_in_shard();
      if (!found && size_of(buffer) > 0 && !options.resampled &&
          order.pass(global_turn(turn)) != buffer.samples[0].pass)
        return void(buffer.ends_pass = true);
      if (!found) continue;
      const std::int64_t number = sample++;
      const std::string name = concat(path(), ": ", found->key);
      try {
        add(*found, number, name, buffer);
        fruitless = 0;
        return;
      } catch (const Error& error) {
        skipped.add(concat(path(), ": ", error.what()));
      }
    }
  }

  // None when the shard is over; the next call begins the following one.
  std::optional<ShardSample> next_in_shard() {
    try {
      if (!reader) open();
      if (std::optional<ShardSample> found = reader->next()) return found;
    } catch (const Error& error) {
      skipped.add(error.what());
    }
    reader.reset();
    ++turn;
    sample = 0;
    FOVEA_CHECK(++fruitless <= std::max(order.size(), fruitless_limit), "[stream] none of the last ", fruitless,
                " shards holds a usable sample; ", skipped.count() > 0 ? skipped.last_reason() : "all are empty",
                "\nhint: --image-key and --text-key name the members to use");
    return std::nullopt;
  }

  // Opens the shard whose turn it is, and passes over the samples before the one that is to come.
  void open() {
    shard = order.shard_at(global_turn(turn));
    reader.emplace(path(), read);
    for (std::int64_t passed = 0; passed < sample && reader->next(false);) ++passed;
  }

  const std::string& path() const { return order.path(shard); }

  void add(const ShardSample& found, std::int64_t number, const std::string& name, Buffer& buffer) const {
    const ShardMember& picture = columns.picture(found);
    bool repaired = false;
    const RngKey draw = key.derive("draw")
                            .derive(static_cast<std::uint64_t>(global_turn(turn)))
                            .derive(static_cast<std::uint64_t>(number));
    std::uint64_t part = 0;
    for (std::vector<Text>& texts : detail::samples_of(columns.texts(found, repaired), every_text)) {
      StreamSample& made = buffer.samples.emplace_back();
      made.name = name;
      made.picture = picture.contents;
      made.texts = std::move(texts);
      made.id = shard * ids_of_a_shard + number;
      made.pass = order.pass(global_turn(turn));
      made.draw = draw.derive(part++);
    }
  }

  StreamOptions options;
  bool every_text;
  detail::ShardColumns columns;
  RngKey key;
  std::int64_t rank, ranks;
  ShardOrder order;
  std::vector<std::string> read;  // suffixes
  std::int64_t samples = 0;
  detail::SkipLog skipped;

  // Where reading is: the rank's turn, its shard once that is open, and the number of the next sample in it.
  std::optional<ShardReader> reader;
  std::int64_t turn = 0, shard = 0, sample = 0;
  std::int64_t fruitless = 0;  // shards since the last usable sample

  Buffer current, filling;
  std::int64_t delivered = 0;  // of `current`
};

ShardStream::ShardStream(const std::string& shards, const DatasetOptions& columns, const StreamOptions& options,
                         std::uint64_t seed, std::int64_t rank, std::int64_t ranks)
    : impl_(std::make_unique<Impl>(shards, columns, options, RngKey{seed}.derive("stream"), rank, ranks)) {}
ShardStream::~ShardStream() = default;
ShardStream::ShardStream(ShardStream&&) noexcept = default;
ShardStream& ShardStream::operator=(ShardStream&&) noexcept = default;

StreamSample ShardStream::next() { return impl_->next(); }
StreamPosition ShardStream::position() const { return impl_->position(); }
void ShardStream::seek(const StreamPosition& position) { impl_->seek(position); }
std::int64_t ShardStream::samples() const { return impl_->samples; }
std::int64_t ShardStream::skipped() const { return impl_->skipped.count(); }

}  // namespace fovea::data
