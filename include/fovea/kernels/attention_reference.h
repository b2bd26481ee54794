// Attention one query at a time: the plain form of the kernels, and the f64 path.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/attention.h"

namespace fovea::kernels {

// probabilities (keys of b) of query i of sequence b and head h; returns log sum e^score, or 0 when no key is visible.
template <class T>
T attention_probabilities_reference(const AttentionProblem& p, const HeadRows<T>& q, const HeadRows<T>& k,
                                    std::int64_t b, std::int64_t h, std::int64_t i, T* probabilities) {
  const std::int64_t visible = p.visible_keys(b, i), channel = h * p.head_dim;
  for (std::int64_t j = 0; j < p.keys(b); ++j) probabilities[j] = 0;
  if (visible == 0) return 0;
  const T* query = q.data + (p.q_offsets[b] + i) * q.stride + channel;
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t j = 0; j < visible; ++j) {
    const T* key = k.data + (p.kv_offsets[b] + j) * k.stride + channel;
    T score = 0;
    for (std::int64_t c = 0; c < p.head_dim; ++c) score += query[c] * key[c];
    probabilities[j] = score * static_cast<T>(p.scale);
    if (probabilities[j] > largest) largest = probabilities[j];
  }
  T total = 0;
  for (std::int64_t j = 0; j < visible; ++j) total += probabilities[j] = std::exp(probabilities[j] - largest);
  for (std::int64_t j = 0; j < visible; ++j) probabilities[j] /= total;
  return largest + std::log(total);
}

namespace detail {

// Calls body(sequence, head) for every pair, on all threads.
template <class F>
void for_each_head(const AttentionProblem& p, F&& body) {
  const std::int64_t heads = p.sequences * p.heads;
  parallel_for(heads, p.grain(heads), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i / p.heads, i % p.heads);
  });
}

template <class T>
void clear_head(const HeadOutput<T>& out, std::int64_t begin, std::int64_t end, std::int64_t channel,
                std::int64_t head_dim) {
  if (out.data == nullptr || out.accumulate) return;
  for (std::int64_t t = begin; t < end; ++t) {
    std::fill(out.data + t * out.stride + channel, out.data + t * out.stride + channel + head_dim, T(0));
  }
}

// out row t += factor * x.
template <class T>
void add_to_head(const HeadOutput<T>& out, std::int64_t t, std::int64_t channel, std::int64_t head_dim, T factor,
                 const T* x) {
  if (out.data == nullptr) return;
  T* row = out.data + t * out.stride + channel;
  for (std::int64_t c = 0; c < head_dim; ++c) row[c] += factor * x[c];
}

}  // namespace detail

template <class T>
void attention_forward_reference(const AttentionProblem& p, const HeadRows<T>& q, const HeadRows<T>& k,
                                 const HeadRows<T>& v, const HeadOutput<T>& out, T* logsumexp) {
  detail::for_each_head(p, [&](std::int64_t b, std::int64_t h) {
    const std::int64_t channel = h * p.head_dim;
    std::vector<T> probabilities(static_cast<std::size_t>(p.keys(b)));
    detail::clear_head(out, p.q_offsets[b], p.q_offsets[b + 1], channel, p.head_dim);
    for (std::int64_t i = 0; i < p.queries(b); ++i) {
      const std::int64_t t = p.q_offsets[b] + i;
      logsumexp[h * p.query_tokens() + t] = attention_probabilities_reference(p, q, k, b, h, i, probabilities.data());
      for (std::int64_t j = 0; j < p.keys(b); ++j) {
        detail::add_to_head(out, t, channel, p.head_dim, probabilities[static_cast<std::size_t>(j)],
                            v.data + (p.kv_offsets[b] + j) * v.stride + channel);
      }
    }
  });
}

template <class T>
void attention_backward_reference(const AttentionProblem& p, const HeadRows<T>& q, const HeadRows<T>& k,
                                  const HeadRows<T>& v, const HeadRows<T>& dout, const HeadOutput<T>& dq,
                                  const HeadOutput<T>& dk, const HeadOutput<T>& dv) {
  detail::for_each_head(p, [&](std::int64_t b, std::int64_t h) {
    const std::int64_t channel = h * p.head_dim;
    const auto n = static_cast<std::size_t>(p.keys(b));
    std::vector<T> probabilities(n), dprobabilities(n);
    detail::clear_head(dq, p.q_offsets[b], p.q_offsets[b + 1], channel, p.head_dim);
    detail::clear_head(dk, p.kv_offsets[b], p.kv_offsets[b + 1], channel, p.head_dim);
    detail::clear_head(dv, p.kv_offsets[b], p.kv_offsets[b + 1], channel, p.head_dim);
    for (std::int64_t i = 0; i < p.queries(b); ++i) {
      const std::int64_t t = p.q_offsets[b] + i;
      const T *query = q.data + t * q.stride + channel, *grad = dout.data + t * dout.stride + channel;
      attention_probabilities_reference(p, q, k, b, h, i, probabilities.data());
      T mean = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const T* value = v.data + (p.kv_offsets[b] + static_cast<std::int64_t>(j)) * v.stride + channel;
        dprobabilities[j] = 0;
        for (std::int64_t c = 0; c < p.head_dim; ++c) dprobabilities[j] += grad[c] * value[c];
        mean += probabilities[j] * dprobabilities[j];
      }
      for (std::size_t j = 0; j < n; ++j) {
        const std::int64_t s = p.kv_offsets[b] + static_cast<std::int64_t>(j);
        const T dscore = probabilities[j] * (dprobabilities[j] - mean) * static_cast<T>(p.scale);
        detail::add_to_head(dq, t, channel, p.head_dim, dscore, k.data + s * k.stride + channel);
        detail::add_to_head(dk, s, channel, p.head_dim, dscore, query);
        detail::add_to_head(dv, s, channel, p.head_dim, probabilities[j], grad);
      }
    }
  });
}

}  // namespace fovea::kernels
