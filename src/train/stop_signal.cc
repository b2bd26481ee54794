#include "fovea/train/stop_signal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace fovea::train {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

struct sigaction former_interrupt, former_terminate, former_user;

void on_signal(int signal) {
  constexpr char message[] = "\nstopping after this step (once more: at once)\n";
  if (requested.exchange(true)) ::_exit(128 + signal);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, sizeof message - 1);
}

}  // namespace

StopOnSignals::StopOnSignals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &former_interrupt);
  ::sigaction(SIGTERM, &action, &former_terminate);
  ::sigaction(SIGUSR1, &action, &former_user);
}

StopOnSignals::~StopOnSignals() {
  ::sigaction(SIGINT, &former_interrupt, nullptr);
  ::sigaction(SIGTERM, &former_terminate, nullptr);
  ::sigaction(SIGUSR1, &former_user, nullptr);
  requested = false;
}

bool stop_requested() { return requested.load(std::memory_order_relaxed); }
void request_stop() { requested = true; }

}  // namespace fovea::train
