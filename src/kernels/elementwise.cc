#include "fovea/kernels/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

template <Unary kind>
HWY_INLINE VF32 apply(F32 d, VF32 x) {
  if constexpr (kind == Unary::exp) return exp(d, x);
  if constexpr (kind == Unary::log) return log(d, x);
  if constexpr (kind == Unary::sqrt) return hn::Sqrt(x);
  if constexpr (kind == Unary::square) return hn::Mul(x, x);
  if constexpr (kind == Unary::reciprocal) return hn::Div(hn::Set(d, 1.0f), x);
  if constexpr (kind == Unary::tanh) return tanh(d, x);
  if constexpr (kind == Unary::sigmoid) return sigmoid(d, x);
  if constexpr (kind == Unary::softplus) return softplus(d, x);
  if constexpr (kind == Unary::log_sigmoid) return hn::Neg(softplus(d, hn::Neg(x)));
}

template <Unary kind>
HWY_INLINE VF32 derivative(F32 d, VF32 saved) {
  const VF32 one = hn::Set(d, 1.0f);
  if constexpr (kind == Unary::exp) return saved;
  if constexpr (kind == Unary::log) return hn::Div(one, saved);
  if constexpr (kind == Unary::sqrt) return hn::Div(hn::Set(d, 0.5f), saved);
  if constexpr (kind == Unary::square) return hn::Add(saved, saved);
  if constexpr (kind == Unary::reciprocal) return hn::Neg(hn::Mul(saved, saved));
  if constexpr (kind == Unary::tanh) return hn::NegMulAdd(saved, saved, one);
  if constexpr (kind == Unary::sigmoid) return hn::NegMulAdd(saved, saved, saved);
  if constexpr (kind == Unary::softplus) return sigmoid(d, saved);
  if constexpr (kind == Unary::log_sigmoid) return sigmoid(d, hn::Neg(saved));
}

// Calls f.template operator()<kind>() with the function as a constant.
template <class F>
HWY_INLINE void with_unary(Unary kind, F&& f) {
  switch (kind) {
    case Unary::exp: return f.template operator()<Unary::exp>();
    case Unary::log: return f.template operator()<Unary::log>();
    case Unary::sqrt: return f.template operator()<Unary::sqrt>();
    case Unary::square: return f.template operator()<Unary::square>();
    case Unary::reciprocal: return f.template operator()<Unary::reciprocal>();
    case Unary::tanh: return f.template operator()<Unary::tanh>();
    case Unary::sigmoid: return f.template operator()<Unary::sigmoid>();
    case Unary::softplus: return f.template operator()<Unary::softplus>();
    case Unary::log_sigmoid: return f.template operator()<Unary::log_sigmoid>();
  }
}

void unary_block(Unary kind, const float* x, std::int64_t n, float* y) {
  const F32 d;
  with_unary(kind, [&]<Unary constant>() {
    transform(
        n, y, false, [d](VF32 v) { return apply<constant>(d, v); }, x);
  });
}

void unary_grad_block(Unary kind, const float* saved, const float* dy, std::int64_t n, float* dx, bool accumulate) {
  const F32 d;
  with_unary(kind, [&]<Unary constant>() {
    const auto chain = [d](VF32 s, VF32 g) { return hn::Mul(g, derivative<constant>(d, s)); };
    transform(n, dx, accumulate, chain, saved, dy);
  });
}

void affine_block(const float* x, std::int64_t n, float scale, float shift, float* y, bool accumulate) {
  const F32 d;
  const VF32 a = hn::Set(d, scale), b = hn::Set(d, shift);
  transform(
      n, y, accumulate, [=](VF32 v) { return hn::MulAdd(a, v, b); }, x);
}

template <Binary kind>
HWY_INLINE VF32 combine(F32 d, VF32 a, VF32 b) {
  if constexpr (kind == Binary::add) return hn::Add(a, b);
  if constexpr (kind == Binary::sub) return hn::Sub(a, b);
  if constexpr (kind == Binary::mul) return hn::Mul(a, b);
  if constexpr (kind == Binary::div) return hn::Div(a, b);
  if constexpr (kind == Binary::equal) return hn::IfThenElseZero(hn::Eq(a, b), hn::Set(d, 1.0f));
}

// One stretch of a row; an operand with step 0 is one number.
template <Binary kind>
HWY_INLINE void binary_run(const Broadcast::Axis& axis, const float* a, const float* b, float* y, std::int64_t n,
                           bool accumulate) {
  const F32 d;
  if (axis.a_step && axis.b_step) {
    transform(
        n, y, accumulate, [d](VF32 u, VF32 v) { return combine<kind>(d, u, v); }, a, b);
  } else if (axis.a_step) {
    const VF32 fixed = hn::Set(d, *b);
    transform(
        n, y, accumulate, [=](VF32 u) { return combine<kind>(d, u, fixed); }, a);
  } else if (axis.b_step) {
    const VF32 fixed = hn::Set(d, *a);
    transform(
        n, y, accumulate, [=](VF32 v) { return combine<kind>(d, fixed, v); }, b);
  } else {
    const VF32 fixed = combine<kind>(d, hn::Set(d, *a), hn::Set(d, *b));
    transform(n, y, accumulate, [=] { return fixed; });
  }
}

template <Binary kind>
void binary_runs(const Broadcast& plan, const float* a, const float* b, float* y, bool accumulate) {
  for_each_run(plan, [&](std::int64_t ai, std::int64_t bi, std::int64_t yi, std::int64_t length) {
    binary_run<kind>(plan.inner(), a + ai, b + bi, y + yi, length, accumulate);
  });
}

void binary_broadcast(Binary kind, const Broadcast& plan, const float* a, const float* b, float* y, bool accumulate) {
  switch (kind) {
    case Binary::add: return binary_runs<Binary::add>(plan, a, b, y, accumulate);
    case Binary::sub: return binary_runs<Binary::sub>(plan, a, b, y, accumulate);
    case Binary::mul: return binary_runs<Binary::mul>(plan, a, b, y, accumulate);
    case Binary::div: return binary_runs<Binary::div>(plan, a, b, y, accumulate);
    case Binary::equal: return binary_runs<Binary::equal>(plan, a, b, y, accumulate);
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {
namespace {

constexpr std::int64_t grain = 1 << 14;

}  // namespace

HWY_EXPORT(unary_block);
HWY_EXPORT(unary_grad_block);
HWY_EXPORT(affine_block);
HWY_EXPORT(binary_broadcast);

void unary_f32(Unary kind, const float* x, std::int64_t n, float* y) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(unary_block)(kind, x + begin, end - begin, y + begin);
  });
}

void unary_grad_f32(Unary kind, const float* saved, const float* dy, std::int64_t n, float* dx, bool accumulate) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(unary_grad_block)
    (kind, saved + begin, dy + begin, end - begin, dx + begin, accumulate);
  });
}

void affine_f32(const float* x, std::int64_t n, double scale, double shift, float* y, bool accumulate) {
  const auto a = static_cast<float>(scale), b = static_cast<float>(shift);
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(affine_block)(x + begin, end - begin, a, b, y + begin, accumulate);
  });
}

void binary_f32(Binary kind, const Broadcast& plan, const float* a, const float* b, float* y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(binary_broadcast)(kind, plan, a, b, y, accumulate);
}

}  // namespace fovea::kernels
#endif
