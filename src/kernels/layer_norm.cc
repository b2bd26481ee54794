#include "fovea/kernels/layer_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/norm-inl.h"
#include "kernels/norm_partials.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void layer_norm_rows(const LayerNormArgs<float>& args, std::int64_t begin, std::int64_t end) {
  norm_rows<true>(args, begin, end);
}

void layer_norm_grad_rows(const LayerNormGradArgs<float>& args, std::int64_t begin, std::int64_t end,
                          float* dweight_sum, float* dbias_sum) {
  norm_grad_chunk<true>(args, begin, end, dweight_sum, dbias_sum);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_grad_rows);

void layer_norm_f32(const LayerNormArgs<float>& args) {
  parallel_for(args.rows, NormPartials::rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)(args, begin, end);
  });
}

void layer_norm_grad_f32(const LayerNormGradArgs<float>& args) {
  const NormPartials dweight(args.rows, args.width, args.dweight), dbias(args.rows, args.width, args.dbias);
  parallel_for(args.rows, NormPartials::rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_grad_rows)(args, begin, end, dweight.chunk(begin), dbias.chunk(begin));
  });
  dweight.finish();
  dbias.finish();
}

}  // namespace fovea::kernels
#endif
