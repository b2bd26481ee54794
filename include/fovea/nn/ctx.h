// What a forward pass needs to know besides its input.
#pragma once

#include "fovea/core/rng.h"
#include "fovea/tensor/packed.h"

namespace fovea::dist {
class Group;
}

namespace fovea::nn {

// A small value passed down by const reference; eval() and with() return changed copies.
struct Ctx {
  bool training = false;
  PackedLayout layout{};           // of the packed tokens that flow through the module, where there are any
  RngKey rng{};                    // what dropout draws by, of the seed and the step; each layer derives its own
  Tensor sample_ids{};             // (N) i64: of the pictures that flow through the module; 0..N-1 where undefined
  bool update_statistics = true;   // BatchNorm's running ones, while training; off where a pass will be repeated
  bool frozen_statistics = false;  // BatchNorm uses its running ones in training too, and leaves them alone
  std::int64_t virtual_batch = 0;  // samples that share BatchNorm's statistics in training; 0: all of a pass
  bool checkpointing = false;      // transformer blocks keep their input alone, and are computed again in backward
  dist::Group* group = nullptr;    // of the ranks that share the batch, where there are several
  bool every_token = false;        // the last block of a tower computes tokens that nothing reads too: for comparisons

  Ctx eval() const {
    Ctx copy = *this;
    copy.training = false;
    return copy;
  }
  Ctx with(PackedLayout packed) const {
    Ctx copy = *this;
    copy.layout = std::move(packed);
    return copy;
  }
  Ctx with_samples(Tensor ids) const {
    Ctx copy = *this;
    copy.sample_ids = std::move(ids);
    return copy;
  }
};

}  // namespace fovea::nn
