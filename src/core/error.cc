#include "fovea/core/error.h"

#include <charconv>

namespace fovea {

Error::~Error() = default;

namespace detail {

std::string number_to_string(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

void throw_error(const std::string& message) { throw Error(message); }

}  // namespace detail
}  // namespace fovea
