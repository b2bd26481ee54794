#include "fovea/kernels/rms_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/norm-inl.h"
#include "kernels/norm_partials.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void rms_norm_rows(const RmsNormArgs<float>& a, std::int64_t begin, std::int64_t end) {
  norm_rows<false>({a.rows, a.width, a.eps, a.x, a.weight, nullptr, a.y, nullptr, a.rstd}, begin, end);
}

void rms_norm_grad_rows(const RmsNormGradArgs<float>& a, std::int64_t begin, std::int64_t end, float* dweight_sum) {
  const LayerNormGradArgs<float> args{a.rows, a.width, a.x, a.weight, nullptr, a.rstd, a.dy, a.dx, a.dweight, {}};
  norm_grad_chunk<false>(args, begin, end, dweight_sum, nullptr);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(rms_norm_grad_rows);

void rms_norm_f32(const RmsNormArgs<float>& args) {
  parallel_for(args.rows, NormPartials::rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_rows)(args, begin, end);
  });
}

void rms_norm_grad_f32(const RmsNormGradArgs<float>& args) {
  const NormPartials dweight(args.rows, args.width, args.dweight);
  parallel_for(args.rows, NormPartials::rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_grad_rows)(args, begin, end, dweight.chunk(begin));
  });
  dweight.finish();
}

}  // namespace fovea::kernels
#endif
