#include "fovea/core/parallel.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fovea/core/cpu.h"
#include "fovea/core/error.h"

namespace fovea {
namespace {

thread_local bool serial_here = false;

int default_threads() {
  const int processors = cpu::processors();
  if (const char* text = std::getenv("FOVEA_NUM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    FOVEA_CHECK(*text != '\0' && *end == '\0' && value >= 1 && value <= 4096, "[parallel] FOVEA_NUM_THREADS is \"",
                text, "\", expected a whole number from 1 to 4096");
    return static_cast<int>(value);
  }
  return processors;
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

// Keeps the first exception of a team, to be thrown on the calling thread.
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

#ifdef FOVEA_STD_THREADS
// ThreadSanitizer does not know libgomp's barriers: its builds use plain threads.
template <class F>
void run_team(int threads, F&& work) {
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(work);
  work();
  for (auto& thread : team) thread.join();
}
#else
template <class F>
void run_team(int threads, F&& work) {
#pragma omp parallel num_threads(threads)
  work();
}
#endif

}  // namespace

int num_threads() { return thread_count(); }

void set_num_threads(int threads) {
  FOVEA_CHECK(threads >= 1, "[parallel] thread count must be at least 1, got ", threads);
  thread_count() = threads;
}

SerialScope::SerialScope() : previous_(serial_here) { serial_here = true; }
SerialScope::~SerialScope() { serial_here = previous_; }

void parallel_for(std::int64_t n, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const std::int64_t chunks = chunk_count(n, grain);
  const auto run_chunk = [&](std::int64_t c) { body(c * grain, c + 1 == chunks ? n : (c + 1) * grain); };
  const int threads = static_cast<int>(chunks < num_threads() ? chunks : num_threads());
  if (threads == 1 || serial_here) {
    for (std::int64_t c = 0; c < chunks; ++c) run_chunk(c);
    return;
  }
  std::atomic<std::int64_t> next{0};
  FirstError error;
  run_team(threads, [&] {
    const SerialScope nested_is_serial;
    try {
      for (std::int64_t c = next++; c < chunks; c = next++) run_chunk(c);
    } catch (...) {
      error.capture();
      next = chunks;
    }
  });
  error.rethrow();
}

}  // namespace fovea
