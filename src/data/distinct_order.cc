#include "data/distinct_order.h"

#include <algorithm>
#include <numeric>

namespace fovea::data::detail {

DistinctOrder::DistinctOrder(const std::vector<std::int64_t>& keys, std::int64_t group_size) : group_size_(group_size) {
  for (std::size_t sample = 0; sample < keys.size(); ++sample) {
    const auto key = static_cast<std::size_t>(keys[sample]);
    if (key >= samples_.size()) samples_.resize(key + 1);
    samples_[key].push_back(static_cast<std::int64_t>(sample));
  }
  // fillable(m) / m falls with m, so a binary search finds the last m that works.
  std::int64_t high = static_cast<std::int64_t>(keys.size()) / group_size + 1;
  while (high - groups_ > 1) {
    const std::int64_t middle = groups_ + (high - groups_) / 2;
    (fillable(middle) >= middle * group_size ? groups_ : high) = middle;
  }
}

std::int64_t DistinctOrder::fillable(std::int64_t groups) const {
  std::int64_t places = 0;
  for (const auto& samples : samples_) places += std::min(std::ssize(samples), groups);
  return places;
}

std::vector<std::int64_t> DistinctOrder::draw(Rng rng) const {
  std::vector<std::size_t> keys(samples_.size());
  std::iota(keys.begin(), keys.end(), std::size_t{0});
  rng.shuffle(keys);
  std::vector<std::int64_t> names(static_cast<std::size_t>(groups_));
  std::iota(names.begin(), names.end(), 0);
  rng.shuffle(names);
  // Dealt like cards: the at most groups() samples of a key are neighbours, so each goes to another group.
  std::vector<std::int64_t> order(static_cast<std::size_t>(groups_ * group_size_));
  std::size_t dealt = 0;
  for (const std::size_t key : keys) {
    std::vector<std::int64_t> samples = samples_[key];
    rng.shuffle(samples);
    const auto kept = std::min(samples.size(), names.size());
    for (std::size_t i = 0; i < kept && dealt < order.size(); ++i, ++dealt) {
      const std::size_t group = static_cast<std::size_t>(names[dealt % names.size()]);
      order[group * static_cast<std::size_t>(group_size_) + dealt / names.size()] = samples[i];
    }
  }
  return order;
}

}  // namespace fovea::data::detail
