// Messages to the person at the terminal. The library itself prints nothing; trainers and tools do, through here.
#pragma once

#include <string>

#include "fovea/core/error.h"
#include "fovea/core/export.h"

namespace fovea::log {

enum class Level { info, warning };

FOVEA_API void write(Level level, const std::string& message);  // one line on stderr, thread-safe
FOVEA_API void set_quiet(bool quiet);                           // suppresses info lines
FOVEA_API void set_speaker(const std::string& name);            // put before warnings: one of several processes

template <class... Parts>
void info(const Parts&... parts) {
  write(Level::info, concat(parts...));
}
template <class... Parts>
void warning(const Parts&... parts) {
  write(Level::warning, concat(parts...));
}

}  // namespace fovea::log
