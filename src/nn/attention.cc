#include "fovea/nn/attention.h"

#include <vector>

namespace fovea::nn {

SeenTokens::SeenTokens(ops::AttentionKind kind, const PackedLayout& packed, const Tensor& query_rows) : layout(packed) {
  FOVEA_CHECK(kind != ops::AttentionKind::prefix,
              "[attention] single tokens are computed of full and causal attention, not of a prefix");
  FOVEA_CHECK(query_rows.shape() == Shape{packed.sequences()} && query_rows.dtype() == DType::i64,
              "[attention] rows are ", to_string(query_rows.dtype()), " ", query_rows.shape(), ", expected i64 (",
              packed.sequences(), ",): a token of each sequence");
  const auto* row = query_rows.data<std::int64_t>();
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < packed.sequences(); ++b) {
    FOVEA_CHECK(row[b] >= packed.begin(b) && row[b] < packed.end(b), "[attention] row ", row[b],
                " is outside sequence ", b, ", which has rows ", packed.begin(b), " to ", packed.end(b) - 1);
    lengths.push_back(kind == ops::AttentionKind::causal ? row[b] + 1 - packed.begin(b) : packed.length(b));
    all = all && lengths.back() == packed.length(b);
  }
  if (all) return;
  layout = PackedLayout::from_lengths(lengths);
  layout.sample_ids = packed.sample_ids;
  rows = Tensor({layout.tokens()}, DType::i64);
  auto* out = rows.mutable_data<std::int64_t>();
  for (std::int64_t b = 0; b < packed.sequences(); ++b) {
    for (std::int64_t i = 0; i < layout.length(b); ++i) *out++ = packed.begin(b) + i;
  }
}

}  // namespace fovea::nn
