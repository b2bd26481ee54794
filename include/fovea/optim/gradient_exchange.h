// Gradients of all ranks, added up while backward goes on.
#pragma once

#include <vector>

#include "fovea/autograd/gradient_watch.h"
#include "fovea/dist/group.h"
#include "fovea/optim/param_store.h"

namespace fovea::optim {

// Makes the gradients of a store their means over all ranks. The block is cut into buckets of about `bucket_bytes`,
// whole parameters each; a bucket's sum starts as soon as last_backward() has completed it, and travels while the pass
// goes on. In the first step buckets start from the tail, later in the order in which rank 0 saw them complete. The
// sums' bits depend on the number of ranks alone.
class FOVEA_API GradientExchange final : public GradientWatch {
 public:
  static constexpr std::int64_t usual_bucket = std::int64_t{4} << 20;

  // Both must outlive it. The store must be alike on all ranks.
  GradientExchange(ParamStore& store, dist::Group& group, std::int64_t bucket_bytes = usual_bucket);

  // After every step's last pass: starts what was not started and waits for the rest.
  void finish();

  std::int64_t buckets() const { return static_cast<std::int64_t>(buckets_.size()); }
  std::int64_t started_early() const { return started_early_; }  // in the latest step, before finish()

  void completed(Node& leaf) override;
  void progress() override;

 private:
  struct Bucket {
    std::int64_t begin = 0, end = 0;  // elements
    std::int64_t leaves = 0, complete = 0;
    dist::Pending sum;
  };

  void start_complete(bool all);

  ParamStore& store_;
  dist::Group& group_;
  std::vector<Bucket> buckets_;
  std::vector<std::pair<const Node*, std::size_t>> bucket_of_;  // sorted by leaf
  std::vector<std::int64_t> order_, seen_;                      // buckets: as they start, as they completed
  std::size_t started_ = 0, waited_ = 0;                        // of order_
  std::int64_t started_early_ = 0;
  bool order_is_learned_ = false;
};

}  // namespace fovea::optim
