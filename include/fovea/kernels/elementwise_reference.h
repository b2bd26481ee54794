// Element by element, one number at a time: the plain form of what the kernels compute, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/kernels/activation_reference.h"
#include "fovea/kernels/elementwise.h"

namespace fovea::kernels {

template <class T>
T softplus_reference(T x) {
  return std::fmax(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

template <class T>
T unary_reference(Unary kind, T x) {
  switch (kind) {
    case Unary::exp: return std::exp(x);
    case Unary::log: return std::log(x);
    case Unary::sqrt: return std::sqrt(x);
    case Unary::square: return x * x;
    case Unary::reciprocal: return 1 / x;
    case Unary::tanh: return std::tanh(x);
    case Unary::sigmoid: return sigmoid_reference(x);
    case Unary::softplus: return softplus_reference(x);
    case Unary::log_sigmoid: return -softplus_reference(-x);
  }
  return x;
}

// Derivative, from the result or the argument as grad_reads_result tells.
template <class T>
T unary_grad_reference(Unary kind, T saved) {
  switch (kind) {
    case Unary::exp: return saved;
    case Unary::log: return 1 / saved;
    case Unary::sqrt: return T(0.5) / saved;
    case Unary::square: return 2 * saved;
    case Unary::reciprocal: return -saved * saved;
    case Unary::tanh: return 1 - saved * saved;
    case Unary::sigmoid: return saved * (1 - saved);
    case Unary::softplus: return sigmoid_reference(saved);
    case Unary::log_sigmoid: return sigmoid_reference(-saved);
  }
  return saved;
}

template <class T>
void unary_reference(Unary kind, const T* x, std::int64_t n, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = unary_reference(kind, x[i]);
}

template <class T>
void unary_grad_reference(Unary kind, const T* saved, const T* dy, std::int64_t n, T* dx, bool accumulate) {
  for (std::int64_t i = 0; i < n; ++i) {
    dx[i] = (accumulate ? dx[i] : T(0)) + dy[i] * unary_grad_reference(kind, saved[i]);
  }
}

template <class T>
void affine_reference(const T* x, std::int64_t n, double scale, double shift, T* y, bool accumulate) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = (accumulate ? y[i] : T(0)) + T(scale) * x[i] + T(shift);
}

template <class T>
T binary_reference(Binary kind, T a, T b) {
  switch (kind) {
    case Binary::add: return a + b;
    case Binary::sub: return a - b;
    case Binary::mul: return a * b;
    case Binary::div: return a / b;
    case Binary::equal: return a == b ? T(1) : T(0);
  }
  return a;
}

template <class T>
void binary_reference(Binary kind, const Broadcast& plan, const T* a, const T* b, T* y, bool accumulate) {
  for_each_run(plan, [&](std::int64_t ai, std::int64_t bi, std::int64_t yi, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i) {
      const T value = binary_reference(kind, a[ai + i * plan.inner().a_step], b[bi + i * plan.inner().b_step]);
      y[yi + i] = (accumulate ? y[yi + i] : T(0)) + value;
    }
  });
}

}  // namespace fovea::kernels
