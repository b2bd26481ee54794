// An order of samples in which those that are used together have different captions. Private to the sources.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/core/rng.h"

namespace fovea::data::detail {

// Samples by what must not meet: groups of `group_size` samples without two of one key.
class DistinctOrder {
 public:
  // `keys` holds one key for each sample, numbers from 0 on.
  DistinctOrder(const std::vector<std::int64_t>& keys, std::int64_t group_size);

  // As many as can be filled: the largest m with sum over keys of min(count, m) >= m * group_size.
  std::int64_t groups() const { return groups_; }
  std::int64_t keys() const { return static_cast<std::int64_t>(samples_.size()); }

  // The samples of all groups, one group after another. Which samples of a key that has more than groups() are left
  // out, what meets what, and the order inside a group are random.
  std::vector<std::int64_t> draw(Rng rng) const;

 private:
  std::int64_t fillable(std::int64_t groups) const;  // places of so many groups, when each takes a key once

  std::vector<std::vector<std::int64_t>> samples_;  // of each key
  std::int64_t group_size_, groups_ = 0;
};

}  // namespace fovea::data::detail
