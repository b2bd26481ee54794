// A contrastive objective of one's own: written, checked against numeric gradients, trained.
#include <cstdio>
#include <exception>

#include "fovea/ops/elementwise.h"
#include "fovea/ops/matmul.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/trainer.h"

using namespace fovea;

// Decoupled contrastive learning (Yeh et al. 2022, eq. 6): InfoNCE whose denominator leaves the right answer out, so
// that small batches learn as fast as large ones.
struct DecoupledContrastive {
  objectives::Loss operator()(const objectives::Embeddings& e, const nn::Ctx&) const {
    const Var scale = e.scale();
    const Var right = ops::sum(e.image * e.text, {1}) * scale;             // (B)
    const Var logits = ops::matmul(e.image, e.text, false, true) * scale;  // (B, B)
    const Var wrong = logits + Var(minus_infinity_diagonal(e.image.dim(0), e.image.dtype()));
    const Var images = ops::mean(ops::logsumexp(wrong, {1}) - right);
    const Var texts = ops::mean(ops::logsumexp(wrong, {0}) - right);
    return {(images + texts) * 0.5, {}};
  }

  static Tensor minus_infinity_diagonal(std::int64_t n, DType dtype) {
    Tensor mask = zeros({n, n}, dtype);
    for (std::int64_t i = 0; i < n; ++i) mask.segment(i * n + i, {1}).fill(-1e9);  // exp(-1e9) is 0
    return mask;
  }
};

int main(int argc, char** argv) try {
  const auto loss = [](std::span<const Var> in) {
    return DecoupledContrastive{}({in[0], in[1], in[2]}, nn::Ctx{}).total;
  };
  const auto check = testing::check_op(loss, testing::normal_inputs({{5, 7}, {5, 7}, {}}));
  std::printf("gradient check: %s (relative error %.1e)\n", check ? "passed" : check.message.c_str(), check.worst);
  if (!check) return 1;

  train::Config config;  // data/emoji_clipart and a small ResNet; see train/config.h for everything that can be set
  config.train.epochs = 3;
  config.eval.splits = {"val_style"};
  for (int i = 1; i < argc; ++i) train::apply_set(config, argv[i]);  // such as train.epochs=20 output=out/decoupled
  train::ClipTask task(config, DecoupledContrastive{});
  train::Trainer(task, config).run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
