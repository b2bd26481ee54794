#include "fovea/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "fovea/core/error.h"

namespace fovea::train {
namespace {

constexpr double terminal_interval = 0.1;  // seconds; faster is only flicker
constexpr const char* clear_line = "\r\x1b[K";

int terminal_width(std::FILE* stream) {
  winsize size{};
  return ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string progress_text(const ProgressState& state) {
  char text[160];
  std::snprintf(text, sizeof text, "step %lld/%lld  loss %.4g  %.*f pairs/s  wait %.0f ms  step %.0f ms",
                static_cast<long long>(state.step), static_cast<long long>(state.total), state.loss,
                state.pairs_per_second < 10 ? 1 : 0, state.pairs_per_second, state.wait_ms, state.step_ms);
  return std::isfinite(state.eta_seconds) ? concat(text, "  ETA ", format_duration(state.eta_seconds)) : text;
}

std::string progress_bar(const ProgressState& state, int width) {
  constexpr int smallest_bar = 10, largest_bar = 20, frame = 3;  // columns; the frame is "[] "
  const std::string text = progress_text(state);
  const int room = std::min(width - static_cast<int>(text.size()) - frame, largest_bar);
  if (room < smallest_bar) return text.substr(0, static_cast<std::size_t>(std::max(width, 0)));
  const double share = state.total > 0 ? static_cast<double>(state.step) / static_cast<double>(state.total) : 0;
  std::string bar(static_cast<std::size_t>(room), '.');
  std::fill_n(bar.begin(), static_cast<std::ptrdiff_t>(std::clamp(share, 0.0, 1.0) * room), '#');
  return concat("[", bar, "] ", text);
}

Progress::Progress(std::int64_t total, std::FILE* stream, double interval)
    : stream_(stream),
      on_terminal_(::isatty(::fileno(stream)) == 1),
      interval_(on_terminal_ ? terminal_interval : interval) {
  state_.total = total;
}

Progress::~Progress() { finish(); }

void Progress::update(ProgressState state) {
  const double now = monotonic_seconds();
  eta_.update(state.step, now - excluded_);
  state.total = state_.total;
  state.eta_seconds = eta_.remaining(state_.total);
  state_ = state;
  if (shown_step_ < 0 || now - shown_at_ >= interval_) show();
}

void Progress::show() {
  if (on_terminal_) {
    // The last column stays free: some terminals wrap when it is written.
    std::fprintf(stream_, "%s%s", clear_line, progress_bar(state_, terminal_width(stream_) - 1).c_str());
  } else {
    std::fprintf(stream_, "%s\n", progress_text(state_).c_str());
  }
  std::fflush(stream_);
  shown_at_ = monotonic_seconds();
  shown_step_ = state_.step;
}

void Progress::clear() {
  if (!on_terminal_) return;
  std::fputs(clear_line, stream_);
  std::fflush(stream_);
}

void Progress::finish() {
  if (shown_step_ < 0) return;
  if (shown_step_ != state_.step) show();
  if (on_terminal_) std::fputc('\n', stream_);
  std::fflush(stream_);
  shown_step_ = -1;
}

}  // namespace fovea::train
