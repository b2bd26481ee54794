// Contrastive losses of a batch whose pairs are spread over ranks.
//
// Every rank has as many rows, of a (n, E) and b (n, E), which belong together in order; scale and bias are the same on
// all. The loss is that of the whole batch of size n pairs, and the same number on every rank; gradients follow the
// rule of ops/ranks.h. `group` must live until backward.
#pragma once

#include "fovea/dist/group.h"
#include "fovea/ops/contrastive.h"

namespace fovea::ops {

// How a rank gets to see the others' rows.
enum class RankExchange : std::uint8_t {
  // The blocks of b go round the ranks, one step while the one before is computed with, together with what they collect
  // on the way: column sums, gradients. A rank holds one other rank's block, and the next as it arrives; every product
  // is computed once.
  ring,
  // All rows of all ranks on each, as open_clip's ClipLoss with local_loss and gather_with_grad: fewer messages, for
  // memory of (size n, E), and every product computed on two ranks.
  gather,
};

FOVEA_API InfoNceResult info_nce(const Var& a, const Var& b, const Var& scale, double label_smoothing,
                                 dist::Group& group, RankExchange exchange = RankExchange::ring);
FOVEA_API Var pair_sigmoid(const Var& a, const Var& b, const Var& scale, const Var& bias, dist::Group& group,
                           RankExchange exchange = RankExchange::ring);

// Bytes that a rank sends in forward and backward of one of these losses, of rows of `width` numbers of
// `element_bytes`.
struct RankBytes {
  std::int64_t forward = 0, backward = 0;
};
FOVEA_API RankBytes info_nce_traffic(std::int64_t rows, std::int64_t width, std::int64_t element_bytes, int ranks,
                                     RankExchange exchange);
FOVEA_API RankBytes pair_sigmoid_traffic(std::int64_t rows, std::int64_t width, std::int64_t element_bytes, int ranks,
                                         RankExchange exchange);

}  // namespace fovea::ops
