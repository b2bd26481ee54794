// The named character references of HTML 5.
#pragma once

#include <span>
#include <string_view>

namespace fovea::text::detail {

struct HtmlEntity {
  std::string_view name;  // without the ampersand; most end in a semicolon, 106 old ones are also known without
  std::string_view text;  // UTF-8
};

std::span<const HtmlEntity> html_entities();  // sorted by name, bytewise

}  // namespace fovea::text::detail
