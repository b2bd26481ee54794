// Makes a noisy list of pairs out of the shipped data, with the truth beside every row, and tells what curation did to
// it.
//   make_noisy --output out/noisy
//   curate out/noisy/pairs.tsv --split train --output out/noisy/kept.tsv --dropped out/noisy/dropped.tsv ...
//   make_noisy --score out/noisy
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/data/table.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/resize.h"
#include "fovea/io/file.h"

namespace {

using namespace fovea;
namespace fs = std::filesystem;

// What pages write under pictures of anything.
constexpr std::array<const char*, 12> boilerplate{"click to enlarge the picture",
                                                  "image not available",
                                                  "free clip art download",
                                                  "thumbnail of the image",
                                                  "share this on social media",
                                                  "picture may be subject to copyright",
                                                  "stock vector graphics royalty free",
                                                  "default placeholder image",
                                                  "logo of this web site",
                                                  "loading please wait",
                                                  "advertisement skip this ad",
                                                  "photo by an unknown author"};

struct Shares {
  double boilerplate = 0.15, swapped = 0.15, file_name = 0.05, keyword_spam = 0.03, tiny = 0.05, thin = 0.03,
         duplicate = 0.15, leak = 0.5, spam_picture = 0.02;
};

// Copies a picture as pages do: stored as JPEG, scaled, or a little brighter.
image::Image copy_of(const image::Image& picture, Rng& rng) {
  image::Image copy = picture;
  const std::int64_t kind = rng.below(3);
  if (kind == 1) {
    const int side = static_cast<int>(48 + rng.below(80));
    copy = image::resize(picture, side, side, image::Interpolation::bicubic);
  } else if (kind == 2) {
    const std::int64_t by = 3 + rng.below(8);
    for (std::uint8_t& value : copy.pixels) value = static_cast<std::uint8_t>(std::max<std::int64_t>(0, value - by));
  }
  return copy;
}

class NoisyList {
 public:
  NoisyList(const std::string& data, const std::string& output, std::uint64_t seed)
      : table_(data::Table::read(data + "/captions.tsv")), data_(fs::canonical(data)), rng_(seed) {
    fs::create_directories(output + "/images");
    output_ = fs::canonical(output);
  }

  void make(const Shares& shares) {
    std::vector<std::int64_t> train, tests;
    for (std::int64_t row = 0; row < table_.rows(); ++row) {
      const std::string_view split = cell(row, "split");
      if (split == "train") train.push_back(row);
      if (split.starts_with("test_")) tests.push_back(row);
    }
    for (const std::int64_t row : train) add_training_row(row, train, shares);
    for (const std::int64_t row : tests) {
      if (rng_.uniform() < shares.leak) add(stored(row, true), caption(row), "leak");
    }
    const auto spam = static_cast<std::int64_t>(shares.spam_picture * static_cast<double>(train.size()));
    const std::int64_t picture = any(train);
    for (std::int64_t i = 0; i < spam; ++i) add(original(picture), caption(any(train)), "spam_picture");
    std::string text = "image\tsplit\tcaption\ttruth\n";
    for (const std::string& line : lines_) text += line;
    for (std::int64_t row = 0; row < table_.rows(); ++row) {
      if (cell(row, "split") == "train") continue;
      text += concat(original(row), "\t", cell(row, "split"), "\t", cell(row, "caption"), "\theld_out\n");
    }
    io::write_file(output_ + "/pairs.tsv", text);
    for (const auto& [truth, count] : counts_)
      std::printf("%-14s %6lld\n", truth.c_str(), static_cast<long long>(count));
  }

 private:
  std::string_view cell(std::int64_t row, std::string_view column) const {
    return table_.cell(row, table_.column(column));
  }
  std::int64_t any(const std::vector<std::int64_t>& rows) {
    return rows[static_cast<std::size_t>(rng_.below(std::ssize(rows)))];
  }
  // Paths start from the list's folder.
  std::string original(std::int64_t row) const {
    return (fs::path(data_) / cell(row, "image")).lexically_relative(output_).string();
  }
  // As an alternative text of a page: the name, and some words on it.
  std::string caption(std::int64_t row) const {
    const std::string_view keywords = cell(row, "keywords");
    return concat(cell(row, "caption"), keywords.empty() ? "" : ": ", keywords);
  }

  std::string stored(const image::Image& picture, bool jpeg) {
    const std::string name = concat("images/", next_++, jpeg ? ".jpg" : ".png");
    io::write_file(output_ + "/" + name, jpeg ? image::encode_jpeg(picture, 75) : image::encode_png(picture));
    return name;
  }
  image::Image read(std::int64_t row) const {
    return image::read_image(data_ + "/" + std::string(cell(row, "image")), {.alpha = image::Alpha::white});
  }
  std::string stored(std::int64_t row, bool jpeg) { return stored(copy_of(read(row), rng_), jpeg); }

  void add(const std::string& picture, const std::string& text, const char* truth) {
    lines_.push_back(concat(picture, "\ttrain\t", text, "\t", truth, "\n"));
    ++counts_[truth];
  }

  void add_training_row(std::int64_t row, const std::vector<std::int64_t>& all, const Shares& shares) {
    double draw = rng_.uniform();
    const auto falls = [&](double share) {
      const bool in = draw >= 0 && draw < share;
      draw -= share;
      return in;
    };
    if (falls(shares.boilerplate))
      return add(original(row), boilerplate[static_cast<std::size_t>(rng_.below(std::ssize(boilerplate)))],
                 "boilerplate");
    if (falls(shares.swapped)) return add(original(row), caption(any(all)), "swapped");
    if (falls(shares.file_name))
      return add(original(row), concat("IMG_", 1000 + rng_.below(9000), ".jpg"), "file_name");
    if (falls(shares.keyword_spam)) return add(original(row), keyword_spam(all), "keyword_spam");
    if (falls(shares.tiny)) {
      const int side = static_cast<int>(8 + rng_.below(17));
      return add(stored(image::resize(read(row), side, side, image::Interpolation::bicubic), false), caption(row),
                 "tiny");
    }
    if (falls(shares.thin)) {
      const bool tall = rng_.below(2) == 0;
      const image::Image picture =
          image::resize(read(row), tall ? 40 : 128, tall ? 128 : 40, image::Interpolation::bicubic);
      return add(stored(picture, false), caption(row), "thin");
    }
    add(original(row), caption(row), "clean");
    // Behind what it is a copy of: of copies the first one stays.
    if (falls(shares.duplicate)) add(stored(row, true), caption(row), "duplicate");
  }

  std::string keyword_spam(const std::vector<std::int64_t>& all) {
    std::string text;
    for (int i = 0; i < 8; ++i) text += concat(i > 0 ? ", " : "", caption(any(all)));
    return text;
  }

  data::Table table_;
  std::string data_, output_;
  Rng rng_;
  std::int64_t next_ = 0;
  std::vector<std::string> lines_;
  std::map<std::string, std::int64_t> counts_;
};

// How many rows of each kind were dropped, and by which filters.
void score(const std::string& folder) {
  std::map<std::string, std::map<std::string, std::int64_t>> counts;
  std::set<std::string> reasons;
  for (const char* name : {"kept.tsv", "dropped.tsv"}) {
    const data::Table table = data::Table::read(folder + "/" + name);
    const bool dropped = name == std::string("dropped.tsv");
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      const std::string truth(table.cell(row, table.column("truth")));
      if (truth == "held_out") continue;
      const std::string reason(dropped ? table.cell(row, table.column("dropped_by")) : "kept");
      ++counts[truth][reason];
      if (dropped) reasons.insert(reason);
    }
  }
  std::printf("%-14s %8s %8s  %s\n", "truth", "rows", "dropped", "by");
  for (const auto& [truth, by] : counts) {
    std::int64_t rows = 0;
    std::string text;
    for (const auto& [reason, count] : by) {
      rows += count;
      if (reason != "kept") text += concat(text.empty() ? "" : ", ", reason, " ", count);
    }
    const std::int64_t kept = by.contains("kept") ? by.at("kept") : 0;
    std::printf("%-14s %8lld %7.1f%%  %s\n", truth.c_str(), static_cast<long long>(rows),
                100 * static_cast<double>(rows - kept) / static_cast<double>(rows), text.c_str());
  }
  std::printf("\n%-16s %8s %10s\n", "filter", "dropped", "noise");
  for (const std::string& reason : reasons) {
    std::int64_t all = 0, clean = 0;
    for (const auto& [truth, by] : counts) {
      const std::int64_t count = by.contains(reason) ? by.at(reason) : 0;
      all += count;
      if (truth == "clean") clean += count;
    }
    std::printf("%-16s %8lld %9.1f%%\n", reason.c_str(), static_cast<long long>(all),
                100 * static_cast<double>(all - clean) / static_cast<double>(all));
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes a noisy list of pairs with known truth out of the shipped data.");
  std::string data = "data/emoji_clipart", output, scored;
  std::uint64_t seed = 0;
  app.add_option("--data", data, "folder with captions.tsv, as the shipped one")->capture_default_str();
  app.add_option("--output", output, "folder for pairs.tsv and the pictures that are made")->type_name("DIR");
  app.add_option("--seed", seed, "which rows become noise")->capture_default_str();
  app.add_option("--score", scored, "instead, tell what curate dropped: a folder with kept.tsv and dropped.tsv")
      ->type_name("DIR");
  CLI11_PARSE(app, argc, argv);
  try {
    FOVEA_CHECK(output.empty() != scored.empty(), "[make_noisy] expected --output DIR or --score DIR");
    if (!scored.empty()) {
      score(scored);
    } else {
      NoisyList(data, output, seed).make({});
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
