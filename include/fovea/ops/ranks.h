// Values of several ranks as one.
//
// Gradients follow the rule that every rank's loss counts for 1 / size: their means over ranks are the exact gradients.
#pragma once

#include "fovea/autograd/var.h"
#include "fovea/dist/group.h"

namespace fovea::ops {

// The rows x (n, ...) of all ranks: (size n, ...), those of rank 0 first. Every rank's gradient of this rank's rows
// comes back. `group` must live until backward.
FOVEA_API Var all_gather(const Var& x, dist::Group& group);

// The mean of a scalar over all ranks, whose gradient goes to this rank's as it is.
FOVEA_API Var mean_over_ranks(const Var& x, dist::Group& group);

}  // namespace fovea::ops
