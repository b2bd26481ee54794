#include "fovea/models/vit.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace fovea::models {

Tensor kept_tokens(const VisionTransformerConfig& config, std::int64_t n, const nn::Ctx& ctx) {
  const std::int64_t tokens = config.tokens(), kept = config.kept(), first = config.class_token ? 1 : 0;
  FOVEA_CHECK(!ctx.sample_ids.defined() || ctx.sample_ids.numel() == n, "[vit] there are ", n, " pictures and ",
              ctx.sample_ids.numel(), " sample ids");
  const RngKey key = ctx.rng.derive("patch_dropout");
  Tensor rows({n * kept}, DType::i64);
  auto* row = rows.mutable_data<std::int64_t>();
  std::vector<std::int64_t> order(static_cast<std::size_t>(tokens));
  for (std::int64_t i = 0; i < n; ++i, row += kept) {
    const std::int64_t id = ctx.sample_ids.defined() ? ctx.sample_ids.data<std::int64_t>()[i] : i;
    Rng rng(key.derive(static_cast<std::uint64_t>(id)));
    std::iota(order.begin(), order.end(), i * tokens);
    for (std::int64_t j = first; j < kept; ++j) {  // the first steps of a shuffle
      std::swap(order[static_cast<std::size_t>(j)], order[static_cast<std::size_t>(j + rng.below(tokens - j))]);
    }
    std::copy_n(order.begin(), kept, row);
    std::sort(row, row + kept);
  }
  return rows;
}

}  // namespace fovea::models
