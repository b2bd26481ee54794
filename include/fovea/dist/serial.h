// A group of one.
#pragma once

#include "fovea/dist/group.h"

namespace fovea::dist {

// Exchanges go to itself, sums are what they were: code for many ranks runs on one without a case of its own.
class FOVEA_API Serial final : public Group {
 public:
  Serial() : Group(0, 1) {}

 private:
  Pending do_exchange(const void* send, int to, void* receive, int from, std::int64_t bytes) override;
  Pending do_start_sum(Tensor& x) override;
  void do_broadcast(void*, std::int64_t, int) override {}
  void do_barrier() override {}
};

}  // namespace fovea::dist
