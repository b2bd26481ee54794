// Matrix product.
#pragma once

#include "fovea/core/export.h"
#include "fovea/kernels/matrix.h"

namespace fovea::kernels {

// c (m, n), with rows c_stride apart, = epilogue(a (m, k) b (k, n)). Rows of a are read in place; b is packed. Blocks
// of k are a constant and summed in order, so the bits do not depend on the number of threads.
FOVEA_API void gemm_f32(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView<float> a, MatrixView<float> b,
                        float* c, std::int64_t c_stride, const Epilogue<float>& epilogue = {});

}  // namespace fovea::kernels
