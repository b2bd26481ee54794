#include "fovea/optim/gradient_exchange.h"

#include <algorithm>

namespace fovea::optim {

GradientExchange::GradientExchange(ParamStore& store, dist::Group& group, std::int64_t bucket_bytes)
    : store_(store), group_(group) {
  const std::int64_t longest = std::max<std::int64_t>(1, bucket_bytes / size_of(store.gradients().dtype()));
  for (const ParamStore::Slot& slot : store.slots()) {
    if (buckets_.empty() || buckets_.back().end - buckets_.back().begin >= longest) {
      buckets_.emplace_back();
      buckets_.back().begin = slot.offset;
    }
    Bucket& bucket = buckets_.back();
    bucket.end = slot.offset + slot.length;
    ++bucket.leaves;
    bucket_of_.emplace_back(slot.leaf, buckets_.size() - 1);
  }
  std::sort(bucket_of_.begin(), bucket_of_.end());
  for (std::int64_t b = buckets(); b-- > 0;) order_.push_back(b);
}

void GradientExchange::completed(Node& leaf) {
  const auto found = std::lower_bound(bucket_of_.begin(), bucket_of_.end(),
                                      std::pair(static_cast<const Node*>(&leaf), std::size_t{0}));
  if (found == bucket_of_.end() || found->first != &leaf) return;
  if (!leaf.has_grad) {  // used, but for nothing that the loss depends on
    leaf.grad.fill(0);
    leaf.has_grad = true;
  }
  Bucket& bucket = buckets_[found->second];
  if (++bucket.complete < bucket.leaves) return;
  seen_.push_back(static_cast<std::int64_t>(found->second));
  start_complete(false);
}

// Every rank starts the buckets in the same order, whatever order they complete in.
void GradientExchange::start_complete(bool all) {
  for (; started_ < order_.size(); ++started_) {
    Bucket& bucket = buckets_[static_cast<std::size_t>(order_[started_])];
    if (!all && bucket.complete < bucket.leaves) return;
    Tensor part = store_.gradients().segment(bucket.begin, {bucket.end - bucket.begin});
    bucket.sum = group_.start_sum(part);
  }
}

void GradientExchange::progress() {
  while (waited_ < started_ && buckets_[static_cast<std::size_t>(order_[waited_])].sum->test()) ++waited_;
}

void GradientExchange::finish() {
  started_early_ = static_cast<std::int64_t>(started_);
  store_.complete_gradients();
  start_complete(true);
  const double share = 1.0 / group_.size();
  for (const std::int64_t b : order_) {
    Bucket& bucket = buckets_[static_cast<std::size_t>(b)];
    bucket.sum->wait();
    bucket.sum.reset();
    bucket.complete = 0;
    Tensor part = store_.gradients().segment(bucket.begin, {bucket.end - bucket.begin});
    dispatch_floating(part.dtype(), "gradient_exchange", [&]<class T>() {
      T* gradient = part.mutable_data<T>();
      parallel_for(part.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) gradient[i] *= static_cast<T>(share);
      });
    });
  }
  if (!order_is_learned_) {
    for (const std::int64_t b : order_) {
      if (std::find(seen_.begin(), seen_.end(), b) == seen_.end()) seen_.push_back(b);
    }
    order_ = seen_;
    group_.broadcast(order_.data(), static_cast<std::int64_t>(order_.size() * sizeof order_[0]));
    order_is_learned_ = true;
  }
  seen_.clear();
  started_ = waited_ = 0;
}

}  // namespace fovea::optim
