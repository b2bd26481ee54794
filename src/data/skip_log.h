// Counts what is skipped, and names the first few in warnings. Private to the sources.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "fovea/core/log.h"

namespace fovea::data::detail {

// Thread-safe.
class SkipLog {
 public:
  void add(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    last_reason_ = reason;
    if (++count_ <= warnings) log::warning("skipped: ", reason);
    if (count_ == warnings) log::warning("what else is skipped is counted, but not named");
  }
  std::int64_t count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  std::string last_reason() const {
    const std::lock_guard lock(mutex_);
    return last_reason_;
  }

 private:
  static constexpr std::int64_t warnings = 10;

  mutable std::mutex mutex_;
  std::int64_t count_ = 0;
  std::string last_reason_;
};

}  // namespace fovea::data::detail
