// What a search found, as text for machines and as a page for people.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::eval {

struct FoundPicture {
  std::string path;
  float score = 0;  // cosine
};

struct SearchResult {
  std::string query;  // a text, or a picture file
  bool query_is_picture = false;
  std::vector<FoundPicture> found;  // the best first
};

// {"query": "a red car", "found": [{"path": ..., "score": ...}, ...]}; a picture's query is "image": FILE instead.
FOVEA_API std::string to_json(const SearchResult& result);

// Writes one self-contained HTML file with small copies of the pictures. Throws Error when it cannot be written.
FOVEA_API void write_gallery(const std::string& path, std::span<const SearchResult> results);

}  // namespace fovea::eval
