// Products by other libraries, where they are installed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fovea::bench {

// c (m, n) = a (m, k) b (k, n), row-major; a and b may lie transposed.
struct Product {
  std::int64_t m, n, k;
  bool a_transposed, b_transposed;
  const float *a, *b;
  float* c;
};

struct GemmPeer {
  std::string name;
  std::function<std::function<void()>(const Product&)> prepare;  // what computes the product, set up
};

// With as many threads as num_threads().
std::vector<GemmPeer> gemm_peers();

}  // namespace fovea::bench
