#include "fovea/data/coco.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/io/file.h"
#include "fovea/text/clean.h"
#include "io/json.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The file's JSON, of which only what is needed is kept: real files hold as much again in addresses and licences.
Json parse_needed(const std::string& path) {
  static const std::set<std::string, std::less<>> needed{"images",   "annotations", "id",
                                                         "image_id", "file_name",   "caption"};
  const std::string text = text::replace_invalid_utf8(io::read_file(path));
  const auto keep = [](int, Json::parse_event_t event, Json& parsed) {
    return event != Json::parse_event_t::key || needed.contains(parsed.get_ref<const std::string&>());
  };
  try {
    return Json::parse(text, keep);
  } catch (const Json::exception& error) {
    const std::string_view reason = error.what();
    const std::size_t prefix = reason.find("] ");
    fail("[coco] ", path, " is not valid JSON: ", reason.substr(prefix == std::string_view::npos ? 0 : prefix + 2));
  }
}

const Json& list_of(const Json& json, const char* key, const std::string& path) {
  FOVEA_CHECK(json.is_object() && json.contains(key) && json[key].is_array(), "[coco] ", path, " has no list \"", key,
              "\", expected {\"images\": [{\"id\", \"file_name\"}], \"annotations\": [{\"image_id\", \"caption\"}]}");
  return json[key];
}

// Numbers, or texts as other makers of such files write them.
std::string id_of(const Json& json, const char* key, const std::string& place) {
  FOVEA_CHECK(json.is_object() && json.contains(key) && (json[key].is_number_integer() || json[key].is_string()), place,
              " has no \"", key, "\", expected a number or text");
  return json[key].dump();
}

const std::string& text_of(const Json& json, const char* key, const std::string& place) {
  FOVEA_CHECK(json.is_object() && json.contains(key) && json[key].is_string(), place, " has no \"", key,
              "\", expected text");
  return json[key].get_ref<const std::string&>();
}

std::string trimmed(const std::string& text) {
  constexpr const char* blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

Table read_coco(const std::string& path) {
  const Json json = parse_needed(path);
  const Json& images = list_of(json, "images", path);
  std::vector<std::string> names;
  std::map<std::string, std::size_t> place_of;
  for (const Json& image : images) {
    const std::string place = concat("[coco] ", path, ": image ", names.size());
    const bool is_new = place_of.emplace(id_of(image, "id", place), names.size()).second;
    FOVEA_CHECK(is_new, place, " has the id of an earlier one");
    names.push_back(text_of(image, "file_name", place));
  }
  std::vector<std::vector<std::string>> captions(names.size());
  std::int64_t strays = 0, number = 0;
  for (const Json& annotation : list_of(json, "annotations", path)) {
    const std::string place = concat("[coco] ", path, ": annotation ", number++);
    const auto image = place_of.find(id_of(annotation, "image_id", place));
    const std::string caption = trimmed(text_of(annotation, "caption", place));
    if (image == place_of.end()) {
      ++strays;
    } else if (!caption.empty()) {
      captions[image->second].push_back(caption);
    }
  }
  Table table(path, {"image", "caption"});
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!captions[i].empty()) table.add_row(std::vector<std::vector<std::string>>{{names[i]}, captions[i]});
  }
  if (strays > 0) log::warning(path, ": ", strays, " captions of no picture in the file are left out");
  const auto bare = static_cast<std::int64_t>(names.size()) - table.rows();
  if (bare > 0) log::warning(path, ": ", bare, " of ", names.size(), " pictures have no caption and are left out");
  return table;
}

std::string coco_image_root(const std::string& path, const std::string& picture) {
  const fs::path folder = fs::path(path).parent_path();
  std::string part = fs::path(path).stem().string();
  if (const std::size_t underscore = part.rfind('_'); underscore != std::string::npos) part.erase(0, underscore + 1);
  const fs::path beside = folder / "..";
  for (const fs::path& root : {folder, folder / part, beside / part, beside / "images" / part, folder / "images" / part,
                               folder / "images", beside / "images", beside}) {
    std::error_code unknown;
    if (fs::exists(root / picture, unknown)) return root.lexically_normal().string();
  }
  return folder.string();
}

bool is_coco(const std::string& path) {
  const std::string text = io::read_file(path);
  return text.find("\"images\"") != std::string::npos && text.find("\"annotations\"") != std::string::npos;
}

}  // namespace fovea::data
