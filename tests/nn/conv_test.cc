#include "fovea/nn/conv.h"

#include <gtest/gtest.h>

#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(Conv2d, GradientsOfInputFilterAndBias) {
  for (const bool with_bias : {true, false}) {
    Init init(1, DType::f64);
    Conv2d conv(init.linear_default({3, 3, 3, 2}), {.stride = 2, .padding = 1},
                with_bias ? init.constant({3}, 0) : Tensor());
    const auto result = testing::check_module(conv, testing::normal_inputs({{2, 5, 4, 2}}),
                                              [&](std::span<const Var> in) { return conv(in[0], Ctx{}); });
    EXPECT_TRUE(result) << with_bias << ": " << result.message;
  }
}

TEST(Conv2d, FilesHoldTheFilterAsOihw) {
  Init init(1);
  const Conv2d conv(init.linear_default({3, 2, 2, 4}));
  const auto entries = collect(conv);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].leaf->layout, FileLayout::oihw);
}

}  // namespace
}  // namespace fovea::nn
