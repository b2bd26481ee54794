// Gradients of a norm's weight and bias: sums over rows, taken by chunks of rows and then over the chunks in order, so
// that the bits do not depend on the number of threads.
#pragma once

#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/grad_target.h"
#include "kernels/scratch.h"

namespace fovea::kernels {

class NormPartials {
 public:
  static constexpr std::int64_t rows_per_chunk = 32;

  // Of `rows` rows; of none when the gradient is not wanted.
  NormPartials(std::int64_t rows, std::int64_t width, const GradTarget<float>& target)
      : width_(width),
        target_(target),
        chunks_(target ? chunk_count(rows, rows_per_chunk) : 0),
        sums_(chunks_ * width) {}

  // The sums of the chunk that begins at a row, to be written; null when not wanted.
  float* chunk(std::int64_t begin) const { return target_ ? sums_.data() + begin / rows_per_chunk * width_ : nullptr; }

  // Adds up the chunks, in f64.
  void finish() const {
    if (!target_) return;
    parallel_for(width_, 256, [this](std::int64_t begin, std::int64_t end) {
      std::vector<double> total(static_cast<std::size_t>(end - begin));
      for (std::int64_t c = 0; c < chunks_; ++c) {
        const float* sums = sums_.data() + c * width_ + begin;
        for (std::size_t j = 0; j < total.size(); ++j) total[j] += static_cast<double>(sums[j]);
      }
      for (std::size_t j = 0; j < total.size(); ++j) {
        target_.put(begin + static_cast<std::int64_t>(j), static_cast<float>(total[j]));
      }
    });
  }

 private:
  std::int64_t width_;
  GradTarget<float> target_;
  std::int64_t chunks_;
  Scratch<float> sums_;
};

}  // namespace fovea::kernels
