// The one exception type of the library, and the check that throws it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "fovea/core/export.h"

namespace fovea {

// Thrown wherever input does not fit. The text opens with the place in brackets, names both sides, and ends with a
// `hint:` line where the likely cause is known: "[linear] input has 512 features, weight expects 768".
class FOVEA_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  ~Error() override;
};

namespace detail {

FOVEA_API std::string number_to_string(double value);  // shortest form that reads back to the same value
[[noreturn]] FOVEA_API void throw_error(const std::string& message);

template <class T>
void append(std::string& out, const T& part) {
  if constexpr (std::is_same_v<T, bool>) {
    out += part ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    out += part;
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(part);
  } else if constexpr (std::is_floating_point_v<T>) {
    out += number_to_string(static_cast<double>(part));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    out += std::string_view(part);
  } else {
    out += to_string(part);  // found by argument-dependent lookup: Shape, DType, Tensor, ...
  }
}

}  // namespace detail

// Joins its arguments into one string: text, numbers, and anything with a to_string of its own.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  detail::throw_error(concat(parts...));
}

}  // namespace fovea

// Throws fovea::Error with the joined arguments unless the condition holds. Always on.
#define FOVEA_CHECK(condition, ...) \
  do {                              \
    if (!(condition)) [[unlikely]]  \
      ::fovea::fail(__VA_ARGS__);   \
  } while (false)
