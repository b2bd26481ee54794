// Attention one query at a time: the plain form of the kernels, and the f64 path.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/attention.h"

namespace fovea::kernels {

namespace detail {

template <class T>
bool has_bias(const AttentionBias<T>& bias, std::int64_t i, std::int64_t j) {
  return bias.data != nullptr && i < bias.queries && j < bias.keys;
}

template <class T>
std::int64_t bias_index(const AttentionBias<T>& bias, std::int64_t h, std::int64_t i, std::int64_t j) {
  return (h * bias.queries + i) * bias.keys + j;
}

}  // namespace detail

// probabilities (keys of b) of query i of sequence b and head h; returns log sum e^score, or 0 when no key is visible.
template <class T>
T attention_probabilities_reference(const AttentionProblem& p, const HeadRows<T>& q, const HeadRows<T>& k,
                                    const AttentionBias<T>& bias, std::int64_t b, std::int64_t h, std::int64_t i,
                                    T* probabilities) {
  const KeyRange seen = p.visible_keys(b, i);
  for (std::int64_t j = 0; j < p.keys(b); ++j) probabilities[j] = 0;
  if (seen.size() == 0) return 0;
  const T* query = q.data + (p.q_offsets[b] + i) * q.stride + h * p.head_dim;
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t j = seen.begin; j < seen.end; ++j) {
    const T* key = k.data + (p.kv_offsets[b] + j) * k.stride + h / p.group() * p.head_dim;
    T product = 0;
    for (std::int64_t c = 0; c < p.head_dim; ++c) product += query[c] * key[c];
    probabilities[j] = product * static_cast<T>(p.scale);
    if (detail::has_bias(bias, i, j)) probabilities[j] += bias.data[detail::bias_index(bias, h, i, j)];
    if (probabilities[j] > largest) largest = probabilities[j];
  }
  T total = 0;
  for (std::int64_t j = seen.begin; j < seen.end; ++j) total += probabilities[j] = std::exp(probabilities[j] - largest);
  for (std::int64_t j = seen.begin; j < seen.end; ++j) probabilities[j] /= total;
  return largest + std::log(total);
}

namespace detail {

template <class T>
void clear_head(const HeadOutput<T>& out, std::int64_t begin, std::int64_t end, std::int64_t channel,
                std::int64_t head_dim) {
  if (out.data == nullptr || out.accumulate) return;
  for (std::int64_t t = begin; t < end; ++t) {
    for (std::int64_t c = 0; c < head_dim; ++c) out.data[t * out.stride + channel + c] = 0;
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

// Backward for one head of queries and the keys that it sees.
template <class T>
void attention_backward_head_reference(const AttentionProblem& p, const AttentionInputs<T>& in, const HeadRows<T>& dout,
                                       const AttentionGradients<T>& gradients, std::int64_t b, std::int64_t h) {
  const std::int64_t channel = h * p.head_dim, kv_channel = h / p.group() * p.head_dim;
  std::vector<T> probabilities(static_cast<std::size_t>(p.keys(b))), dprobabilities(probabilities.size());
  for (std::int64_t i = 0; i < p.queries(b); ++i) {
    const std::int64_t t = p.q_offsets[b] + i;
    const T *query = in.q.data + t * in.q.stride + channel, *grad = dout.data + t * dout.stride + channel;
    attention_probabilities_reference(p, in.q, in.k, in.bias, b, h, i, probabilities.data());
    const KeyRange seen = p.visible_keys(b, i);
    T mean = 0;
    for (std::int64_t j = seen.begin; j < seen.end; ++j) {
      const T* value = in.v.data + (p.kv_offsets[b] + j) * in.v.stride + kv_channel;
      T& dprobability = dprobabilities[static_cast<std::size_t>(j)] = 0;
      for (std::int64_t c = 0; c < p.head_dim; ++c) dprobability += grad[c] * value[c];
      mean += probabilities[static_cast<std::size_t>(j)] * dprobability;
    }
    for (std::int64_t j = seen.begin; j < seen.end; ++j) {
      const std::int64_t s = p.kv_offsets[b] + j;
      const T probability = probabilities[static_cast<std::size_t>(j)];
      const T dscore = probability * (dprobabilities[static_cast<std::size_t>(j)] - mean);
      const T dproduct = dscore * static_cast<T>(p.scale);
      add_to_head(gradients.q, t, channel, p.head_dim, dproduct, in.k.data + s * in.k.stride + kv_channel);
      add_to_head(gradients.k, s, kv_channel, p.head_dim, dproduct, query);
      add_to_head(gradients.v, s, kv_channel, p.head_dim, probability, grad);
      if (gradients.bias != nullptr && has_bias(in.bias, i, j)) {
        gradients.bias[bias_index(in.bias, h, i, j)] += dscore;
      }
    }
  }
}

}  // namespace detail

template <class T>
void attention_forward_reference(const AttentionProblem& p, const AttentionInputs<T>& in, const HeadOutput<T>& out,
                                 T* logsumexp) {
  const std::int64_t pairs = p.sequences * p.heads;
  parallel_for(pairs, p.grain(pairs), [&](std::int64_t pair, std::int64_t end) {
    for (; pair < end; ++pair) {
      const std::int64_t b = pair / p.heads, h = pair % p.heads, channel = h * p.head_dim;
      std::vector<T> probabilities(static_cast<std::size_t>(p.keys(b)));
      detail::clear_head(out, p.q_offsets[b], p.q_offsets[b + 1], channel, p.head_dim);
      for (std::int64_t i = 0; i < p.queries(b); ++i) {
        const std::int64_t t = p.q_offsets[b] + i;
        logsumexp[h * p.query_tokens() + t] =
            attention_probabilities_reference(p, in.q, in.k, in.bias, b, h, i, probabilities.data());
        const KeyRange seen = p.visible_keys(b, i);
        for (std::int64_t j = seen.begin; j < seen.end; ++j) {
          const T* value = in.v.data + (p.kv_offsets[b] + j) * in.v.stride + h / p.group() * p.head_dim;
          detail::add_to_head(out, t, channel, p.head_dim, probabilities[static_cast<std::size_t>(j)], value);
        }
      }
    }
  });
}

template <class T>
void attention_backward_reference(const AttentionProblem& p, const AttentionInputs<T>& in, const HeadRows<T>& dout,
                                  const AttentionGradients<T>& gradients) {
  if (gradients.bias != nullptr && !gradients.accumulate_bias) {
    for (std::int64_t i = 0; i < p.heads * in.bias.queries * in.bias.keys; ++i) gradients.bias[i] = 0;
  }
  // All sequences add to one bias; the query heads of a group add to one key head.
  parallel_for(p.kv_heads, p.grain(p.kv_heads), [&](std::int64_t kv_head, std::int64_t end) {
    for (; kv_head < end; ++kv_head) {
      for (std::int64_t b = 0; b < p.sequences; ++b) {
        const std::int64_t kv_channel = kv_head * p.head_dim;
        detail::clear_head(gradients.k, p.kv_offsets[b], p.kv_offsets[b + 1], kv_channel, p.head_dim);
        detail::clear_head(gradients.v, p.kv_offsets[b], p.kv_offsets[b + 1], kv_channel, p.head_dim);
        for (std::int64_t h = kv_head * p.group(); h < (kv_head + 1) * p.group(); ++h) {
          detail::clear_head(gradients.q, p.q_offsets[b], p.q_offsets[b + 1], h * p.head_dim, p.head_dim);
          detail::attention_backward_head_reference(p, in, dout, gradients, b, h);
        }
      }
    }
  });
}

}  // namespace fovea::kernels
