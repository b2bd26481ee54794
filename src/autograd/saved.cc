#include "fovea/autograd/saved.h"

#include "autograd/tape.h"
#include "fovea/kernels/bfloat16.h"

namespace fovea {
namespace {

constexpr std::int64_t least_rounded = 1024;  // elements: rounding fewer saves nothing

bool to_be_rounded(const Tensor& x) {
  return detail::tape_state().saving_in_bf16 && x.defined() && x.dtype() == DType::f32 && x.numel() >= least_rounded;
}

std::shared_ptr<const Tensor> rounded(const Tensor& x) {
  auto copy = std::make_shared<Tensor>(x.shape(), DType::bf16);
  kernels::round_to_bf16(x.data<float>(), x.numel(), copy->mutable_data<bfloat16>());
  return copy;
}

}  // namespace

SavedActivation::SavedActivation(const Var& x) {
  if (!grad_enabled()) return;
  const std::shared_ptr<Node>& node = x.node();
  const bool computed = node && !node->is_leaf;
  if (computed && node->recipe) {
    recipe_ = node->recipe;
  } else if (computed && to_be_rounded(x.value())) {
    rounded_ = node->rounded.lock();
    if (!rounded_) node->rounded = rounded_ = rounded(x.value());
  } else {
    exact_ = Saved(x.value());
  }
}

SavedActivation::SavedActivation(Tensor intermediate) {
  if (!grad_enabled()) return;
  if (to_be_rounded(intermediate)) {
    rounded_ = rounded(intermediate);
  } else {
    exact_ = Saved(std::move(intermediate));
  }
}

Tensor SavedActivation::restore() const {
  if (recipe_) return (*recipe_)();
  if (!rounded_) return exact_.get();
  Tensor x(rounded_->shape(), DType::f32);
  kernels::widen_bf16(rounded_->data<bfloat16>(), x.numel(), x.mutable_data<float>());
  return x;
}

SaveInBf16::SaveInBf16(bool on) : previous_(detail::tape_state().saving_in_bf16) {
  detail::tape_state().saving_in_bf16 = on;
}
SaveInBf16::~SaveInBf16() { detail::tape_state().saving_in_bf16 = previous_; }

}  // namespace fovea
