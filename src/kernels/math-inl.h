// Vector functions shared by the kernels. Included once per instruction set, after highway.h.
#include "fovea/kernels/activation.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#if defined(FOVEA_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_MATH_INL_H_
#undef FOVEA_KERNELS_MATH_INL_H_
#else
#define FOVEA_KERNELS_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// f(x), or x where it is NaN: what Min, Max and Highway's functions make of NaN differs between instruction sets.
template <class V>
HWY_INLINE V keep_nan(V x, V f) {
  return hn::IfThenElse(hn::IsNaN(x), x, f);
}

// e^x; 0 and infinity beyond the range of f32.
template <class D, class V>
HWY_INLINE V exp(D d, V x) {
  const V bounded = hn::Min(x, hn::Set(d, 89.0f));  // e^89 is infinity already; Exp goes astray far above
  return keep_nan(x, hn::Exp(d, bounded));
}

// e^x for x at most 88, as in a softmax: 0 where that is below the normal numbers of f32, NaN where x is; to 1e-7.
// 2^n e^r with |r| <= log(2) / 2: n is what rounding leaves at the bottom of `t`, and so is the exponent of 2^n.
template <class D, class V>
HWY_INLINE V exp_softmax(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const V shift = hn::Set(d, 12582912.0f + 127.0f);  // 1.5 * 2^23, and the bias of exponents
  const V t = hn::MulAdd(x, hn::Set(d, 1.44269504f), shift), n = hn::Sub(t, shift);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  V p = hn::Set(d, 0.0013814598f);  // e^r = 1 + r + r^2 q(r), least relative error
  p = hn::MulAdd(p, r, hn::Set(d, 0.008368717f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.04166839f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.16666521f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.49999994f));
  p = hn::MulAdd(hn::MulAdd(p, r, hn::Set(d, 1.0f)), r, hn::Set(d, 1.0f));
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, t)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), hn::Mul(p, power));
}

// Natural logarithm; log 0 is -infinity, NaN below.
template <class D, class V>
HWY_INLINE V log(D d, V x) {
  const V infinity = hn::Set(d, __builtin_inff()), zero = hn::Zero(d);
  V y = hn::IfThenElse(hn::Eq(x, infinity), infinity, hn::Log(d, x));
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), y);
  return keep_nan(x, hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, __builtin_nanf("")), y));
}

template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp(d, hn::Neg(x))));
}

template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  const V bounded = hn::Max(hn::Min(x, hn::Set(d, 10.0f)), hn::Set(d, -10.0f));
  return keep_nan(x, hn::Tanh(d, bounded));
}

// log(1 + e^x), without overflow.
template <class D, class V>
HWY_INLINE V softplus(D d, V x) {
  return keep_nan(x, hn::Add(hn::Max(x, hn::Zero(d)), hn::Log1p(d, exp(d, hn::Neg(hn::Abs(x))))));
}

// Error function, to 4e-7: x P(x^2) / Q(x^2), least squares on the interval where erf is not yet 1 in f32.
template <class D, class V>
HWY_INLINE V erf(D d, V x) {
  const V edge = hn::Set(d, 3.92f), one = hn::Set(d, 1.0f);
  const V size = hn::Abs(x), t = hn::Mul(x, x);
  V p = hn::Set(d, -1.2799296733589927e-08f);
  p = hn::MulAdd(p, t, hn::Set(d, 4.60912906419253e-06f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.00037675569183193147f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.00383863877505064f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.05424398556351662f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.18513596057891846f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.128379225730896f));
  V q = hn::Set(d, 6.239819049369544e-05f);
  q = hn::MulAdd(q, t, hn::Set(d, 0.0013015238801017404f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.015430068597197533f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.11387395858764648f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.49740588665008545f));
  q = hn::MulAdd(q, t, one);
  const V y = hn::Div(hn::Mul(size, p), q);
  const auto is_one = hn::Or(hn::Ge(size, edge), hn::Gt(y, one));  // false for NaN, which y then is
  return hn::CopySignToAbs(hn::IfThenElse(is_one, one, y), x);
}

constexpr float inv_sqrt2 = 0.70710678118654752f, inv_sqrt_2pi = 0.39894228040143268f;
constexpr float gelu_tanh_scale = 0.79788456080286536f, gelu_tanh_cubic = 0.044715f, quick_gelu_scale = 1.702f;

template <Activation kind, class D, class V>
HWY_INLINE V activate(D d, V x) {
  const V half = hn::Set(d, 0.5f), one = hn::Set(d, 1.0f);
  if constexpr (kind == Activation::relu) {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);  // unlike Max, keeps NaN
  } else if constexpr (kind == Activation::gelu) {
    return hn::Mul(hn::Mul(half, x), hn::Add(one, erf(d, hn::Mul(x, hn::Set(d, inv_sqrt2)))));
  } else if constexpr (kind == Activation::gelu_tanh) {
    const V cubic = hn::MulAdd(hn::Mul(hn::Set(d, gelu_tanh_cubic), hn::Mul(x, x)), x, x);
    return hn::Mul(hn::Mul(half, x), hn::Add(one, tanh(d, hn::Mul(hn::Set(d, gelu_tanh_scale), cubic))));
  } else if constexpr (kind == Activation::quick_gelu) {
    return hn::Mul(x, sigmoid(d, hn::Mul(hn::Set(d, quick_gelu_scale), x)));
  } else if constexpr (kind == Activation::silu) {
    return hn::Mul(x, sigmoid(d, x));
  } else {
    return x;
  }
}

// Derivative at x.
template <Activation kind, class D, class V>
HWY_INLINE V activate_grad(D d, V x) {
  const V half = hn::Set(d, 0.5f), one = hn::Set(d, 1.0f);
  if constexpr (kind == Activation::relu) {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), one);
  } else if constexpr (kind == Activation::gelu) {
    const V cdf = hn::Mul(half, hn::Add(one, erf(d, hn::Mul(x, hn::Set(d, inv_sqrt2)))));
    const V pdf = hn::Mul(hn::Set(d, inv_sqrt_2pi), exp(d, hn::Mul(hn::Set(d, -0.5f), hn::Mul(x, x))));
    return hn::MulAdd(x, pdf, cdf);
  } else if constexpr (kind == Activation::gelu_tanh) {
    const V square = hn::Mul(x, x);
    const V cubic = hn::MulAdd(hn::Mul(hn::Set(d, gelu_tanh_cubic), square), x, x);
    const V t = tanh(d, hn::Mul(hn::Set(d, gelu_tanh_scale), cubic));
    const V slope = hn::Mul(hn::Set(d, gelu_tanh_scale), hn::MulAdd(hn::Set(d, 3 * gelu_tanh_cubic), square, one));
    return hn::Mul(half, hn::MulAdd(hn::Mul(x, hn::NegMulAdd(t, t, one)), slope, hn::Add(one, t)));
  } else if constexpr (kind == Activation::quick_gelu || kind == Activation::silu) {
    const V scale = hn::Set(d, kind == Activation::silu ? 1.0f : quick_gelu_scale);
    const V scaled = hn::Mul(scale, x);
    const V s = sigmoid(d, scaled);
    return hn::Mul(s, hn::MulAdd(scaled, hn::Sub(one, s), one));
  } else {
    return one;
  }
}

// Calls f.template operator()<kind>() with the activation as a constant.
template <class F>
HWY_INLINE void with_activation(Activation kind, F&& f) {
  switch (kind) {
    case Activation::none: return f.template operator()<Activation::none>();
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::gelu: return f.template operator()<Activation::gelu>();
    case Activation::gelu_tanh: return f.template operator()<Activation::gelu_tanh>();
    case Activation::quick_gelu: return f.template operator()<Activation::quick_gelu>();
    case Activation::silu: return f.template operator()<Activation::silu>();
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
