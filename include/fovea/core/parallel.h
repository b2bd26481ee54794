// The one way to use several threads inside a computation.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "fovea/core/export.h"

namespace fovea {

// A reference to a callable; it must outlive the call it is passed to.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>) FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// Threads used by parallel_for: FOVEA_NUM_THREADS, or the number of processors this process may run on. Calls that are
// under way keep theirs. Both throw Error when the number is not 1 to 4096.
FOVEA_API int num_threads();
FOVEA_API void set_num_threads(int threads);

// Calls body(begin, end) for the chunks [0, grain), [grain, 2 grain), ... of [0, n). The chunks depend on n and grain
// alone, so a reduction with one partial result per chunk gives the same bits at any thread count. Exceptions thrown
// by the body reach the caller. Nested calls, and calls inside a SerialScope, run on the calling thread.
FOVEA_API void parallel_for(std::int64_t n, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body);

inline std::int64_t chunk_count(std::int64_t n, std::int64_t grain) {
  return n / grain + (n % grain != 0);  // n + grain may overflow
}

// While one lives, parallel_for is serial on this thread (loader workers hold one).
class FOVEA_API SerialScope {
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;

 private:
  bool previous_;
};

}  // namespace fovea
