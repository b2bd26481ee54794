#include "fovea/data/labelled_pictures.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>

#include "fovea/core/error.h"
#include "fovea/core/suggest.h"
#include "fovea/data/lines.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

struct IdxPair {
  std::string images, labels;
};

// Files of pictures and labels in a folder, by prefix.
std::map<std::string, IdxPair> find_arrays(const std::string& folder) {
  std::map<std::string, IdxPair> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    for (const char* suffix : {"-images-idx3-ubyte", "-images-idx3-ubyte.gz"}) {
      if (name.ends_with(suffix)) found[name.substr(0, name.rfind("-images"))].images = entry.path().string();
    }
    for (const char* suffix : {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz"}) {
      if (name.ends_with(suffix)) found[name.substr(0, name.rfind("-labels"))].labels = entry.path().string();
    }
  }
  return found;
}

const IdxPair& choose_arrays(const std::map<std::string, IdxPair>& found, const std::string& folder,
                             const std::string& split) {
  std::vector<std::string> prefixes;
  std::string known;
  for (const auto& [prefix, pair] : found) {
    FOVEA_CHECK(!pair.images.empty() && !pair.labels.empty(), "[labelled] ", folder, " has ",
                pair.images.empty() ? pair.labels : pair.images, ", but not the ",
                pair.images.empty() ? "pictures" : "labels", " that belong to it");
    prefixes.push_back(prefix);
    known += concat(known.empty() ? "" : ", ", prefix);
  }
  if (split.empty() && found.size() == 1) return found.begin()->second;
  FOVEA_CHECK(!split.empty(), "[labelled] ", folder, " holds several sets of pictures: ", known,
              "\nhint: name one as the split");
  const auto chosen = found.find(split);
  FOVEA_CHECK(chosen != found.end(), "[labelled] ", folder, " has no pictures called \"", split, "\", it has ", known);
  return chosen->second;
}

std::int64_t index_of(const std::string& name, const std::vector<std::string>& classes, const std::string& picture) {
  const auto found = std::find(classes.begin(), classes.end(), name);
  if (found != classes.end()) return found - classes.begin();
  const std::string nearest = nearest_name(name, classes);
  fail("[labelled] ", picture, " is of class \"", name, "\", which is none of the ", classes.size(), " given classes",
       nearest.empty() ? "" : "\nhint: did you mean \"" + nearest + "\"?");
}

void check_distinct(const std::vector<std::string>& classes) {
  std::set<std::string> seen;
  for (const std::string& name : classes)
    FOVEA_CHECK(seen.insert(name).second, "[labelled] class \"", name, "\" is given twice");
}

}  // namespace

LabelledPictures::LabelledPictures(const std::string& path, const DatasetOptions& options,
                                   std::vector<std::string> classes)
    : classes_(std::move(classes)) {
  check_distinct(classes_);
  std::error_code error;
  FOVEA_CHECK(fs::exists(path, error), "[labelled] ", path,
              " does not exist, expected a folder of pictures, a table, or a folder of idx files");
  const auto arrays = fs::is_directory(path, error) ? find_arrays(path) : std::map<std::string, IdxPair>();
  if (arrays.empty()) {
    read_table(path, options);
    return;
  }
  if (classes_.empty()) {
    classes_ = read_lines((fs::path(path) / "classes.txt").string());
    check_distinct(classes_);
  }
  const IdxPair& pair = choose_arrays(arrays, path, options.split);
  read_arrays(pair.images, pair.labels);
}

void LabelledPictures::read_table(const std::string& path, const DatasetOptions& options) {
  const ImageTextDataset dataset(path, options);
  std::set<std::string> names;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    FOVEA_CHECK(!dataset.eval_text(i).empty(), "[labelled] ", dataset[i].image_path, " has no class");
    names.insert(dataset.eval_text(i));
  }
  if (classes_.empty()) classes_.assign(names.begin(), names.end());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    paths_.push_back(dataset[i].image_path);
    labels_.push_back(index_of(dataset.eval_text(i), classes_, paths_.back()));
  }
}

void LabelledPictures::read_arrays(const std::string& images, const std::string& labels) {
  pixels_ = read_idx(images);
  FOVEA_CHECK(pixels_.shape.rank() == 3 && pixels_.shape.numel() > 0, "[labelled] ", images, " has shape ",
              pixels_.shape, ", expected pictures, height, width");
  const IdxArray numbers = read_idx(labels);
  FOVEA_CHECK(numbers.shape == Shape({pixels_.shape[0]}), "[labelled] ", labels, " has shape ", numbers.shape, ", but ",
              images, " has ", pixels_.shape[0], " pictures");
  for (const std::uint8_t number : numbers.values) {
    FOVEA_CHECK(number < classes_.size(), "[labelled] ", labels, " has a label ", int{number}, ", but there are ",
                classes_.size(), " classes");
    labels_.push_back(number);
  }
}

image::Image LabelledPictures::picture(std::int64_t i, image::Alpha alpha) const {
  FOVEA_CHECK(i >= 0 && i < size(), "[labelled] no picture ", i, " of ", size());
  if (!paths_.empty()) return image::read_image(paths_[static_cast<std::size_t>(i)], {.alpha = alpha});
  image::Image image(static_cast<int>(pixels_.shape[2]), static_cast<int>(pixels_.shape[1]));
  const auto count = static_cast<std::size_t>(pixels_.shape.inner(0));
  const std::uint8_t* gray = pixels_.values.data() + static_cast<std::size_t>(i) * count;
  for (std::size_t p = 0; p < count; ++p) std::fill_n(image.pixels.data() + 3 * p, 3, gray[p]);
  return image;
}

}  // namespace fovea::data
