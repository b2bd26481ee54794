// Short names for configuration keys on a trainer's command line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/train/config.h"

namespace fovea::train {

// One option. It knows no default: what is not given leaves the configuration as it is.
struct Flag {
  enum class Kind : std::uint8_t {
    value,    // takes one value
    list,     // takes one or more, which become a list
    setting,  // takes none, and sets the key to `setting`
  };

  const char *name, *key;  // "--batch-size", "data.batch_size"
  Kind kind = Kind::value;
  const char* setting = nullptr;
};

// Those of every trainer, open_clip's words where it has one.
FOVEA_API std::span<const Flag> training_flags();

// Sets the flag's key; `values` are what the command line gave. Throws Error naming the flag and what was expected.
FOVEA_API void apply_flag(Config& config, const Flag& flag, const std::vector<std::string>& values);

}  // namespace fovea::train
