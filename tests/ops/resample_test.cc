// Bicubic resampling against PyTorch's numbers and numeric gradients.
#include "fovea/ops/resample.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

struct Case {
  std::int64_t height, width;
  bool antialias, align_corners;
  std::vector<double> expected;
};

// torch.nn.functional.interpolate(x, (height, width), mode="bicubic", ...) of a grid of 4 x 3 cells and 2 channels
// whose element i is (7 i^2 + 3 i) mod 23.
const Case cases[] = {
    {2, 5, false, false, {9.025,    16.399,   9.943375, 14.794625, 11.59375, 11.84375,  13.5985,
                          8.082875, 14.88175, 5.6445,   15.263,    2.929,    13.324625, 9.289375,
                          9.40625,  15.15625, 3.5135,   7.793125,  -0.45775, 0.5315}},
    {2, 5, false, true, {0,  10, 5.6875, 6.21875, 11, 3,  11.03125, 3.84375, 9, 6,
                         22, 8,  15.375, 17.0625, 8,  22, 4.6875,   12.3125, 4, 0}},
    {2, 5, true, false, {7.7927647,  13.5819429, 9.28056001, 12.5500185, 11.5702479, 10.4710744, 11.8616628,
                         7.42796349, 11.7924528, 5.64478403, 16.7477,    6.20380477, 14.2499075, 11.0700012,
                         9.74380165, 16.8429752, 5.42253608, 7.86369804, 3.06876657, 1.23530329}},
    {2, 5, true, true, {10.8325792, 10.8574661, 10.9241999, 11.4783829, 11.1192014, 12.7968291, 10.5167352,
                        10.9894304, 9.19595733, 6.29365525, 20.3319328, 5.08088235, 17.5130344, 9.17283629,
                        11.5452563, 17.8476009, 6.60359869, 16.2832606, 3.33733055, 4.68534932}},
    {3,
     2,
     false,
     false,
     {4.5483308, 10.1631176, 10.9075837, 5.68777579, 13.140625, 12.5019531, 9.50195312, 7.65039062, 17.5569933,
      10.6648627, 3.92039659, 5.43707954}},
    {3,
     2,
     true,
     false,
     {6.95846847, 11.2097366, 11.9905161, 6.36090226, 12.7363102, 12.7467436, 9.63037121, 8.6054916, 15.2211011,
      10.9906998, 3.97717547, 7.55703009}},
};

TEST(Resample, MatchesPyTorch) {
  std::vector<double> values;
  for (int i = 0; i < 24; ++i) values.push_back((7 * i * i + 3 * i) % 23);
  const Tensor x = from_values<double>({4, 3, 2}, values);
  for (const Case& c : cases) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor y = ops::resample_bicubic(x.to(dtype), c.height, c.width, c.antialias, c.align_corners).value();
      EXPECT_LT(max_abs_difference(y, from_values<double>({c.height, c.width, 2}, c.expected)), 1e-5)
          << c.height << " x " << c.width << ", antialias " << c.antialias << ", align_corners " << c.align_corners;
    }
  }
}

TEST(Resample, MatchesNumericGradients) {
  const std::vector<Tensor> inputs = testing::normal_inputs({{4, 3, 5}});
  for (const Case& c : cases) {
    const auto f = [&](std::span<const Var> in) {
      return ops::resample_bicubic(in[0], c.height, c.width, c.antialias, c.align_corners);
    };
    const auto result = testing::check_op(f, inputs);
    EXPECT_TRUE(result) << result.message;
    EXPECT_EQ(testing::accumulation_failure(f, inputs), "");
  }
}

TEST(Resample, KeepsAGridOfTheSameSize) {
  const Tensor x = random_normal({7, 5, 3}, RngKey{1});
  for (const bool antialias : {false, true}) {
    EXPECT_LT(max_abs_difference(ops::resample_bicubic(x, 7, 5, antialias).value(), x), 1e-6);
  }
}

TEST(Resample, KeepsConstants) {
  for (const bool antialias : {false, true}) {
    for (const std::int64_t size : {1, 2, 7, 24}) {
      const Tensor y = ops::resample_bicubic(full({7, 1, 3}, 2.5), size, size, antialias).value();
      EXPECT_LT(max_abs_difference(y, full({size, size, 3}, 2.5)), 1e-5) << size;
    }
  }
}

TEST(Resample, Errors) {
  EXPECT_THROW(ops::resample_bicubic(ones({4, 3}), 2, 2), Error);
  EXPECT_THROW(ops::resample_bicubic(ones({0, 3, 2}), 2, 2), Error);
  EXPECT_THROW(ops::resample_bicubic(ones({4, 3, 2}), 0, 2), Error);
  EXPECT_EQ(ops::resample_bicubic(Tensor({4, 3, 0}), 2, 2).shape(), (Shape{2, 2, 0}));
}

}  // namespace
}  // namespace fovea
