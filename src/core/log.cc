#include "fovea/core/log.h"

#include <atomic>
#include <cstdio>

namespace fovea::log {
namespace {
std::atomic<bool> quiet_state{false};

std::string& speaker() {
  static std::string name;
  return name;
}
}  // namespace

void write(Level level, const std::string& message) {
  if (level == Level::info && quiet_state) return;
  const std::string line = (level == Level::warning ? speaker() + "warning: " : "") + message + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void set_quiet(bool quiet) { quiet_state = quiet; }
void set_speaker(const std::string& name) { speaker() = name.empty() ? "" : name + ": "; }

}  // namespace fovea::log
