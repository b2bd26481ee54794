#include "fovea/data/folder_table.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/lines.h"
#include "fovea/io/file.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> split_folders{"train", "val", "valid", "validation", "dev", "eval", "test"};

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

// Finds the pictures below a folder, as paths that start from it.
class PictureSearch {
 public:
  explicit PictureSearch(const fs::path& root) : root_(root) { enter(root); }

  std::vector<fs::path> sorted() {
    std::sort(pictures_.begin(), pictures_.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
    return std::move(pictures_);
  }
  const std::string& other_picture() const { return other_picture_; }

 private:
  void enter(const fs::path& folder) {
    std::error_code error;
    if (!visited_.insert(fs::canonical(folder, error).native()).second)
      return;  // a link that leads back, or twice here
    fs::directory_iterator entries(folder, error);
    for (const fs::directory_iterator end; !error && entries != end; entries.increment(error)) look_at(entries->path());
    if (error) log::warning("cannot read ", folder.string(), ": ", error.message());
  }

  void look_at(const fs::path& path) {
    if (path.filename().native().starts_with('.')) return;
    std::error_code unknown;
    if (fs::is_directory(path, unknown)) return enter(path);
    const std::string extension = lower_extension(path);
    if (extension == ".png" || extension == ".jpg" || extension == ".jpeg") {
      pictures_.push_back(path.lexically_relative(root_));
    } else if (extension == ".webp" || extension == ".gif" || extension == ".bmp" || extension == ".tiff") {
      other_picture_ = path.string();
    }
  }

  fs::path root_;
  std::set<std::string> visited_;
  std::vector<fs::path> pictures_;
  std::string other_picture_;  // of a kind that is not read
};

std::string as_words(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '_' || c == '-'; }, ' ');
  return name;
}

// The first folder of a path when it names a split, else "".
std::string split_of(const fs::path& picture) {
  if (!picture.has_parent_path()) return "";
  const std::string first = picture.begin()->string();
  return std::find(split_folders.begin(), split_folders.end(), first) == split_folders.end() ? "" : first;
}

// What the names of a picture and its folder say; the first `skipped` folders of the path do not count.
std::string caption_from_names(const fs::path& picture, std::ptrdiff_t skipped) {
  const bool one_folder_below = std::distance(picture.begin(), picture.end()) == skipped + 2;
  return as_words(one_folder_below ? picture.parent_path().filename().string() : picture.stem().string());
}

fs::path text_file(const fs::path& picture) { return fs::path(picture).replace_extension(".txt"); }

// The captions beside a picture; none when they are missing, empty or cannot be read.
std::vector<std::string> captions_beside(const fs::path& picture) {
  const fs::path file = text_file(picture);
  std::error_code unknown;
  if (!fs::is_regular_file(file, unknown)) return {};
  try {
    return text_lines(io::read_file(file.string()));
  } catch (const Error& error) {
    log::warning(error.what());
    return {};
  }
}

}  // namespace

std::vector<std::string> list_pictures(const std::string& path) {
  std::error_code unknown;
  FOVEA_CHECK(fs::is_directory(path, unknown), "[folder] ", path, " is not a folder");
  PictureSearch search(path);
  std::vector<std::string> pictures;
  for (const fs::path& picture : search.sorted()) pictures.push_back(picture.string());
  FOVEA_CHECK(
      !pictures.empty(), "[folder] no PNG or JPEG picture in ", path,
      search.other_picture().empty() ? "" : "\nhint: " + search.other_picture() + " would have to be converted");
  return pictures;
}

Table read_folder(const std::string& path) {
  const fs::path root(path);
  const std::vector<std::string> names = list_pictures(path);
  const std::vector<fs::path> pictures(names.begin(), names.end());
  const auto has_text = [&](const fs::path& picture) {
    std::error_code unknown;
    return fs::is_regular_file(text_file(root / picture), unknown);
  };
  const bool texts = std::any_of(pictures.begin(), pictures.end(), has_text);
  const bool splits = std::none_of(pictures.begin(), pictures.end(), [](const auto& p) { return split_of(p).empty(); });
  std::vector<std::string> columns{"image", "caption"};
  if (splits) columns.push_back("split");
  Table table(path, columns);
  std::vector<std::string> left_out;
  for (const fs::path& picture : pictures) {
    std::vector<std::string> captions{caption_from_names(picture, splits ? 1 : 0)};
    if (texts) captions = captions_beside(root / picture);
    if (captions.empty()) {
      left_out.push_back(picture.string());
      continue;
    }
    std::vector<std::vector<std::string>> row{{picture.string()}, captions};
    if (splits) row.push_back({split_of(picture)});
    table.add_row(row);
  }
  if (!left_out.empty()) {
    log::warning(path, ": ", left_out.size(), " of ", pictures.size(),
                 " pictures have no text file with a caption and are left out; the first: ", left_out.front());
  }
  return table;
}

}  // namespace fovea::data
