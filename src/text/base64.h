// Bytes as text (RFC 4648), in which JSON files hold binary tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fovea::text::detail {

std::string to_base64(std::string_view bytes);
// None when the text is not base64 with its padding.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace fovea::text::detail
