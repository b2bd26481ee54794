#include "fovea/models/cbow.h"

#include <gtest/gtest.h>

#include "model_check.h"

namespace fovea::models {
namespace {

using testing::captions;

Tensor features(bool special_tokens, const std::vector<std::vector<std::int32_t>>& texts) {
  nn::Init init(1, DType::f64);
  Cbow model({10, 8, 2, special_tokens}, init);
  for (std::int64_t i = 0; i < 20; ++i)  // the vector of id k is (k, k^2)
    model.token_embedding.weight.value().mutable_data<double>()[i] =
        static_cast<double>(i % 2 ? i / 2 * (i / 2) : i / 2);
  const data::Batch batch = captions(texts);
  return model(batch.tokens, nn::Ctx{}.with(batch.text)).value();
}

void expect_rows(const Tensor& y, const std::vector<double>& expected) {
  ASSERT_EQ(y.shape(), (Shape{static_cast<std::int64_t>(expected.size()) / 2, 2}));
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_DOUBLE_EQ(y.at(static_cast<std::int64_t>(i)), expected[i]);
}

TEST(Cbow, AveragesTheWordsBetweenStartAndEnd) {
  expect_rows(features(false, {{8, 2, 4, 9}, {8, 3, 9}}), {3, 10, 3, 9});
}

TEST(Cbow, MayCountStartAndEndAsWords) { expect_rows(features(true, {{8, 2, 9}, {7}}), {19.0 / 3, 149.0 / 3, 7, 49}); }

TEST(Cbow, CaptionsWithoutWordsAreZero) { expect_rows(features(false, {{8, 9}, {8, 2, 9}, {8}}), {0, 0, 2, 4, 0, 0}); }

TEST(Cbow, RefusesCaptionsThatDoNotFit) {
  for (const bool special_tokens : {true, false}) {
    EXPECT_THROW(features(special_tokens, {{8, 9}, {}}), Error);
    EXPECT_THROW(features(special_tokens, {{8, 10, 9}}), Error);
  }
  const data::Batch batch = captions({{1, 2, 3, 4, 5}});
  EXPECT_THROW(drop_special_tokens(batch.tokens.rows(0, 2), batch.text), Error);
}

}  // namespace
}  // namespace fovea::models
