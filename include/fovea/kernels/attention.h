// Scaled dot-product attention over packed sequences, without a stored matrix of scores.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

enum class AttentionKind : std::uint8_t {
  full,    // every query sees every key of its sequence
  causal,  // the last query sees all keys, each earlier one a key less
  prefix,  // the first p tokens see each other, the rest is causal
};

// What is computed: queries q_offsets[b] .. q_offsets[b+1] attend to keys kv_offsets[b] .. kv_offsets[b+1].
struct AttentionProblem {
  const std::int64_t* q_offsets;   // (B+1)
  const std::int64_t* kv_offsets;  // (B+1)
  std::int64_t sequences, heads, head_dim;
  AttentionKind kind;  // full or causal
  double scale;        // of the scores

  std::int64_t query_tokens() const { return q_offsets[sequences]; }
  std::int64_t queries(std::int64_t b) const { return q_offsets[b + 1] - q_offsets[b]; }
  std::int64_t keys(std::int64_t b) const { return kv_offsets[b + 1] - kv_offsets[b]; }

  // How many keys, counted from the sequence's first, query i of sequence b sees.
  std::int64_t visible_keys(std::int64_t b, std::int64_t i) const {
    if (kind == AttentionKind::full) return keys(b);
    const std::int64_t visible = i + 1 + keys(b) - queries(b);  // at most all of them
    return visible < 0 ? 0 : visible;
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

// out = softmax(scale Q K^T) V per sequence and head, zero where a query sees no key. logsumexp (heads, query tokens)
// receives log sum e^score of each row, 0 where there is no key. Tiles as in FlashAttention (Dao et al. 2022): the only
// scores in memory are those of a few queries.
FOVEA_API void attention_forward_f32(const AttentionProblem& problem, const HeadRows<float>& q,
                                     const HeadRows<float>& k, const HeadRows<float>& v, const HeadOutput<float>& out,
                                     float* logsumexp);

// Gradients of q, k and v from those of the output; scores are computed again. The outputs may lie in one matrix.
FOVEA_API void attention_backward_f32(const AttentionProblem& problem, const HeadRows<float>& q,
                                      const HeadRows<float>& k, const HeadRows<float>& v, const HeadRows<float>& dout,
                                      const float* logsumexp, const HeadOutput<float>& dq, const HeadOutput<float>& dk,
                                      const HeadOutput<float>& dv);

}  // namespace fovea::kernels
