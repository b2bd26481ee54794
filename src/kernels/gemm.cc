#include "fovea/kernels/gemm.h"

#include "fovea/core/profile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<float>& a, const MatrixView<float>& b,
          float* c, std::int64_t c_stride, const Epilogue<float>& epilogue) {
  const auto with_b = [&](const auto& left) {
    if (b.transposed) {
      multiply(m, n, left, TransposedB{b.data, b.stride}, RowMajorC{c, c_stride}, c, epilogue);
    } else {
      multiply(m, n, left, RowMajorB{b.data, b.stride}, RowMajorC{c, c_stride}, c, epilogue);
    }
  };
  if (a.transposed) {
    with_b(TransposedA(a.data, a.stride, k));
  } else {
    with_b(RowMajorA(a.data, a.stride, k));
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(gemm);

void gemm_f32(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView<float> a, MatrixView<float> b, float* c,
              std::int64_t c_stride, const Epilogue<float>& epilogue) {
  profile::count(2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
  HWY_DYNAMIC_DISPATCH(gemm)(m, n, k, a, b, c, c_stride, epilogue);
}

}  // namespace fovea::kernels
#endif
