#include "fovea/nn/rms_norm.h"

#include <gtest/gtest.h>

#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(RmsNorm, GradientsOfInputAndGain) {
  Init init(1, DType::f64);
  RmsNorm norm(7, init, 0.1);
  const auto result = testing::check_module(norm, testing::normal_inputs({{5, 7}}),
                                            [&](std::span<const Var> in) { return norm(in[0], Ctx{}); });
  EXPECT_TRUE(result) << result.message;
}

TEST(RmsNorm, StartsAsPlainNormalisationWithItsEps) {
  Init init(1, DType::f64);
  const RmsNorm norm(4, init, 0.5);
  const Var y = norm(from_values<double>({1, 4}, {1, 2, 3, 4}), Ctx{});
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_NEAR(y.value().at(i), static_cast<double>(i + 1) / std::sqrt(8), 1e-14);
}

TEST(RmsNorm, IsNotDecayed) {
  Init init(1);
  const RmsNorm norm(4, init);
  for (const ParamEntry& entry : collect(norm)) EXPECT_FALSE(entry.leaf->decay) << entry.path;
}

}  // namespace
}  // namespace fovea::nn
