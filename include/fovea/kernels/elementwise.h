// Arithmetic element by element, with NumPy's broadcasting.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/core/parallel.h"

namespace fovea::kernels {

// Functions of one number. log of a negative number and sqrt of one are NaN; NaN stays NaN throughout.
enum class Unary : std::uint8_t {
  exp,
  log,
  sqrt,
  square,
  reciprocal,
  tanh,
  sigmoid,
  softplus,     // log(1 + e^x), without overflow
  log_sigmoid,  // -softplus(-x)
};

// Whether unary_grad reads the function's result y; otherwise its argument x.
constexpr bool grad_reads_result(Unary kind) {
  return kind == Unary::exp || kind == Unary::sqrt || kind == Unary::reciprocal || kind == Unary::tanh ||
         kind == Unary::sigmoid;
}

// y[i] = kind(x[i]), i < n. y may be x.
FOVEA_API void unary_f32(Unary kind, const float* x, std::int64_t n, float* y);

// dx[i] (+)= dy[i] kind'(x[i]); `saved` is y or x, as grad_reads_result tells.
FOVEA_API void unary_grad_f32(Unary kind, const float* saved, const float* dy, std::int64_t n, float* dx,
                              bool accumulate);

// y[i] (+)= scale x[i] + shift. y may be x.
FOVEA_API void affine_f32(const float* x, std::int64_t n, double scale, double shift, float* y, bool accumulate);

enum class Binary : std::uint8_t { add, sub, mul, div, equal };  // equal gives 1 or 0

// How two operands are repeated to fill a dense result: its axes, outermost first, with each operand's step in elements
// along them, 0 where the operand repeats. The innermost steps are 0 or 1, and rank is at least 1.
struct Broadcast {
  struct Axis {
    std::int64_t extent = 1, a_step = 1, b_step = 1;
  };
  int rank = 1;
  Axis axes[8];

  const Axis& inner() const { return axes[rank - 1]; }
  std::int64_t rows() const {
    std::int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= axes[i].extent;
    return n;
  }
  // Where the operands of one row of the result begin.
  std::int64_t a_offset(std::int64_t row) const { return offset(row, &Axis::a_step); }
  std::int64_t b_offset(std::int64_t row) const { return offset(row, &Axis::b_step); }

 private:
  std::int64_t offset(std::int64_t row, std::int64_t Axis::*step) const {
    std::int64_t total = 0;
    for (int i = rank - 2; i >= 0; --i) {
      total += row % axes[i].extent * (axes[i].*step);
      row /= axes[i].extent;
    }
    return total;
  }
};

// Calls f(a offset, b offset, y offset, length) for stretches of rows that together cover the result, in parallel.
template <class F>
void for_each_run(const Broadcast& plan, F&& f) {
  constexpr std::int64_t grain = 1 << 14;
  const Broadcast::Axis& inner = plan.inner();
  if (inner.extent == 0) return;
  const std::int64_t length = inner.extent < grain ? inner.extent : grain,
                     runs_per_row = chunk_count(inner.extent, length);
  parallel_for(plan.rows() * runs_per_row, grain / length, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t run = begin; run < end; ++run) {
      const std::int64_t row = run / runs_per_row, start = run % runs_per_row * length;
      f(plan.a_offset(row) + start * inner.a_step, plan.b_offset(row) + start * inner.b_step,
        row * inner.extent + start, start + length < inner.extent ? length : inner.extent - start);
    }
  });
}

// y[i] (+)= a (kind) b, broadcast by the plan. y may be an operand that is not repeated.
FOVEA_API void binary_f32(Binary kind, const Broadcast& plan, const float* a, const float* b, float* y,
                          bool accumulate);

}  // namespace fovea::kernels
