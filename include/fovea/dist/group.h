// The processes that train one model together, and what they exchange.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fovea/core/parallel.h"
#include "fovea/tensor/tensor.h"

namespace fovea::dist {

// An exchange under way. Until it is finished, what is sent must not change and what is received must not be read.
class FOVEA_API Transfer {
 public:
  virtual ~Transfer();
  virtual bool test() = 0;  // moves it on; whether it is finished
  virtual void wait() = 0;  // until it is finished. Throws Error when that takes too long
};
using Pending = std::unique_ptr<Transfer>;

// Bytes that a rank has moved since it started.
struct Traffic {
  std::int64_t sent = 0, received = 0;  // in exchanges with single other ranks, gathers and scatters too
  std::int64_t summed = 0;              // handed over to sums and broadcasts
};

// One rank's view of `size` processes numbered from 0. All calls but test() and wait() are collective: every rank makes
// the same calls in the same order, with the same sizes. Sums have the same bits on every rank, and in every run with
// as many ranks. Calls are made by one thread.
class FOVEA_API Group {
 public:
  Group(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  const Traffic& traffic() const { return traffic_; }
  // Who a rank is, for messages: "rank 2 (process 4711 on node7)".
  virtual std::string name(int rank) const;

  // Sends `bytes` to rank `to` while as many arrive from rank `from`.
  Pending exchange(const void* send, int to, void* receive, int from, std::int64_t bytes);
  // Replaces x (f32, f64 or i64) by its sum over all ranks.
  Pending start_sum(Tensor& x);
  void sum(Tensor& x) { start_sum(x)->wait(); }
  // Gives every rank the bytes of rank `root`.
  void broadcast(void* data, std::int64_t bytes, int root = 0);
  std::string broadcast(const std::string& text, int root = 0);
  void barrier();

  // The rows x (n, ...) of all ranks one below the other, those of rank 0 first.
  Tensor all_gather(const Tensor& x);
  // The sum over all ranks of rows [rank n, (rank + 1) n) of x (size n, ...), added up in a fixed order.
  Tensor reduce_scatter(const Tensor& x);

  // Runs `action` on rank `root` alone. When it throws Error, every rank throws that Error.
  void on_one(FunctionRef<void()> action, int root = 0);
  // When any rank comes with a problem, all throw the Error of the first that has one; nothing happens when all are
  // empty.
  void fail_together(const std::string& problem);

 protected:
  virtual Pending do_exchange(const void* send, int to, void* receive, int from, std::int64_t bytes) = 0;
  virtual Pending do_start_sum(Tensor& x) = 0;
  virtual void do_broadcast(void* data, std::int64_t bytes, int root) = 0;
  virtual void do_barrier() = 0;

 private:
  int rank_, size_;
  Traffic traffic_;
};

}  // namespace fovea::dist
