#include "fovea/optim/ema.h"

#include <algorithm>
#include <cmath>

#include "fovea/core/parallel.h"

namespace fovea::optim {
namespace {

constexpr std::int64_t grain = 1 << 14;  // elements

// average += share * (value - average)
void move_towards(Tensor& average, const Tensor& value, double share) {
  dispatch_floating(average.dtype(), "ema", [&]<class T>() {
    T* a = average.mutable_data<T>();
    const T* v = value.data<T>();
    const T part = static_cast<T>(share);
    parallel_for(average.numel(), grain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) a[i] += part * (v[i] - a[i]);
    });
  });
}

void exchange(Tensor& a, Tensor& b) {
  dispatch_floating(a.dtype(), "ema", [&]<class T>() {
    T *first = a.mutable_data<T>(), *second = b.mutable_data<T>();
    parallel_for(a.numel(), grain, [=](std::int64_t begin, std::int64_t end) {
      std::swap_ranges(first + begin, first + end, second + begin);
    });
  });
}

}  // namespace

Ema::Ema(ParamStore& store, const std::vector<nn::ParamEntry>& entries, double decay, bool warmup)
    : store_(store), weights_(store.role("ema")), decay_(decay), warmup_(warmup) {
  FOVEA_CHECK(decay >= 0 && decay < 1, "[ema] decay is ", decay, ", expected a number of [0, 1)");
  weights_.copy_from(store.weights());
  for (const nn::ParamEntry& entry : entries) {
    if (entry.leaf->is_buffer()) buffers_.push_back({entry.leaf, entry.leaf->value.clone()});
  }
}

double Ema::decay_at(std::int64_t step) const {
  if (step <= 1) return 0;
  return warmup_ ? std::min(decay_, 1 - std::pow(static_cast<double>(step), -2.0 / 3)) : decay_;
}

void Ema::update(std::int64_t step) {
  const double share = 1 - decay_at(step);
  move_towards(weights_, store_.weights(), share);
  for (BufferAverage& buffer : buffers_) move_towards(buffer.average, buffer.leaf->value, share);
}

void Ema::swap() {
  exchange(store_.weights(), weights_);
  store_.weights_changed();
  for (BufferAverage& buffer : buffers_) exchange(buffer.leaf->value, buffer.average);
}

Tensor Ema::average(const nn::ParamEntry& entry) const {
  for (const BufferAverage& buffer : buffers_) {
    if (buffer.leaf == entry.leaf) return buffer.average;
  }
  return store_.view(weights_, entry);
}

}  // namespace fovea::optim
