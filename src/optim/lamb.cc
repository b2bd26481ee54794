#include "fovea/optim/lamb.h"

#include <cmath>

#include "fovea/core/profile.h"
#include "fovea/kernels/adamw.h"
#include "fovea/kernels/adamw_reference.h"
#include "fovea/kernels/lamb.h"
#include "fovea/kernels/lamb_reference.h"

namespace fovea::optim {
namespace {

void check_settings(const Lamb& settings, double lr) {
  const auto is_rate = [](double beta) { return beta >= 0 && beta < 1; };
  FOVEA_CHECK(is_rate(settings.beta1) && is_rate(settings.beta2), "[lamb] beta1 and beta2 are ", settings.beta1,
              " and ", settings.beta2, ", expected numbers of [0, 1)");
  FOVEA_CHECK(settings.eps > 0, "[lamb] eps is ", settings.eps, ", expected a positive number");
  FOVEA_CHECK(settings.weight_decay >= 0, "[lamb] weight_decay is ", settings.weight_decay, ", expected 0 or more");
  FOVEA_CHECK(lr >= 0 && std::isfinite(lr), "[lamb] learning rate is ", lr, ", expected 0 or more");
}

template <class T>
kernels::LambNorms move_moments(const kernels::LambStep& step, std::int64_t n, const T* g, const T* w, T* m, T* v) {
  if constexpr (std::is_same_v<T, float>) return kernels::lamb_moments_f32(step, n, g, w, m, v);
  return kernels::lamb_moments_reference(step, n, g, w, m, v);
}

template <class T>
void move_weights(const kernels::LambStep& step, double rate, std::int64_t n, const T* m, const T* v, T* w) {
  if constexpr (std::is_same_v<T, float>) return kernels::lamb_weights_f32(step, rate, n, m, v, w);
  kernels::lamb_weights_reference(step, rate, n, m, v, w);
}

template <class T>
void adam(const kernels::AdamWStep& step, std::int64_t n, const T* g, T* w, T* m, T* v) {
  if constexpr (std::is_same_v<T, float>) return kernels::adamw_f32(step, n, g, w, m, v);
  kernels::adamw_reference(step, n, g, w, m, v);
}

double trust_ratio(const kernels::LambNorms& norms) {
  return norms.weight > 0 && norms.update > 0 ? std::sqrt(norms.weight / norms.update) : 1;
}

}  // namespace

void Lamb::step(ParamStore& store, double lr, double gradient_scale) {
  check_settings(*this, lr);
  const profile::Span span("lamb");
  // The first pass reads four numbers and writes two, the second reads three and writes one.
  profile::count(0, 10 * static_cast<double>(store.weights().bytes()));
  store.complete_gradients();
  Tensor &first = store.role("exp_avg"), &second = store.role("exp_avg_sq");
  ++steps;
  const auto correction = [this](double beta) { return 1 - std::pow(beta, static_cast<double>(steps)); };
  const double correction1 = correction(beta1), correction2 = correction(beta2);
  const kernels::LambStep numbers{beta1, beta2, eps, weight_decay, correction1, correction2, gradient_scale};
  dispatch_floating(store.weights().dtype(), "lamb", [&]<class T>() {
    // One tensor after the other, so that the second pass finds in cache what the first has written.
    for (const ParamStore::Run& tensor : store.segments()) {
      const T* g = store.gradients().data<T>() + tensor.offset;
      T* w = store.weights().mutable_data<T>() + tensor.offset;
      T *m = first.mutable_data<T>() + tensor.offset, *v = second.mutable_data<T>() + tensor.offset;
      const double rate = lr * tensor.lr_scale;
      if (tensor.decay) {
        const double ratio = trust_ratio(move_moments(numbers, tensor.length, g, w, m, v));
        move_weights(numbers, rate * ratio, tensor.length, m, v, w);
      } else {
        adam({rate, beta1, beta2, eps, 0, correction1, correction2, gradient_scale}, tensor.length, g, w, m, v);
      }
    }
  });
  store.weights_changed();
}

}  // namespace fovea::optim
