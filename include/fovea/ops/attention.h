// Multi-head attention over packed sequences.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/attention.h"
#include "fovea/kernels/attention_reference.h"
#include "fovea/ops/detail/grad_target.h"
#include "fovea/tensor/packed.h"

namespace fovea::ops {

using kernels::AttentionKind;

// What attends to what. The layouts say which rows form a sequence; a query sees keys of its own sequence only: those
// that the kind allows and that lie in its key range. Key ranges serve pads that must not be seen, the masks of
// Q-Former and Flamingo (a query without keys gives zero), and windows.
struct AttentionOptions {
  PackedLayout layout{};     // of the queries
  PackedLayout kv_layout{};  // of keys and values; undefined: the queries'
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // each serves heads / kv_heads consecutive heads of queries; 0: as many as heads
  AttentionKind kind = AttentionKind::full;
  double scale = 0;               // of the products of queries and keys; 0: 1 / sqrt(head size)
  Tensor prefix_lengths{};        // (B) i32: for the kind `prefix`, how many keys every query of a sequence sees
  Tensor key_begin{}, key_end{};  // (T) i32: the keys [begin, end) of its sequence that each query may see
  // (heads, Q, K), added to the scores of the first Q queries and K keys of every sequence, zero for the others: T5's
  // relative bias with Q and K the longest lengths, or a 2-D one for the image tokens at the front. Has a gradient.
  Var bias{};
};

namespace detail {

// An AttentionProblem together with the arrays that it points into.
struct FOVEA_API AttentionPlan {
  PackedLayout q_layout, kv_layout;
  Tensor prefix_lengths, key_begin, key_end;
  std::int64_t heads, kv_heads, head_dim;
  AttentionKind kind;
  double scale;

  // For (q_rows, q_width) queries and (kv_rows, kv_width) keys and values. Throws Error when the options do not fit
  // them.
  AttentionPlan(const AttentionOptions& options, const Tensor& q, std::int64_t q_width, const Tensor& kv,
                std::int64_t kv_width);

  std::int64_t width() const { return heads * head_dim; }
  kernels::AttentionProblem problem() const;
};

// Throws Error unless all are matrices of one type, k and v of the same shape.
FOVEA_API void check_attention_matrices(const Tensor& q, const Tensor& k, const Tensor& v);

template <class T>
kernels::AttentionBias<T> attention_bias(const Tensor& bias) {
  if (!bias.defined()) return {};
  return {bias.data<T>(), bias.dim(1), bias.dim(2)};
}

inline Tensor value_or_none(const Var& x) { return x.defined() ? x.value() : Tensor(); }

// Writes the result (T, width) and returns log sum e^score (heads, T).
template <class T>
void attention_forward(const AttentionPlan& plan, const kernels::AttentionInputs<T>& in, Tensor& out,
                       Tensor& logsumexp) {
  const kernels::HeadOutput<T> rows{out.mutable_data<T>(), plan.width()};
  if constexpr (std::is_same_v<T, float>) {
    kernels::attention_forward_f32(plan.problem(), in, rows, logsumexp.mutable_data<T>());
  } else {
    kernels::attention_forward_reference(plan.problem(), in, rows, logsumexp.mutable_data<T>());
  }
}

// `gradients` lacks the bias's, which is input `bias_input` of the operation.
template <class T>
void attention_backward(const AttentionPlan& plan, const kernels::AttentionInputs<T>& in, const Tensor& dout,
                        const Tensor& logsumexp, kernels::AttentionGradients<T> gradients, Grads& g, int bias_input) {
  const kernels::HeadRows<T> dout_rows{dout.data<T>(), plan.width()};
  if (in.bias.data != nullptr) {
    const auto bias = grad_target<T>(g, bias_input);
    gradients.bias = bias.data;
    gradients.accumulate_bias = bias.accumulate;
  }
  if constexpr (std::is_same_v<T, float>) {
    kernels::attention_backward_f32(plan.problem(), in, dout_rows, logsumexp.data<T>(), gradients);
  } else {
    kernels::attention_backward_reference(plan.problem(), in, dout_rows, gradients);
  }
}

inline Var record_attention(const char* name, Tensor y, std::vector<Var> inputs, const Var& bias, BackwardFn backward) {
  if (bias.defined()) inputs.push_back(bias);
  return record(name, std::move(y), inputs, std::move(backward));
}

}  // namespace detail

// Attention of every sequence to itself, from one matrix of queries, keys and values side by side, each of heads side
// by side: (T, (H + 2 K) Dh) -> (T, H Dh) for H heads of queries and K of keys. Heads have at most 256 channels. Throws
// Error when layout, heads, options and matrix do not fit. (Vaswani et al. 2017, eq. 1; grouped heads: Ainslie et al.
// 2023)
inline Var self_attention(const Var& qkv, const AttentionOptions& options) {
  const std::int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
  const std::int64_t all_heads = options.heads + 2 * kv_heads;
  FOVEA_CHECK(qkv.rank() == 2 && options.heads > 0 && kv_heads > 0 && qkv.dim(1) % all_heads == 0,
              "[self_attention] qkv is ", qkv.shape(), ", expected (T, D) with D a multiple of ", all_heads, ": ",
              options.heads, " heads of queries, ", kv_heads, " of keys and ", kv_heads, " of values");
  FOVEA_CHECK(!options.kv_layout.defined(),
              "[self_attention] keys have the layout of the queries; kv_layout is set\n"
              "hint: attention(q, k, v, options) takes keys of another sequence");
  const std::int64_t tokens = qkv.dim(0), stride = qkv.dim(1), head_dim = stride / all_heads;
  const std::int64_t width = options.heads * head_dim, kv_width = kv_heads * head_dim;
  const detail::AttentionPlan plan(options, qkv.value(), width, qkv.value(), kv_width);
  const auto inputs = [=]<class T>(const Tensor& x, const Tensor& bias) {
    const T* q = x.data<T>();
    return kernels::AttentionInputs<T>{
        {q, stride}, {q + width, stride}, {q + width + kv_width, stride}, detail::attention_bias<T>(bias)};
  };
  const Tensor bias = detail::value_or_none(options.bias);
  Tensor y({tokens, width}, qkv.dtype()), logsumexp({plan.heads, tokens}, qkv.dtype());
  dispatch_floating(qkv.dtype(), "self_attention", [&]<class T>() {
    detail::attention_forward<T>(plan, inputs.template operator()<T>(qkv.value(), bias), y, logsumexp);
  });
  return detail::record_attention("self_attention", y, {qkv}, options.bias,
                                  [=, qkv = SavedActivation(qkv), bias = Saved(bias)](const Tensor& dy, Grads& g) {
                                    const Tensor x = qkv.restore();
                                    dispatch_floating(dy.dtype(), "self_attention", [&]<class T>() {
                                      const auto dx = detail::grad_target<T>(g, 0);
                                      kernels::AttentionGradients<T> gradients{};
                                      if (dx) {
                                        gradients = {{dx.data, stride, dx.accumulate},
                                                     {dx.data + width, stride, dx.accumulate},
                                                     {dx.data + width + kv_width, stride, dx.accumulate}};
                                      }
                                      detail::attention_backward<T>(plan, inputs.template operator()<T>(x, bias), dy,
                                                                    logsumexp, gradients, g, 1);
                                    });
                                  });
}

// As attention(), with keys and values side by side in one matrix: q (T, H Dh), kv (S, 2 K Dh) -> (T, H Dh).
inline Var cross_attention(const Var& q, const Var& kv, const AttentionOptions& options) {
  FOVEA_CHECK(q.rank() == 2 && kv.rank() == 2 && kv.dim(1) % 2 == 0 && q.dtype() == kv.dtype(),
              "[cross_attention] queries are ", to_string(q.dtype()), " ", q.shape(), ", keys and values ",
              to_string(kv.dtype()), " ", kv.shape(), ", expected (T, D) and (S, 2 D)");
  const std::int64_t width = q.dim(1), stride = kv.dim(1), kv_width = stride / 2;
  const detail::AttentionPlan plan(options, q.value(), width, kv.value(), kv_width);
  const auto inputs = [=]<class T>(const Tensor& queries, const Tensor& keys, const Tensor& bias) {
    const T* k = keys.data<T>();
    return kernels::AttentionInputs<T>{
        {queries.data<T>(), width}, {k, stride}, {k + kv_width, stride}, detail::attention_bias<T>(bias)};
  };
  const Tensor bias = detail::value_or_none(options.bias);
  Tensor y(q.shape(), q.dtype()), logsumexp({plan.heads, q.dim(0)}, q.dtype());
  dispatch_floating(q.dtype(), "cross_attention", [&]<class T>() {
    detail::attention_forward<T>(plan, inputs.template operator()<T>(q.value(), kv.value(), bias), y, logsumexp);
  });
  return detail::record_attention(
      "cross_attention", y, {q, kv}, options.bias,
      [=, q = SavedActivation(q), kv = SavedActivation(kv), bias = Saved(bias)](const Tensor& dy, Grads& g) {
        const Tensor queries = q.restore(), keys = kv.restore();
        dispatch_floating(dy.dtype(), "cross_attention", [&]<class T>() {
          const auto dq = detail::grad_target<T>(g, 0), dkv = detail::grad_target<T>(g, 1);
          T* dv = dkv ? dkv.data + kv_width : nullptr;
          detail::attention_backward<T>(
              plan, inputs.template operator()<T>(queries, keys, bias), dy, logsumexp,
              {{dq.data, width, dq.accumulate}, {dkv.data, stride, dkv.accumulate}, {dv, stride, dkv.accumulate}}, g,
              2);
        });
      });
}

// Attention of queries (T, H Dh) to keys and values (S, K Dh) of the same sequence of a second layout: (T, H Dh). A
// query without keys gives zero; causal attention is aligned at the end, so that the last query sees all keys. Heads
// have at most 256 channels. Throws Error when layouts, heads, options and matrices do not fit. (Vaswani et al. 2017,
// eq. 1)
inline Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options) {
  detail::check_attention_matrices(q.value(), k.value(), v.value());
  const std::int64_t width = q.dim(1), kv_width = k.dim(1);
  const detail::AttentionPlan plan(options, q.value(), width, k.value(), kv_width);
  const auto inputs = [=]<class T>(const Tensor& queries, const Tensor& keys, const Tensor& values,
                                   const Tensor& bias) {
    return kernels::AttentionInputs<T>{{queries.data<T>(), width},
                                       {keys.data<T>(), kv_width},
                                       {values.data<T>(), kv_width},
                                       detail::attention_bias<T>(bias)};
  };
  const Tensor bias = detail::value_or_none(options.bias);
  Tensor y(q.shape(), q.dtype()), logsumexp({plan.heads, q.dim(0)}, q.dtype());
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    detail::attention_forward<T>(plan, inputs.template operator()<T>(q.value(), k.value(), v.value(), bias), y,
                                 logsumexp);
  });
  return detail::record_attention(
      "attention", y, {q, k, v}, options.bias,
      [=, q = SavedActivation(q), k = SavedActivation(k), v = SavedActivation(v), bias = Saved(bias)](const Tensor& dy,
                                                                                                      Grads& g) {
        const Tensor queries = q.restore(), keys = k.restore(), values = v.restore();
        // The kernel writes all gradients together, so inputs that are one value need places of their own.
        const bool shared = g.same_input(0, 1) || g.same_input(0, 2) || g.same_input(1, 2);
        dispatch_floating(dy.dtype(), "attention", [&]<class T>() {
          Tensor separate[3];
          const auto place = [&](int i, const Tensor& input) -> kernels::HeadOutput<T> {
            if (!g.wants(i)) return {nullptr, 0};
            if (shared) {
              separate[i] = Tensor(input.shape(), input.dtype());
              return {separate[i].template mutable_data<T>(), input.dim(1)};
            }
            const GradSlot slot = g.into(i);
            return {slot.data<T>(), input.dim(1), slot.accumulate};
          };
          const kernels::AttentionGradients<T> gradients{place(0, queries), place(1, keys), place(2, values)};
          detail::attention_backward<T>(plan, inputs.template operator()<T>(queries, keys, values, bias), dy, logsumexp,
                                        gradients, g, 3);
          for (int i = 0; i < 3; ++i) {
            if (separate[i].defined()) g.add(i, std::move(separate[i]));
          }
        });
      });
}

// The probabilities that attention() mixes the values with, for pictures: one (H, queries, keys) tensor per sequence.
// Plain and slow; nothing is recorded. Throws Error as attention() does.
inline std::vector<Tensor> attention_weights(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  detail::check_attention_matrices(q, k, k);
  const detail::AttentionPlan plan(options, q, q.dim(1), k, k.dim(1));
  const kernels::AttentionProblem problem = plan.problem();
  const Tensor bias = detail::value_or_none(options.bias);
  std::vector<Tensor> weights;
  for (std::int64_t b = 0; b < problem.sequences; ++b) {
    const std::int64_t queries = problem.queries(b), keys = problem.keys(b);
    Tensor& w = weights.emplace_back(Shape{plan.heads, queries, keys}, q.dtype());
    dispatch_floating(q.dtype(), "attention_weights", [&]<class T>() {
      T* out = w.mutable_data<T>();
      for (std::int64_t row = 0; row < plan.heads * queries; ++row) {
        kernels::attention_probabilities_reference<T>(problem, {q.data<T>(), q.dim(1)}, {k.data<T>(), k.dim(1)},
                                                      detail::attention_bias<T>(bias), b, row / queries, row % queries,
                                                      out + row * keys);
      }
    });
  }
  return weights;
}

}  // namespace fovea::ops
