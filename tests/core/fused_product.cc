// Prints whether kernels round a product before they add it: SSE does, AVX2 and AVX-512 have a fused instruction.
#include <cstdio>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/kernels/gemm.h"

int main() {
  const float x = 1 + 0x1p-12f;  // x^2 = 1 + 2^-11 + 2^-24, whose last term f32 rounds away
  const std::vector<float> a{-1 - 0x1p-11f, x}, b{1, x};
  float sum = 0;
  try {
    fovea::kernels::gemm_f32(1, 1, 2, {a.data(), 2}, {b.data(), 1}, &sum, 1, {});
  } catch (const fovea::Error& error) {
    std::puts(error.what());
    return 1;
  }
  std::puts(sum == 0 ? "rounded product" : "fused product");
  return 0;
}
