#include "fovea/models/packed_tokens.h"

#include <algorithm>
#include <vector>

#include "fovea/models/cbow.h"
#include "fovea/models/text_transformer.h"

namespace fovea::models {

void check_packed_tokens(const Tensor& tokens, const PackedLayout& layout) {
  FOVEA_CHECK(tokens.rank() == 1 && tokens.dtype() == DType::i32, "[text] tokens are ", to_string(tokens.dtype()), " ",
              tokens.shape(), ", expected i32 (T,)");
  FOVEA_CHECK(layout.defined() && layout.tokens() == tokens.numel(), "[text] there are ", tokens.numel(),
              " tokens, the layout has ", layout.defined() ? layout.tokens() : 0);
  for (std::int64_t b = 0; b < layout.sequences(); ++b) {
    FOVEA_CHECK(layout.length(b) > 0, "[text] caption ", b, " of the batch has no tokens");
  }
}

Tensor pooled_rows(const TextTransformerConfig& config, const Tensor& tokens, const PackedLayout& layout) {
  check_packed_tokens(tokens, layout);
  Tensor rows({layout.sequences()}, DType::i64);
  auto* row = rows.mutable_data<std::int64_t>();
  const auto* ids = tokens.data<std::int32_t>();
  for (std::int64_t b = 0; b < layout.sequences(); ++b) {
    const std::int64_t begin = layout.begin(b), end = layout.end(b);
    switch (config.pool) {
      case TextPool::first: row[b] = begin; break;
      case TextPool::last: row[b] = end - 1; break;
      case TextPool::end_token:
        row[b] = std::find(ids + begin, ids + end, config.end_token) - ids;
        if (row[b] == end) row[b] = begin;
        break;
      default: row[b] = std::max_element(ids + begin, ids + end) - ids; break;  // the first of equals
    }
  }
  return rows;
}

InnerTokens drop_special_tokens(const Tensor& tokens, const PackedLayout& layout) {
  check_packed_tokens(tokens, layout);
  const auto* ids = tokens.data<std::int32_t>();
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < layout.sequences(); ++b) {
    lengths.push_back(std::max<std::int64_t>(layout.length(b) - 2, 0));
  }
  InnerTokens inner{{}, PackedLayout::from_lengths(lengths)};
  inner.layout.sample_ids = layout.sample_ids;
  inner.ids = Tensor({inner.layout.tokens()}, DType::i32);
  auto* out = inner.ids.mutable_data<std::int32_t>();
  for (std::int64_t b = 0; b < layout.sequences(); ++b) {
    std::copy_n(ids + layout.begin(b) + 1, inner.layout.length(b), out + inner.layout.begin(b));
  }
  return inner;
}

}  // namespace fovea::models
