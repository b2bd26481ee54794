// Golden files by name, and the comparison of named tensors.
#include "fovea/testing/golden.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::testing {
namespace {

Tensor row(std::initializer_list<float> values) {
  return from_values<float>({static_cast<std::int64_t>(values.size())}, values);
}

TEST(GoldenFile, FindsTensorsAndMetadataByName) {
  const Golden golden(FOVEA_SOURCE_DIR "/tests/golden/types.safetensors");
  EXPECT_EQ(golden["scalar"].item(), 4.25);
  EXPECT_EQ(golden.metadata("format"), "pt");
  const io::TensorMap ints = golden.with_prefix("i");
  ASSERT_EQ(ints.size(), 2u);
  EXPECT_EQ(ints.at("32").dtype(), DType::i32);
  EXPECT_EQ(ints.at("64").dtype(), DType::i64);
}

TEST(GoldenFile, SuggestsTheNearestName) {
  const Golden golden(FOVEA_SOURCE_DIR "/tests/golden/types.safetensors");
  try {
    golden["scaler"];
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean \"scalar\""), std::string::npos) << error.what();
  }
  EXPECT_THROW(golden.metadata("formal"), Error);
}

TEST(GoldenFile, RefusesAModuleThatDoesNotFit) {
  const Golden golden(FOVEA_SOURCE_DIR "/tests/golden/resnet.safetensors");
  const nn::Param weight(zeros({4, 7, 7, 3}), nn::FileLayout::oihw);
  const std::string name = "embedder.embedder.convolution.weight";
  const std::string missing = tests::error_of([&] { golden.load_parameters({{name, weight.leaf(), 0, 0, false}}); });
  EXPECT_NE(missing.find("resnet.safetensors does not fit the module: missing: embedder."), std::string::npos)
      << missing;
  EXPECT_EQ(max_abs(weight.value()), 0);  // nothing was changed
}

TEST(GoldenCompare, ReportsTheWorstTensor) {
  const io::TensorMap reference{{"a", row({1, 2})}, {"b", row({10, -20})}};
  const CheckResult same = compare_tensors(reference, reference, 0);
  EXPECT_TRUE(same.passed);
  EXPECT_EQ(same.worst, 0);
  const io::TensorMap ours{{"a", row({1, 2.002f})}, {"b", row({10.1f, -20})}};
  const CheckResult result = compare_tensors(ours, reference, 4e-3);
  EXPECT_FALSE(result.passed);
  EXPECT_NEAR(result.worst, 0.1 / 20, 1e-6);
  EXPECT_EQ(result.message.substr(0, 2), "b:");
  EXPECT_TRUE(compare_tensors(ours, reference, 6e-3).passed);
}

TEST(GoldenCompare, NamesAndShapesMustAgree) {
  const io::TensorMap a{{"x", row({1})}}, b{{"x", row({1})}, {"y", row({1})}};
  EXPECT_EQ(compare_tensors(a, b, 1).message, "missing: y");
  EXPECT_EQ(compare_tensors(b, a, 1).message, "not in the reference: y");
  EXPECT_FALSE(compare_tensors({{"x", row({1, 1})}}, a, 1).passed);
  EXPECT_EQ(compare_tensors({{"x", Tensor()}}, a, 1).message, "undefined: x");
}

TEST(GoldenCompare, NanNeverPasses) {
  const io::TensorMap reference{{"x", row({1})}};
  EXPECT_FALSE(compare_tensors({{"x", row({NAN})}}, reference, 1e9).passed);
}

TEST(GoldenCompare, TinyGradientsAreMeasuredAgainstTheLargest) {
  const io::TensorMap reference{{"key_bias", row({0})}, {"weight", row({100})}};
  const io::TensorMap ours{{"key_bias", row({1e-6f})}, {"weight", row({100})}};
  EXPECT_NEAR(compare_gradients(ours, reference, 1e-4).worst, 1e-6 / 0.1, 1e-9);
  EXPECT_TRUE(compare_gradients(ours, reference, 1e-4).passed);
  EXPECT_FALSE(compare_tensors(ours, reference, 1e-4).passed);
}

}  // namespace
}  // namespace fovea::testing
