#include "eval/page.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "fovea/core/error.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/resize.h"
#include "fovea/io/file.h"

namespace fovea::eval::detail {
namespace {

constexpr int thumbnail_side = 128;
constexpr std::size_t small_file = 6000;  // bytes; about what a thumbnail takes

constexpr const char* shared_style = R"(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1b1e24; --soft: #596070; --line: #dfe2e8;
        --accent: #1f66c9; --right: #1a7f45; --wrong: #b3372c; }
@media (prefers-color-scheme: dark) {
  :root { --page: #121418; --card: #1b1e24; --text: #e8eaee; --soft: #a0a7b4; --line: #343a45;
          --accent: #6cabff; --right: #4cc383; --wrong: #ff8d80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; font: 16px/1.5 system-ui, "Segoe UI", Roboto,
       "Helvetica Neue", "DejaVu Sans", sans-serif; color: var(--text); background: var(--page); }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; } .note { color: var(--soft); font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; }
.wide { overflow-x: auto; }
.thumb { display: flex; width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; border-radius: .3rem; }
.missing { align-items: center; justify-content: center; padding: .2rem; overflow: hidden; overflow-wrap: anywhere;
           font-size: .7rem; line-height: 1.2; color: #596070; text-align: center; }
.facts { display: grid; gap: .6rem; margin: 0; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr)); }
.facts div { display: flex; flex-direction: column; justify-content: space-between; }
dt { color: var(--soft); font-size: .8rem; line-height: 1.3; } dd { margin: .15rem 0 0; font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; font-size: .925rem; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; } thead th { color: var(--soft); }
th { font-weight: 600; } th[scope=row], th[rowspan] { text-align: left; } th[scope=colgroup] { text-align: center; }
@media (max-width: 32rem) { body { padding: 1.25rem .75rem 3rem; } h1 { font-size: 1.4rem; } .card { padding: .7rem; } }
)";

std::string base64(std::string_view bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= left ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

image::Image shrunk(const image::Image& picture) {
  const int longest = std::max(picture.width, picture.height);
  if (longest <= thumbnail_side) return picture;
  const auto side = [longest](int length) {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(length) * thumbnail_side / longest)));
  };
  return image::resize(picture, side(picture.width), side(picture.height), image::Interpolation::bilinear);
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return "–";
  char text[400];  // the largest double has 309 digits
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string picture_uri(const std::string& path) {
  try {
    const std::string bytes = image::read_picture_file(path);
    const image::Image decoded =
        image::decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path);
    if (bytes.size() > small_file) return "data:image/jpeg;base64," + base64(image::encode_jpeg(shrunk(decoded)));
    return concat("data:image/", bytes[0] == '\x89' ? "png" : "jpeg", ";base64,", base64(bytes));
  } catch (const Error&) {
    return "";
  }
}

std::string picture(const std::string& path, std::string_view alt) {
  const std::string uri = picture_uri(path);
  if (!uri.empty()) return concat("<img class=\"thumb\" src=\"", uri, "\" alt=\"", escape(alt), "\"/>");
  return concat("<span class=\"thumb missing\">", escape(std::filesystem::path(path).filename().string()),
                " cannot be read</span>");
}

std::string fact_list(const Facts& facts) {
  if (facts.empty()) return "";
  std::string out = "<dl class=\"facts\">\n";
  for (const auto& [label, value] : facts)
    out += concat("<div class=\"card\"><dt>", escape(label), "</dt><dd>", escape(value), "</dd></div>\n");
  return out + "</dl>\n";
}

std::string page(const std::string& title, std::string_view style, std::string_view body) {
  return concat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
      escape(title), "</title>\n<style>", shared_style, style, "</style>\n</head>\n<body>\n<h1>", escape(title),
      "</h1>\n", body, "</body>\n</html>\n");
}

}  // namespace fovea::eval::detail
