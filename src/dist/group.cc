#include "fovea/dist/group.h"

#include <cstring>
#include <optional>
#include <utility>

namespace fovea::dist {
namespace {

template <class T>
void add(T* sum, const T* term, std::int64_t n) {
  parallel_for(n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) sum[i] += term[i];
  });
}

}  // namespace

Transfer::~Transfer() = default;
Group::~Group() = default;

std::string Group::name(int rank) const { return concat("rank ", rank); }

Pending Group::exchange(const void* send, int to, void* receive, int from, std::int64_t bytes) {
  FOVEA_CHECK(to >= 0 && to < size_ && from >= 0 && from < size_, "[dist] no exchange with ranks ", to, " and ", from,
              ", there are ", size_);
  if (to != rank_) traffic_.sent += bytes;
  if (from != rank_) traffic_.received += bytes;
  return do_exchange(send, to, receive, from, bytes);
}

Pending Group::start_sum(Tensor& x) {
  FOVEA_CHECK(x.dtype() == DType::f32 || x.dtype() == DType::f64 || x.dtype() == DType::i64, "[dist] cannot sum ",
              to_string(x.dtype()), ", expected f32, f64 or i64");
  traffic_.summed += x.bytes();
  return do_start_sum(x);
}

void Group::broadcast(void* data, std::int64_t bytes, int root) {
  traffic_.summed += bytes;
  do_broadcast(data, bytes, root);
}

std::string Group::broadcast(const std::string& text, int root) {
  auto length = static_cast<std::int64_t>(text.size());
  broadcast(&length, sizeof length, root);
  std::string result = text;
  result.resize(static_cast<std::size_t>(length));
  broadcast(result.data(), length, root);
  return result;
}

void Group::barrier() { do_barrier(); }

Tensor Group::all_gather(const Tensor& x) {
  const std::int64_t bytes = x.bytes();
  Shape shape{x.dim(0) * size_};
  for (int axis = 1; axis < x.rank(); ++axis) shape.push_back(x.dim(axis));
  Tensor all(shape, x.dtype());
  auto* place = static_cast<std::byte*>(all.mutable_raw());
  const auto block = [&](int owner) { return place + (owner + size_) % size_ * bytes; };
  std::memcpy(block(rank_), x.raw(), static_cast<std::size_t>(bytes));
  const int right = (rank_ + 1) % size_, left = (rank_ + size_ - 1) % size_;
  for (int step = 0; step + 1 < size_; ++step)
    exchange(block(rank_ - step), right, block(rank_ - step - 1), left, bytes)->wait();
  return all;
}

// Block k starts at rank k + 1 and goes once around the ring, every rank adding its own part.
Tensor Group::reduce_scatter(const Tensor& x) {
  FOVEA_CHECK(x.rank() > 0 && x.dim(0) % size_ == 0, "[dist] ", x.shape(), " cannot be scattered to ", size_, " ranks");
  const std::int64_t n = x.dim(0) / size_;
  const auto block = [&](int owner) {
    const std::int64_t begin = (owner + size_) % size_ * n;
    return x.rows(begin, begin + n);
  };
  const int right = (rank_ + 1) % size_, left = (rank_ + size_ - 1) % size_;
  Tensor sum = block(rank_ - 1).clone(), arrived(sum.shape(), sum.dtype());
  for (int step = 0; step + 1 < size_; ++step) {
    exchange(sum.raw(), right, arrived.mutable_raw(), left, sum.bytes())->wait();
    std::swap(sum, arrived);
    const Tensor own = block(rank_ - step - 2);
    dispatch_floating(x.dtype(), "dist", [&]<class T>() { add(sum.mutable_data<T>(), own.data<T>(), own.numel()); });
  }
  return sum;
}

void Group::on_one(FunctionRef<void()> action, int root) {
  std::optional<std::string> problem;
  if (rank_ == root) {
    try {
      action();
    } catch (const Error& error) {
      if (size_ == 1) throw;
      problem = error.what();
    }
  }
  if (size_ == 1) return;
  const std::string told = broadcast(problem.value_or(""), root);
  if (!told.empty()) fail(told);
}

void Group::fail_together(const std::string& problem) {
  Tensor have({size_}, DType::i64);
  have.fill(0);
  have.mutable_data<std::int64_t>()[rank_] = !problem.empty();
  sum(have);
  for (int rank = 0; rank < size_; ++rank) {
    if (have.at(rank) != 0) fail(broadcast(problem, rank));
  }
}

}  // namespace fovea::dist
