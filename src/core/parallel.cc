#include "fovea/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "fovea/core/cpu.h"
#include "fovea/core/error.h"

namespace fovea {
namespace {

constexpr int max_threads = 4096;

thread_local bool serial_here = false;

int default_threads() {
  const int processors = cpu::processors();
  if (const char* text = std::getenv("FOVEA_NUM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    FOVEA_CHECK(*text != '\0' && *end == '\0' && value >= 1 && value <= max_threads,
                "[parallel] FOVEA_NUM_THREADS is \"", text, "\", expected a whole number from 1 to ", max_threads);
    return static_cast<int>(value);
  }
  return processors;
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

// Threads that help the callers of parallel_for, one caller at a time. Unlike an OpenMP team they need not arrive: the
// caller waits only for helpers that are inside a chunk, so a helper that the system has not scheduled, as happens when
// other programs run, delays nothing.
class Team {
 public:
  using Work = FunctionRef<void()>;

  // Runs `work` on this thread and on up to `helpers` others; false when another caller has the team.
  bool run(int helpers, Work work) {
    const std::unique_lock lock(caller_, std::try_to_lock);
    if (!lock) return false;
    create(helpers);
    work_ = &work;
    helpers_ = helpers;
    open_ = true;
    ++round_;
    round_.notify_all();
    work();
    open_ = false;
    wait_until(inside_, [](int inside) { return inside == 0; });
    return true;
  }

 private:
  static constexpr int spins = 1000;  // some tens of microseconds: about the time it takes to wake a thread

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

  // Looks at the value for a while, then sleeps, until it is ready. Each decision to sleep is about the value just
  // tested: a value loaded on its own might already be the final one, whose notification has passed.
  template <class Ready>
  static void wait_until(const std::atomic<int>& value, Ready&& ready) {
    for (int i = 0; i < spins; ++i) {
      if (ready(value)) return;
      pause();
    }
    for (int seen = value; !ready(seen); seen = value) value.wait(seen);
  }

  // Fewer when the system gives no more threads.
  void create(int helpers) {
    try {
      for (; created_ < helpers; ++created_) std::thread(&Team::help, this, created_).detach();
    } catch (const std::system_error&) {
    }
  }

  void help(int index) {
    for (int seen = 0;; seen = round_) {
      wait_until(round_, [seen](int round) { return round != seen; });
      // Either this thread sees that the round is closed, or the caller sees that it is inside: what belongs to a round
      // changes only while nobody is.
      ++inside_;
      if (open_ && index < helpers_) (*work_)();
      if (--inside_ == 0) inside_.notify_one();
    }
  }

  std::mutex caller_;
  Work* work_ = nullptr;  // of the open round, as is helpers_
  int helpers_ = 0, created_ = 0;
  std::atomic<bool> open_{false};
  std::atomic<int> round_{0}, inside_{0};
};

// Never destroyed: its threads end with the process.
Team& team() {
  static Team* instance = new Team;
  return *instance;
}

// Keeps the first exception, to be thrown on the calling thread.
class FirstError {
 public:
  void capture() {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

int num_threads() { return thread_count(); }

void set_num_threads(int threads) {
  FOVEA_CHECK(threads >= 1 && threads <= max_threads, "[parallel] thread count is ", threads, ", expected 1 to ",
              max_threads);
  thread_count() = threads;
}

SerialScope::SerialScope() : previous_(serial_here) { serial_here = true; }
SerialScope::~SerialScope() { serial_here = previous_; }

void parallel_for(std::int64_t n, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const std::int64_t chunks = chunk_count(n, grain);
  const auto run_chunk = [&](std::int64_t c) { body(c * grain, c + 1 == chunks ? n : (c + 1) * grain); };
  const int threads = static_cast<int>(std::min<std::int64_t>(chunks, num_threads()));
  if (threads == 1 || serial_here) {
    for (std::int64_t c = 0; c < chunks; ++c) run_chunk(c);
    return;
  }
  std::atomic<std::int64_t> next{0};
  FirstError error;
  const auto work = [&] {
    const SerialScope nested_is_serial;
    try {
      for (std::int64_t c = next++; c < chunks; c = next++) run_chunk(c);
    } catch (...) {
      error.capture();
      next = chunks;
    }
  };
  if (!team().run(threads - 1, work)) work();
  error.rethrow();
}

}  // namespace fovea
