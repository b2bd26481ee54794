// The thread team under load: every chunk runs once and every call returns, whoever calls, however many threads.
#include "fovea/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "fovea/core/error.h"

namespace fovea {
namespace {

// Restores the thread count.
class ParallelTeam : public testing::Test {
 protected:
  ~ParallelTeam() override { set_num_threads(before_); }

 private:
  int before_ = num_threads();
};

// Chunks of one index each; how often each ran.
std::vector<int> run_counts(std::int64_t n) {
  std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
  parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_EQ(end, begin + 1);
    ++hits[static_cast<std::size_t>(begin)];
  });
  return {hits.begin(), hits.end()};
}

// Short rounds, with and without time for the helpers to fall asleep between them.
TEST_F(ParallelTeam, EveryCallReturns) {
  for (int threads : {2, 3, 8, 33}) {
    set_num_threads(threads);
    for (int round = 0; round < 500; ++round) {
      ASSERT_EQ(run_counts(40), std::vector<int>(40, 1));
      if (round % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

TEST_F(ParallelTeam, SeveralCallersWhileTheThreadCountChanges) {
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int i = 0; !done; ++i) {
      set_num_threads(1 + i % 7);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([] {
      for (int round = 0; round < 500; ++round) EXPECT_EQ(run_counts(16), std::vector<int>(16, 1));
    });
  }
  for (std::thread& caller : callers) caller.join();
  done = true;
  changer.join();
}

TEST_F(ParallelTeam, NestedCallsStayOnTheirThread) {
  set_num_threads(4);
  std::atomic<int> inner{0}, strangers{0};
  parallel_for(20, 1, [&](std::int64_t, std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(5, 1, [&](std::int64_t, std::int64_t) {
      ++inner;
      if (std::this_thread::get_id() != self) ++strangers;
    });
  });
  EXPECT_EQ(inner, 100);
  EXPECT_EQ(strangers, 0);
}

// Also nested ones, and from all threads at once: the call throws, and the next one is whole.
TEST_F(ParallelTeam, ErrorsLeaveTheTeamUsable) {
  set_num_threads(4);
  for (int round = 0; round < 300; ++round) {
    EXPECT_THROW(parallel_for(12, 1,
                              [&](std::int64_t begin, std::int64_t) {
                                parallel_for(3, 1, [&](std::int64_t at, std::int64_t) {
                                  if (begin % 4 == round % 4 && at == 1) fail("[test] chunk ", begin);
                                });
                              }),
                 Error);
    ASSERT_EQ(run_counts(12), std::vector<int>(12, 1));
  }
}

TEST_F(ParallelTeam, SerialScopeKeepsOrder) {
  set_num_threads(4);
  const SerialScope serial;
  std::vector<std::int64_t> order;
  parallel_for(10, 3, [&](std::int64_t begin, std::int64_t) { order.push_back(begin); });
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 3, 6, 9}));
}

TEST_F(ParallelTeam, EdgesOfTheRange) {
  set_num_threads(2);
  for (std::int64_t n : {std::int64_t{0}, std::int64_t{-3}}) {
    parallel_for(n, 1, [](std::int64_t, std::int64_t) { ADD_FAILURE() << "nothing to do"; });
  }
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(chunk_count(5, largest), 1);
  EXPECT_EQ(chunk_count(largest, largest - 1), 2);
  int calls = 0;
  parallel_for(5, largest, [&](std::int64_t begin, std::int64_t end) {
    ++calls;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 5);
  });
  EXPECT_EQ(calls, 1);
}

TEST_F(ParallelTeam, RefusesImpossibleThreadCounts) {
  EXPECT_THROW(set_num_threads(0), Error);
  EXPECT_THROW(set_num_threads(-1), Error);
  EXPECT_THROW(set_num_threads(1 << 20), Error);
}

}  // namespace
}  // namespace fovea
