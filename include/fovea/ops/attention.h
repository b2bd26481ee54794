// Multi-head attention over packed sequences.
#pragma once

#include <cmath>
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

// What attends to what. The layouts say which rows form a sequence; a query sees keys of its own sequence only.
struct AttentionOptions {
  PackedLayout layout{};     // of the queries
  PackedLayout kv_layout{};  // of keys and values; undefined: the queries'
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // 0: as many as heads
  AttentionKind kind = AttentionKind::full;
  double scale = 0;               // of the scores; 0: 1 / sqrt(head size)
  Tensor prefix_lengths{};        // (B) i64: p of each sequence, for the kind `prefix`
  Tensor key_begin{}, key_end{};  // (T) i32: the keys [begin, end) of its sequence that each query may see
  Tensor bias{};                  // added to the scores
};

namespace detail {

inline void check_attention_supported(const AttentionOptions& options) {
  FOVEA_CHECK(options.kind != AttentionKind::prefix && !options.prefix_lengths.defined(),
              "[attention] prefix masks are not supported yet");
  FOVEA_CHECK(!options.key_begin.defined() && !options.key_end.defined(),
              "[attention] key ranges are not supported yet");
  FOVEA_CHECK(!options.bias.defined(), "[attention] a bias is not supported yet");
  FOVEA_CHECK(options.kv_heads == 0 || options.kv_heads == options.heads, "[attention] ", options.heads, " heads over ",
              options.kv_heads, " key heads: grouped heads are not supported yet");
}

// An AttentionProblem together with the layouts that it points into.
struct AttentionPlan {
  PackedLayout q_layout, kv_layout;
  std::int64_t heads, head_dim;
  AttentionKind kind;
  double scale;

  // For (q_rows, width) queries and (kv_rows, width) keys and values. Throws Error when the options do not fit them.
  AttentionPlan(const AttentionOptions& options, std::int64_t q_rows, std::int64_t kv_rows, std::int64_t width)
      : q_layout(options.layout),
        kv_layout(options.kv_layout.defined() ? options.kv_layout : options.layout),
        heads(options.heads),
        kind(options.kind) {
    check_attention_supported(options);
    FOVEA_CHECK(heads > 0 && width > 0 && width % heads == 0, "[attention] width ", width, " does not divide into ",
                heads, " heads");
    head_dim = width / heads;
    FOVEA_CHECK(head_dim <= 256, "[attention] heads have ", head_dim, " channels, at most 256 are supported");
    scale = options.scale == 0 ? 1 / std::sqrt(static_cast<double>(head_dim)) : options.scale;
    q_layout.check("attention queries", q_rows);
    kv_layout.check("attention keys", kv_rows);
    FOVEA_CHECK(q_layout.sequences() == kv_layout.sequences(), "[attention] ", q_layout.sequences(),
                " sequences of queries, ", kv_layout.sequences(), " of keys");
    for (std::int64_t b = 0; kind == AttentionKind::causal && b < q_layout.sequences(); ++b) {
      FOVEA_CHECK(q_layout.length(b) <= kv_layout.length(b), "[attention] causal sequence ", b, " has ",
                  q_layout.length(b), " queries and only ", kv_layout.length(b), " keys");
    }
  }

  std::int64_t width() const { return heads * head_dim; }
  kernels::AttentionProblem problem() const {
    return {q_layout.offsets.data<std::int64_t>(),
            kv_layout.offsets.data<std::int64_t>(),
            q_layout.sequences(),
            heads,
            head_dim,
            kind,
            scale};
  }
};

// Writes the result (T, width) and returns log sum e^score (heads, T).
template <class T>
void attention_forward(const AttentionPlan& plan, const kernels::HeadRows<T>& q, const kernels::HeadRows<T>& k,
                       const kernels::HeadRows<T>& v, Tensor& out, Tensor& logsumexp) {
  const kernels::HeadOutput<T> rows{out.mutable_data<T>(), plan.width()};
  if constexpr (std::is_same_v<T, float>) {
    kernels::attention_forward_f32(plan.problem(), q, k, v, rows, logsumexp.mutable_data<T>());
  } else {
    kernels::attention_forward_reference(plan.problem(), q, k, v, rows, logsumexp.mutable_data<T>());
  }
}

template <class T>
void attention_backward(const AttentionPlan& plan, const kernels::HeadRows<T>& q, const kernels::HeadRows<T>& k,
                        const kernels::HeadRows<T>& v, const Tensor& dout, const Tensor& logsumexp,
                        const kernels::HeadOutput<T>& dq, const kernels::HeadOutput<T>& dk,
                        const kernels::HeadOutput<T>& dv) {
  const kernels::HeadRows<T> dout_rows{dout.data<T>(), plan.width()};
  if constexpr (std::is_same_v<T, float>) {
    kernels::attention_backward_f32(plan.problem(), q, k, v, dout_rows, logsumexp.data<T>(), dq, dk, dv);
  } else {
    kernels::attention_backward_reference(plan.problem(), q, k, v, dout_rows, dq, dk, dv);
  }
}

inline void check_attention_matrices(const Tensor& q, const Tensor& k, const Tensor& v) {
  FOVEA_CHECK(q.rank() == 2 && k.rank() == 2 && k.shape() == v.shape() && q.dim(1) == k.dim(1),
              "[attention] queries are ", q.shape(), ", keys ", k.shape(), ", values ", v.shape(),
              ", expected (T, D), (S, D), (S, D)");
  FOVEA_CHECK(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "[attention] queries are ", to_string(q.dtype()),
              ", keys ", to_string(k.dtype()), ", values ", to_string(v.dtype()));
}

}  // namespace detail

// Attention of every sequence to itself, from one matrix of queries, keys and values side by side, each of heads side
// by side: (T, 3 H Dh) -> (T, H Dh). Heads have at most 256 channels. Throws Error when layout, heads and matrix do not
// fit, or an option is not supported yet. (Vaswani et al. 2017, eq. 1)
inline Var self_attention(const Var& qkv, const AttentionOptions& options) {
  FOVEA_CHECK(qkv.rank() == 2 && qkv.dim(1) % 3 == 0, "[self_attention] qkv is ", qkv.shape(), ", expected (T, 3 D)");
  FOVEA_CHECK(!options.kv_layout.defined(),
              "[self_attention] keys have the layout of the queries; kv_layout is set\n"
              "hint: attention(q, k, v, options) takes keys of another sequence");
  const std::int64_t tokens = qkv.dim(0), width = qkv.dim(1) / 3, stride = 3 * width;
  const detail::AttentionPlan plan(options, tokens, tokens, width);
  Tensor y({tokens, width}, qkv.dtype()), logsumexp({plan.heads, tokens}, qkv.dtype());
  dispatch_floating(qkv.dtype(), "self_attention", [&]<class T>() {
    const T* x = qkv.value().data<T>();
    detail::attention_forward<T>(plan, {x, stride}, {x + width, stride}, {x + 2 * width, stride}, y, logsumexp);
  });
  return record("self_attention", y, {qkv},
                [plan, width, stride, qkv = Saved(qkv.value()), logsumexp](const Tensor& dy, Grads& g) {
                  if (!g.wants(0)) return;
                  const GradSlot slot = g.into(0);
                  dispatch_floating(dy.dtype(), "self_attention", [&]<class T>() {
                    const T* x = qkv->data<T>();
                    T* dx = slot.data<T>();
                    detail::attention_backward<T>(plan, {x, stride}, {x + width, stride}, {x + 2 * width, stride}, dy,
                                                  logsumexp, {dx, stride, slot.accumulate},
                                                  {dx + width, stride, slot.accumulate},
                                                  {dx + 2 * width, stride, slot.accumulate});
                  });
                });
}

// As attention(), with keys and values side by side in one matrix: q (T, H Dh), kv (S, 2 H Dh) -> (T, H Dh).
inline Var cross_attention(const Var& q, const Var& kv, const AttentionOptions& options) {
  FOVEA_CHECK(q.rank() == 2 && kv.rank() == 2 && kv.dim(1) == 2 * q.dim(1) && q.dtype() == kv.dtype(),
              "[cross_attention] queries are ", to_string(q.dtype()), " ", q.shape(), ", keys and values ",
              to_string(kv.dtype()), " ", kv.shape(), ", expected (T, D) and (S, 2 D)");
  const std::int64_t width = q.dim(1), stride = 2 * width;
  const detail::AttentionPlan plan(options, q.dim(0), kv.dim(0), width);
  Tensor y(q.shape(), q.dtype()), logsumexp({plan.heads, q.dim(0)}, q.dtype());
  dispatch_floating(q.dtype(), "cross_attention", [&]<class T>() {
    const T* x = kv.value().data<T>();
    detail::attention_forward<T>(plan, {q.value().data<T>(), width}, {x, stride}, {x + width, stride}, y, logsumexp);
  });
  return record(
      "cross_attention", y, {q, kv},
      [plan, width, stride, q = Saved(q.value()), kv = Saved(kv.value()), logsumexp](const Tensor& dy, Grads& g) {
        dispatch_floating(dy.dtype(), "cross_attention", [&]<class T>() {
          const T* x = kv->data<T>();
          const auto dq = detail::grad_target<T>(g, 0), dkv = detail::grad_target<T>(g, 1);
          T* dv = dkv ? dkv.data + width : nullptr;
          detail::attention_backward<T>(plan, {q->data<T>(), width}, {x, stride}, {x + width, stride}, dy, logsumexp,
                                        {dq.data, width, dq.accumulate}, {dkv.data, stride, dkv.accumulate},
                                        {dv, stride, dkv.accumulate});
        });
      });
}

// Attention of queries (T, H Dh) to keys and values (S, H Dh) of the same sequence of a second layout: (T, H Dh). A
// query without keys gives zero; causal attention is aligned at the end, so that the last query sees all keys. Heads
// have at most 256 channels. Throws Error when layouts, heads and matrices do not fit, or an option is not supported
// yet. (Vaswani et al. 2017, eq. 1)
inline Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options) {
  detail::check_attention_matrices(q.value(), k.value(), v.value());
  const std::int64_t width = q.dim(1);
  const detail::AttentionPlan plan(options, q.dim(0), k.dim(0), width);
  Tensor y(q.shape(), q.dtype()), logsumexp({plan.heads, q.dim(0)}, q.dtype());
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    detail::attention_forward<T>(plan, {q.value().data<T>(), width}, {k.value().data<T>(), width},
                                 {v.value().data<T>(), width}, y, logsumexp);
  });
  return record("attention", y, {q, k, v},
                [plan, width, q = Saved(q.value()), k = Saved(k.value()), v = Saved(v.value()), logsumexp](
                    const Tensor& dy, Grads& g) {
                  // The kernel writes all gradients together, so inputs that are one value need places of their own.
                  const bool shared = g.same_input(0, 1) || g.same_input(0, 2) || g.same_input(1, 2);
                  dispatch_floating(dy.dtype(), "attention", [&]<class T>() {
                    Tensor separate[3];
                    const auto place = [&](int i, const Tensor& input) -> kernels::HeadOutput<T> {
                      if (!g.wants(i)) return {nullptr, 0};
                      if (shared) {
                        separate[i] = Tensor(input.shape(), input.dtype());
                        return {separate[i].template mutable_data<T>(), width};
                      }
                      const GradSlot slot = g.into(i);
                      return {slot.data<T>(), width, slot.accumulate};
                    };
                    const auto dq = place(0, q), dk = place(1, k), dv = place(2, v);
                    detail::attention_backward<T>(plan, {q->data<T>(), width}, {k->data<T>(), width},
                                                  {v->data<T>(), width}, dy, logsumexp, dq, dk, dv);
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
  const detail::AttentionPlan plan(options, q.dim(0), k.dim(0), q.dim(1));
  const kernels::AttentionProblem problem = plan.problem();
  std::vector<Tensor> weights;
  for (std::int64_t b = 0; b < problem.sequences; ++b) {
    const std::int64_t queries = problem.queries(b), keys = problem.keys(b);
    Tensor& w = weights.emplace_back(Shape{plan.heads, queries, keys}, q.dtype());
    dispatch_floating(q.dtype(), "attention_weights", [&]<class T>() {
      T* out = w.mutable_data<T>();
      for (std::int64_t row = 0; row < plan.heads * queries; ++row) {
        kernels::attention_probabilities_reference<T>(problem, {q.data<T>(), q.dim(1)}, {k.data<T>(), k.dim(1)}, b,
                                                      row / queries, row % queries, out + row * keys);
      }
    });
  }
  return weights;
}

}  // namespace fovea::ops
