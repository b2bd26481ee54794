// The text of an error.
#pragma once

#include <string>

#include "fovea/core/error.h"

namespace fovea::tests {

// What f() throws; empty when it does not.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace fovea::tests
