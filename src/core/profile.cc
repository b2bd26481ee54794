#include "fovea/core/profile.h"

#include <atomic>
#include <chrono>
#include <utility>

#include "core/recorder.h"
#include "fovea/core/allocator.h"

namespace fovea::profile {
namespace {

std::atomic<int> recorders{0};
std::atomic<double> flops_counted{0}, bytes_counted{0};  // since the last event ended
thread_local Recorder* current_recorder = nullptr;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

bool on() { return recorders.load(std::memory_order_relaxed) > 0; }

void count(double flops, double bytes) {
  if (!on()) [[likely]]
    return;
  flops_counted.fetch_add(flops, std::memory_order_relaxed);
  bytes_counted.fetch_add(bytes, std::memory_order_relaxed);
}

Span::Span(const char* name, bool whole) : open_(current_recorder != nullptr) {
  if (open_) current_recorder->open(name, Pass::none, -1, whole);
}
Span::~Span() {
  if (open_ && current_recorder != nullptr) current_recorder->close();
}

Recorder::Recorder()
    : origin_(now()), mark_(origin_), live_at_start_(allocator::stats().live_bytes), previous_(current_recorder) {
  flops_counted = bytes_counted = 0;
  allocator::reset_peak();
  current_recorder = this;
  ++recorders;
}
Recorder::~Recorder() {
  --recorders;
  current_recorder = previous_;
}

Recorder* Recorder::current() { return current_recorder; }
double Recorder::seconds() const { return now() - origin_; }
std::int64_t Recorder::peak_bytes() const { return allocator::stats().peak_bytes; }

void Recorder::add(const char* name, Pass pass, int module, double bytes) {
  finish({.name = name, .pass = pass, .module = module, .start = mark_ - origin_}, 0, bytes);
}

// What came before in the surrounding event, and did not end as an operation, is that event's own. A span within an
// operation is part of that operation's pass.
void Recorder::open(const char* name, Pass pass, int module, bool whole) {
  mark_ = now();
  bool hidden = false;
  if (!open_.empty()) {
    Event& around = open_.back().event;
    around.flops += flops_counted.exchange(0, std::memory_order_relaxed);
    around.bytes += bytes_counted.exchange(0, std::memory_order_relaxed);
    if (pass == Pass::none) pass = around.pass, module = around.module;
    hidden = around.whole || around.hidden;
  }
  open_.push_back(
      {{.name = name, .pass = pass, .module = module, .start = mark_ - origin_, .whole = whole, .hidden = hidden}});
}

// An event may have begun before the recording did: it is not in the list.
void Recorder::close(double bytes) {
  if (open_.empty()) return;
  const Open last = open_.back();
  open_.pop_back();
  finish(last.event, last.inside, bytes);
}

void Recorder::finish(Event event, double inside, double bytes) {
  mark_ = now();
  event.seconds = mark_ - origin_ - event.start;
  event.self_seconds = event.seconds - inside;
  event.flops += flops_counted.exchange(0, std::memory_order_relaxed);
  event.bytes += bytes_counted.exchange(0, std::memory_order_relaxed);
  if (event.bytes == 0) event.bytes = bytes;
  event.live_bytes = allocator::stats().live_bytes;
  if (!open_.empty()) {
    const Event& around = open_.back().event;
    event.hidden = around.whole || around.hidden;
    open_.back().inside += event.seconds;
  }
  events_.push_back(event);
}

}  // namespace fovea::profile
