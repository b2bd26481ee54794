#include "fovea/optim/adamw.h"

#include <cmath>

#include "fovea/core/profile.h"
#include "fovea/kernels/adamw.h"
#include "fovea/kernels/adamw_reference.h"
#include "fovea/kernels/reduce.h"
#include "fovea/kernels/reduce_reference.h"

namespace fovea::optim {
namespace {

void check_settings(const AdamW& settings, double lr) {
  const auto is_rate = [](double beta) { return beta >= 0 && beta < 1; };
  FOVEA_CHECK(is_rate(settings.beta1) && is_rate(settings.beta2), "[adamw] beta1 and beta2 are ", settings.beta1,
              " and ", settings.beta2, ", expected numbers of [0, 1)");
  FOVEA_CHECK(settings.eps > 0, "[adamw] eps is ", settings.eps, ", expected a positive number");
  FOVEA_CHECK(settings.weight_decay >= 0, "[adamw] weight_decay is ", settings.weight_decay, ", expected 0 or more");
  FOVEA_CHECK(lr >= 0 && std::isfinite(lr), "[adamw] learning rate is ", lr, ", expected 0 or more");
}

}  // namespace

void AdamW::step(ParamStore& store, double lr, double gradient_scale) {
  check_settings(*this, lr);
  const profile::Span span("adamw");
  profile::count(0, 7 * static_cast<double>(store.weights().bytes()));  // reads four numbers and writes three
  store.complete_gradients();
  Tensor &first = store.role("exp_avg"), &second = store.role("exp_avg_sq");
  ++steps;
  const auto correction = [this](double beta) { return 1 - std::pow(beta, static_cast<double>(steps)); };
  kernels::AdamWStep numbers{.lr = lr,
                             .beta1 = beta1,
                             .beta2 = beta2,
                             .eps = eps,
                             .weight_decay = 0,
                             .correction1 = correction(beta1),
                             .correction2 = correction(beta2),
                             .gradient_scale = gradient_scale};
  dispatch_floating(store.weights().dtype(), "adamw", [&]<class T>() {
    const T* g = store.gradients().data<T>();
    T *w = store.weights().mutable_data<T>(), *m = first.mutable_data<T>(), *v = second.mutable_data<T>();
    for (const ParamStore::Run& run : store.runs()) {
      numbers.lr = lr * run.lr_scale;
      numbers.weight_decay = run.decay ? weight_decay : 0;
      const std::int64_t at = run.offset;
      if constexpr (std::is_same_v<T, float>) {
        kernels::adamw_f32(numbers, run.length, g + at, w + at, m + at, v + at);
      } else {
        kernels::adamw_reference(numbers, run.length, g + at, w + at, m + at, v + at);
      }
    }
  });
  store.weights_changed();
}

double gradient_norm(ParamStore& store) {
  const profile::Span span("gradient_norm");
  profile::count(0, static_cast<double>(store.gradients().bytes()));
  store.complete_gradients();
  const Tensor& gradients = store.gradients();
  return dispatch_floating(gradients.dtype(), "gradient_norm", [&]<class T>() {
    const T* g = gradients.data<T>();
    if constexpr (std::is_same_v<T, float>) {
      return std::sqrt(kernels::squared_norm_f32(g, gradients.numel()));
    } else {
      return std::sqrt(kernels::squared_norm_reference(g, gradients.numel()));
    }
  });
}

}  // namespace fovea::optim
