#include "fovea/objectives/gradient_cache.h"

#include <gtest/gtest.h>

#include "fovea/core/allocator.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/objectives/sigmoid.h"
#include "fovea/ops/layer_norm.h"
#include "fovea/ops/linear.h"
#include "fovea/ops/normalize.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::objectives {
namespace {

// Two small towers over the rows of two matrices, with logit_scale and logit_bias, or with a temperature and a bias.
struct Towers {
  Tensor images, texts;
  std::vector<Var> parameters;
  bool has_temperature;

  explicit Towers(std::int64_t batch, bool temperature = false)
      : images(random_normal({batch, 48}, RngKey{1})),
        texts(random_normal({batch, 32}, RngKey{2})),
        has_temperature(temperature) {
    for (const auto& [in, key] : {std::pair{48, 3}, std::pair{32, 4}}) {
      const auto seed = static_cast<std::uint64_t>(key);
      parameters.emplace_back(random_normal({in}, RngKey{seed}, 1, 0.1), true);
      parameters.emplace_back(random_normal({64, in}, RngKey{seed + 10}, 0, 0.2), true);
      parameters.emplace_back(random_normal({24, 64}, RngKey{seed + 20}, 0, 0.2), true);
    }
    parameters.emplace_back(full({}, temperature ? 0.3 : 1.5), true);
    parameters.emplace_back(full({1}, -2), true);
  }

  Var tower(const Tensor& x, std::size_t first) const {
    const Var hidden =
        ops::linear(ops::layer_norm(x, parameters[first], {}, 1e-5), parameters[first + 1], {}, Activation::gelu);
    return ops::l2_normalize(ops::linear(hidden, parameters[first + 2]));
  }
  Embeddings embed(std::int64_t begin, std::int64_t end) const {
    const Var &scale = parameters[6], &bias = parameters[7];
    const Var image = tower(images.rows(begin, end), 0), text = tower(texts.rows(begin, end), 3);
    return has_temperature ? Embeddings{image, text, {}, bias, scale} : Embeddings{image, text, scale, bias};
  }
  std::vector<Tensor> take_gradients() {
    std::vector<Tensor> all;
    for (Var& parameter : parameters) {
      const Tensor grad = parameter.grad();  // none of the bias under InfoNCE
      all.push_back(grad.defined() ? grad.clone() : zeros(parameter.shape()));
      parameter.clear_grad();
    }
    return all;
  }
};

template <class Objective>
void expect_gradients_of_the_plain_batch(const Objective& objective, bool temperature) {
  constexpr std::int64_t batch = 512, micro = 128;
  Towers towers(batch, temperature);
  const nn::Ctx ctx{.training = true};
  const Loss plain = objective(towers.embed(0, batch), ctx);
  backward(plain.total);
  const auto expected = towers.take_gradients();
  const auto encode = [&](std::int64_t j, const nn::Ctx&) { return towers.embed(j * micro, (j + 1) * micro); };
  const Loss cached = backward_with_gradient_cache(batch / micro, encode, objective, ctx);
  const auto gradients = towers.take_gradients();
  EXPECT_NEAR(cached.total.item(), plain.total.item(), 1e-5 * plain.total.item());
  EXPECT_GT(max_abs(expected[6]), 1e-4);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(max_abs_difference(gradients[i], expected[i]), 1e-5 * max_abs(expected[i])) << i;
  }
}

TEST(GradientCache, GradientsAreThoseOfThePlainBatch) {
  for (const bool temperature : {false, true}) {
    expect_gradients_of_the_plain_batch(InfoNce{}, temperature);
    expect_gradients_of_the_plain_batch(InfoNce{0.1, true}, temperature);
    expect_gradients_of_the_plain_batch(Sigmoid{}, temperature);
  }
}

// The features of all and one micro-batch's activations, not everybody's.
TEST(GradientCache, KeepsTheActivationsOfOneMicroBatch) {
  constexpr std::int64_t batch = 4096, micro = 128;
  Towers towers(batch);
  const InfoNce objective;
  const nn::Ctx ctx{.training = true};
  const auto encode = [&](std::int64_t j, const nn::Ctx&) { return towers.embed(j * micro, (j + 1) * micro); };
  const std::int64_t before = allocator::stats().live_bytes;
  allocator::reset_peak();
  backward_with_gradient_cache(batch / micro, encode, objective, ctx);
  const std::int64_t features = 2 * batch * 24 * 4, logits = std::int64_t{1024} * 1024 * 4;
  EXPECT_LE(allocator::stats().peak_bytes - before, 4 * features + 2 * logits);
}

}  // namespace
}  // namespace fovea::objectives
