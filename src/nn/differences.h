// What does not fit when values are brought into a model.
#pragma once

#include <string>
#include <vector>

#include "fovea/core/error.h"

namespace fovea::nn {

// Throws Error that opens with `what` and lists the first differences, unless there are none.
inline void refuse_differences(const std::string& what, const std::vector<std::string>& differences,
                               const std::string& hint = "") {
  if (differences.empty()) return;
  std::string text = concat(what, ", ", differences.size(), " differences:");
  for (std::size_t i = 0; i < differences.size() && i < 5; ++i) text += "\n  " + differences[i];
  fail(text, hint);
}

}  // namespace fovea::nn
