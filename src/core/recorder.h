// The list of events behind a Profiler. Private to the sources.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fovea/core/profile.h"

namespace fovea::profile {

enum class Pass : std::uint8_t { none, forward, recomputed, backward };  // none: a span that is no operation

// A stretch of time on the recording thread. Stretches are nested or apart.
struct Event {
  const char* name;
  Pass pass = Pass::none;
  int module = -1;                // index into the Profiler's list; -1: none is known
  double start = 0, seconds = 0;  // from the recorder's start
  double self_seconds = 0;        // without the events inside
  double flops = 0, bytes = 0;    // of its own, without the events inside
  std::int64_t live_bytes = 0;    // of the allocator, at its end
  bool whole = false;             // a span whose inside does not count
  bool hidden = false;            // inside such a span
};

// Time without gaps: an operation has begun when the one before ended, or when the span around it began.
class Recorder {
 public:
  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  static Recorder* current();  // of this thread; null when nothing is recorded

  // An operation that ends now. `bytes` counts unless the operation counted its own.
  void add(const char* name, Pass pass, int module, double bytes);

  void open(const char* name, Pass pass = Pass::none, int module = -1, bool whole = false);
  void close(double bytes = 0);

  const std::vector<Event>& events() const { return events_; }  // in the order of their ends
  double seconds() const;                                       // since the start
  std::int64_t live_at_start() const { return live_at_start_; }
  std::int64_t peak_bytes() const;  // of the allocator since the start

 private:
  struct Open {
    Event event;
    double inside = 0;  // seconds of the events within
  };
  void finish(Event event, double inside, double bytes);

  std::vector<Event> events_;
  std::vector<Open> open_;
  double origin_, mark_;  // on the clock
  std::int64_t live_at_start_;
  Recorder* previous_;
};

}  // namespace fovea::profile
