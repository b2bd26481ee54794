// Scaled dot-product attention over packed sequences, without a stored matrix of scores.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

enum class AttentionKind : std::uint8_t {
  full,    // every query sees every key of its sequence
  causal,  // the last query sees all keys, each earlier one a key less
  prefix,  // every query sees the first p keys, and of the others as many as in causal attention
};

// The keys [begin, end) of a sequence.
struct KeyRange {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// What is computed: queries q_offsets[b] .. q_offsets[b+1] attend to keys kv_offsets[b] .. kv_offsets[b+1].
struct AttentionProblem {
  const std::int64_t* q_offsets;   // (B+1)
  const std::int64_t* kv_offsets;  // (B+1)
  std::int64_t sequences, heads, head_dim;
  AttentionKind kind;
  double scale;                                  // of the products of queries and keys
  std::int64_t kv_heads = heads;                 // key head i serves the query heads [i, i + 1) heads / kv_heads
  const std::int32_t* prefix_lengths = nullptr;  // (B), p of the kind `prefix`: 0 to the sequence's keys
  // (query tokens): the keys [begin, end) of its sequence that each query may see, of those that the kind lets it see;
  // null: all of them. A query that is left without keys gives zero and has no gradients.
  const std::int32_t *key_begin = nullptr, *key_end = nullptr;

  std::int64_t query_tokens() const { return q_offsets[sequences]; }
  std::int64_t queries(std::int64_t b) const { return q_offsets[b + 1] - q_offsets[b]; }
  std::int64_t keys(std::int64_t b) const { return kv_offsets[b + 1] - kv_offsets[b]; }
  std::int64_t group() const { return heads / kv_heads; }  // query heads of a key head

  // The keys that query i of sequence b sees. An empty range has equal ends.
  KeyRange visible_keys(std::int64_t b, std::int64_t i) const {
    const std::int64_t all = keys(b);
    KeyRange seen{0, all};
    if (kind != AttentionKind::full) {
      const std::int64_t causal = i + 1 + all - queries(b);
      const std::int64_t prefix = kind == AttentionKind::prefix ? prefix_lengths[b] : 0;
      seen.end = causal > prefix ? causal : prefix;
    }
    if (key_begin != nullptr) {
      const std::int64_t t = q_offsets[b] + i, begin = key_begin[t], end = key_end[t];
      if (begin > seen.begin) seen.begin = begin;
      if (end < seen.end) seen.end = end;
    }
    return seen.begin < seen.end ? seen : KeyRange{0, 0};
  }

  // How many of so many equal parts of the whole a thread should take at a time: tiny ones are not worth waking it for.
  std::int64_t grain(std::int64_t parts) const {
    std::int64_t scores = 0;
    for (std::int64_t b = 0; b < sequences; ++b) scores += queries(b) * keys(b);
    constexpr std::int64_t worthwhile = 1 << 18;  // multiplications of one matrix product
    const std::int64_t work = scores * heads * head_dim, share = parts * worthwhile / (work > 0 ? work : 1);
    return share > 1 ? share : 1;
  }
};

// A matrix of tokens by heads: channel c of head h of token t is data[t * stride + h * head_dim + c].
template <class T>
struct HeadRows {
  const T* data;
  std::int64_t stride;
};

// Where such a matrix is written; null data: not wanted.
template <class T>
struct HeadOutput {
  T* data;
  std::int64_t stride;
  bool accumulate = false;  // add to what is there
};

// Added to the scores of the first `queries` queries and the first `keys` keys of every sequence: (heads, queries,
// keys). Other scores have none. Null data: no bias.
template <class T>
struct AttentionBias {
  const T* data = nullptr;
  std::int64_t queries = 0, keys = 0;
};

template <class T>
struct AttentionInputs {
  HeadRows<T> q, k, v;  // k and v of kv_heads heads
  AttentionBias<T> bias{};
};

// Where the gradients go. q, k and v may lie in one matrix; null data: not wanted.
template <class T>
struct AttentionGradients {
  HeadOutput<T> q, k, v;
  T* bias = nullptr;  // of the bias's shape
  bool accumulate_bias = false;
};

// out = softmax(scale Q K^T + bias) V per sequence and head, zero where a query sees no key. logsumexp (heads, query
// tokens) receives log sum e^score of each row, 0 where there is no key. Tiles as in FlashAttention (Dao et al. 2022):
// the only scores in memory are those of a few queries, and those of tiles that no query sees are not computed.
FOVEA_API void attention_forward_f32(const AttentionProblem& problem, const AttentionInputs<float>& in,
                                     const HeadOutput<float>& out, float* logsumexp);

// Gradients from those of the output; scores are computed again.
FOVEA_API void attention_backward_f32(const AttentionProblem& problem, const AttentionInputs<float>& in,
                                      const HeadRows<float>& dout, const float* logsumexp,
                                      const AttentionGradients<float>& gradients);

}  // namespace fovea::kernels
