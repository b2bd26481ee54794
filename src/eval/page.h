// Pieces of self-contained HTML pages: the training report and the gallery of a search. Private to the sources.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::eval::detail {

// Text for the inside of an element or an attribute.
std::string escape(std::string_view text);

// "3.14"; a dash when the value is not finite.
std::string fixed(double value, int decimals);

// A small copy of a picture file as a data: URI: its own bytes when they are few, else a JPEG of at most 128 pixels a
// side. Empty when the file cannot be read.
std::string picture_uri(const std::string& path);

// <img> of picture_uri, or the file's name in a box of the same class when it cannot be read.
std::string picture(const std::string& path, std::string_view alt);

// Short figures as cards.
using Facts = std::vector<std::pair<std::string, std::string>>;  // label and value
std::string fact_list(const Facts& facts);

// A whole page. `style` is added to what all pages share: colours for light and dark, headings, tables, facts,
// pictures.
std::string page(const std::string& title, std::string_view style, std::string_view body);

}  // namespace fovea::eval::detail
