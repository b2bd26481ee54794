// Table of vectors.
#pragma once

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/embedding.h"

namespace fovea::nn {

// ids (...) i32 or i64 -> (..., D).
struct Embedding {
  Param weight;  // (V, D)

  Embedding(std::int64_t entries, std::int64_t width, double stddev, Init& init, bool decay = true)
      : weight(init.normal({entries, width}, stddev), FileLayout::native, decay) {}

  Var operator()(const Tensor& ids, const Ctx&) const { return ops::embedding(weight(), ids); }
  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

}  // namespace fovea::nn
