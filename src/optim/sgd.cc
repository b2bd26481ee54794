#include "fovea/optim/sgd.h"

#include <cmath>

#include "fovea/core/profile.h"
#include "fovea/kernels/sgd.h"
#include "fovea/kernels/sgd_reference.h"

namespace fovea::optim {
namespace {

void check_settings(const Sgd& settings, double lr) {
  FOVEA_CHECK(settings.momentum >= 0 && settings.momentum < 1, "[sgd] momentum is ", settings.momentum,
              ", expected a number of [0, 1)");
  FOVEA_CHECK(settings.weight_decay >= 0, "[sgd] weight_decay is ", settings.weight_decay, ", expected 0 or more");
  FOVEA_CHECK(!settings.nesterov || settings.momentum > 0, "[sgd] nesterov needs a momentum above 0");
  FOVEA_CHECK(lr >= 0 && std::isfinite(lr), "[sgd] learning rate is ", lr, ", expected 0 or more");
}

}  // namespace

void Sgd::step(ParamStore& store, double lr, double gradient_scale) {
  check_settings(*this, lr);
  const profile::Span span("sgd");
  profile::count(0, 5 * static_cast<double>(store.weights().bytes()));  // reads three numbers and writes two
  store.complete_gradients();
  Tensor& buffer = store.role("momentum_buffer");
  ++steps;
  dispatch_floating(store.weights().dtype(), "sgd", [&]<class T>() {
    const T* g = store.gradients().data<T>();
    T *w = store.weights().mutable_data<T>(), *m = buffer.mutable_data<T>();
    for (const ParamStore::Run& run : store.runs()) {
      const std::int64_t at = run.offset;
      const kernels::SgdStep numbers{lr * run.lr_scale, momentum, run.decay ? weight_decay : 0, nesterov,
                                     gradient_scale};
      if constexpr (std::is_same_v<T, float>) {
        kernels::sgd_f32(numbers, run.length, g + at, w + at, m + at);
      } else {
        kernels::sgd_reference(numbers, run.length, g + at, w + at, m + at);
      }
    }
  });
  store.weights_changed();
}

}  // namespace fovea::optim
