#include "fovea/ops/ranks.h"

#include "fovea/tensor/factory.h"

namespace fovea::ops {

Var all_gather(const Var& x, dist::Group& group) {
  return record("all_gather", group.all_gather(x.value()), {x},
                [&group](const Tensor& dy, Grads& g) { g.add(0, group.reduce_scatter(dy)); });
}

Var mean_over_ranks(const Var& x, dist::Group& group) {
  FOVEA_CHECK(x.value().numel() == 1, "[mean_over_ranks] the value is ", x.shape(), ", expected one number");
  Tensor sum = full(x.shape(), x.item(), DType::f64);
  group.sum(sum);
  return record("mean_over_ranks", full(x.shape(), sum.item() / group.size(), x.dtype()), {x},
                [](const Tensor& dy, Grads& g) { g.add(0, dy); });
}

}  // namespace fovea::ops
