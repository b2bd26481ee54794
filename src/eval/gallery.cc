#include "fovea/eval/gallery.h"

#include <filesystem>

#include "eval/page.h"
#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "io/json_fields.h"

namespace fovea::eval {
namespace {

constexpr const char* gallery_style = R"(
.found { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); list-style: none;
         margin: 0; padding: 0; }
.found .name { display: block; font-size: .8rem; overflow-wrap: anywhere; line-height: 1.3; margin-top: .3rem; }
.query-picture { width: 8rem; margin-bottom: 1rem; }
)";

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

std::string heading(const SearchResult& result) {
  if (!result.query_is_picture) return concat("<h2>“", detail::escape(result.query), "”</h2>\n");
  return concat("<h2>", detail::escape(file_name(result.query)), "</h2>\n<div class=\"query-picture\">",
                detail::picture(result.query, "Query: " + file_name(result.query)), "</div>\n");
}

std::string section(const SearchResult& result) {
  std::string out = heading(result) + "<ol class=\"found\">\n";
  for (const FoundPicture& found : result.found) {
    const std::string name = file_name(found.path);
    out += concat("<li class=\"card\">", detail::picture(found.path, name), "<span class=\"name\" title=\"",
                  detail::escape(found.path), "\">", detail::escape(name), "</span><span class=\"note\">",
                  detail::fixed(found.score, 3), "</span></li>\n");
  }
  return out + "</ol>\n";
}

}  // namespace

std::string to_json(const SearchResult& result) {
  using Json = nlohmann::ordered_json;
  Json found = Json::array();
  for (const FoundPicture& picture : result.found) found.push_back({{"path", picture.path}, {"score", picture.score}});
  return io::detail::to_text(Json{{result.query_is_picture ? "image" : "query", result.query}, {"found", found}});
}

void write_gallery(const std::string& path, std::span<const SearchResult> results) {
  std::string body;
  for (const SearchResult& result : results) body += section(result);
  io::write_file(path, detail::page("Search", gallery_style,
                                    body + "<p class=\"note\">Beside each picture: its cosine with the query.</p>\n"));
}

}  // namespace fovea::eval
