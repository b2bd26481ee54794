// What a running Profiler (autograd/profiler.h) is told: named spans of time, and operations counted.
#pragma once

#include "fovea/core/export.h"

namespace fovea::profile {

// Whether a Profiler is alive anywhere. Without one, all of the following does nothing.
FOVEA_API bool on();

// Counts floating-point operations (two per multiply-add of a product), and bytes of memory traffic where an operation
// does not simply read its inputs and write its result. What is counted belongs to the operation or span that ends
// next. May be called from any thread.
FOVEA_API void count(double flops, double bytes = 0);

// While one lives, what this thread does is part of a span of that name. `name` must have static storage. What happens
// in a `whole` one (an evaluation during training) does not count to the operations around it: traces show it, tables
// show the span.
class FOVEA_API Span {
 public:
  explicit Span(const char* name, bool whole = false);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  bool open_;
};

}  // namespace fovea::profile
