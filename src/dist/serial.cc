#include "fovea/dist/serial.h"

#include <cstring>

namespace fovea::dist {
namespace {

class Finished final : public Transfer {
 public:
  bool test() override { return true; }
  void wait() override {}
};

}  // namespace

Pending Serial::do_exchange(const void* send, int, void* receive, int, std::int64_t bytes) {
  if (bytes > 0 && send != receive) std::memcpy(receive, send, static_cast<std::size_t>(bytes));
  return std::make_unique<Finished>();
}

Pending Serial::do_start_sum(Tensor&) { return std::make_unique<Finished>(); }

}  // namespace fovea::dist
