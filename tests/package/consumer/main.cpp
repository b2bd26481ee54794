#include <fovea/fovea.h>

#include <cstdio>

int main() {
  using namespace fovea;
  const Var logits(zeros({4, 3}), true);
  const Var loss = ops::cross_entropy(logits, zeros({4}, DType::i64));
  backward(loss);
  std::printf("loss %.4f\n", loss.item());
}
