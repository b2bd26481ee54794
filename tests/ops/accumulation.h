// Whether f32 gradients are added to what their slots hold. (gradcheck asks this of the f64 path only.)
#pragma once

#include <string>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/core/parallel.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::testing {

// Empty when, on every instruction set, a second backward doubles every gradient that the first one wrote.
inline std::string accumulation_failure(VarFunction f, std::span<const Tensor> inputs) {
  std::string failure;
  for_each_isa([&](const std::string& isa) {
    std::vector<Var> leaves;
    for (const Tensor& input : inputs) leaves.emplace_back(input.to(DType::f32).clone(), true);
    std::vector<Tensor> twice;
    for (int pass = 0; pass < 2; ++pass) {
      const Var y = f(leaves);
      backward(y, random_normal(y.shape(), RngKey{9}));
      for (const Var& leaf : leaves) {
        if (pass == 1) continue;
        twice.push_back(leaf.grad().clone());
        float* g = twice.back().mutable_data<float>();
        for (std::int64_t i = 0; i < leaf.value().numel(); ++i) g[i] *= 2;
      }
    }
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (!(relative_error(leaves[i].grad(), twice[i], 1e-6) <= 1e-5)) failure += concat(isa, ": input ", i, "; ");
    }
  });
  return failure;
}

}  // namespace fovea::testing
