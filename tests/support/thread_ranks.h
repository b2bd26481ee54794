// Ranks that are threads of the test: collective code without a launcher.
#pragma once

#include <array>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "fovea/dist/group.h"

namespace fovea::tests {

namespace detail {

// What the threads share. A rank that fails wakes the others, whose waits throw.
struct Switchboard {
  explicit Switchboard(int ranks) : size(ranks) {}

  template <class Ready>
  void wait(std::unique_lock<std::mutex>& lock, Ready&& ready) {
    changed.wait(lock, [&] { return failed || ready(); });
    FOVEA_CHECK(!failed, "[test] another rank failed");
  }
  void fail() {
    const std::lock_guard lock(mutex);
    failed = true;
    changed.notify_all();
  }

  struct Sum {
    std::vector<Tensor> parts;
    int arrived = 0, left = 0;
  };

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  bool failed = false;
  std::map<std::array<std::int64_t, 3>, std::vector<char>> letters;  // from, to, number: they arrive in order
  std::map<std::pair<int, int>, std::int64_t> sent, expected;        // by from and to
  std::map<std::int64_t, Sum> sums;                                  // by their number
};

class Arrival final : public dist::Transfer {
 public:
  // To be called with the lock held.
  Arrival(Switchboard& board, int from, int to, void* receive)
      : board_(board), letter_{from, to, board.expected[{from, to}]++}, receive_(receive) {}
  ~Arrival() override = default;
  bool test() override {
    std::unique_lock lock(board_.mutex);
    if (!done_ && board_.letters.contains(letter_)) take();
    return done_;
  }
  void wait() override {
    std::unique_lock lock(board_.mutex);
    if (done_) return;
    board_.wait(lock, [&] { return board_.letters.contains(letter_); });
    take();
  }

 private:
  void take() {
    const std::vector<char> letter = std::move(board_.letters.extract(letter_).mapped());
    if (!letter.empty()) std::memcpy(receive_, letter.data(), letter.size());
    done_ = true;
  }

  Switchboard& board_;
  std::array<std::int64_t, 3> letter_;
  void* receive_;
  bool done_ = false;
};

class Summing final : public dist::Transfer {
 public:
  Summing(Switchboard& board, std::int64_t number, Tensor x) : board_(board), number_(number), x_(std::move(x)) {}
  bool test() override {
    std::unique_lock lock(board_.mutex);
    if (!done_ && board_.sums[number_].arrived == board_.size) take();
    return done_;
  }
  void wait() override {
    std::unique_lock lock(board_.mutex);
    if (done_) return;
    board_.wait(lock, [&] { return board_.sums[number_].arrived == board_.size; });
    take();
  }

 private:
  void take() {
    Switchboard::Sum& sum = board_.sums[number_];
    if (x_.dtype() == DType::i64) {
      add<std::int64_t>(sum);
    } else {
      dispatch_floating(x_.dtype(), "test", [&]<class T>() { add<T>(sum); });
    }
    if (++sum.left == board_.size) board_.sums.erase(number_);
    done_ = true;
  }
  template <class T>
  void add(const Switchboard::Sum& sum) {
    T* x = x_.mutable_data<T>();
    for (std::int64_t i = 0; i < x_.numel(); ++i) {
      x[i] = 0;
      for (const Tensor& part : sum.parts) x[i] += part.data<T>()[i];
    }
  }

  Switchboard& board_;
  std::int64_t number_;
  Tensor x_;
  bool done_ = false;
};

class ThreadRank final : public dist::Group {
 public:
  ThreadRank(Switchboard& board, int rank) : Group(rank, board.size), board_(board) {}

 private:
  dist::Pending do_exchange(const void* send, int to, void* receive, int from, std::int64_t bytes) override {
    const std::lock_guard lock(board_.mutex);
    post(send, to, bytes);
    return std::make_unique<Arrival>(board_, from, rank(), receive);
  }
  void post(const void* send, int to, std::int64_t bytes) {
    const auto* begin = static_cast<const char*>(send);
    board_.letters[{rank(), to, board_.sent[{rank(), to}]++}].assign(begin, begin + bytes);
    board_.changed.notify_all();
  }
  dist::Pending do_start_sum(Tensor& x) override {
    const std::lock_guard lock(board_.mutex);
    Switchboard::Sum& sum = board_.sums[next_sum_];
    sum.parts.resize(static_cast<std::size_t>(size()));
    sum.parts[static_cast<std::size_t>(rank())] = x.clone();
    ++sum.arrived;
    board_.changed.notify_all();
    return std::make_unique<Summing>(board_, next_sum_++, x);
  }
  void do_broadcast(void* data, std::int64_t bytes, int root) override {
    std::unique_lock lock(board_.mutex);
    for (int to = 0; rank() == root && to < size(); ++to) {
      if (to != root) post(data, to, bytes);
    }
    if (rank() == root) return;
    Arrival arrival(board_, root, rank(), data);
    lock.unlock();
    arrival.wait();
  }
  void do_barrier() override {
    Tensor nothing({1}, DType::f64);
    nothing.fill(0);
    do_start_sum(nothing)->wait();
  }

  Switchboard& board_;
  std::int64_t next_sum_ = 0;
};

}  // namespace detail

// Calls body(group) on `ranks` threads, each with its rank; throws what the first of them threw.
template <class F>
void on_ranks(int ranks, F&& body) {
  detail::Switchboard board(ranks);
  std::vector<std::thread> threads;
  std::exception_ptr first;
  std::mutex mutex;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      detail::ThreadRank group(board, rank);
      try {
        body(group);
      } catch (...) {
        {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
        board.fail();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace fovea::tests
