// Pairs of pictures and texts, listed in a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/data/table.h"

namespace fovea::data {

// What a path holds.
enum class DatasetType : std::uint8_t {
  automatic,   // what its name and contents say
  webdataset,  // tar shards (shard_list.h)
  csv,         // a table (table.h), or a folder with one called captions or metadata (.tsv, .csv or .jsonl)
  coco,        // captions in COCO's JSON (coco.h)
  folder,      // pictures in a folder (folder_table.h)
};

// "auto", "webdataset", "csv", "coco" or "folder". Throws Error for anything else.
FOVEA_API DatasetType parse_dataset_type(const std::string& name);

// The type of a path that is `automatic`: names of shards, a JSON file with COCO's images and annotations, a folder
// without a table; otherwise csv. Throws Error when there is no such path.
FOVEA_API DatasetType detect_dataset_type(const std::string& path);

// A column of texts to train on.
struct TextColumn {
  std::string name;
  double weight = 1;           // how often it is drawn, relative to the other columns that are not empty in that row
  std::string separator = "";  // not empty: the cell is a list, of which a random part is drawn, in random order
};

struct DatasetOptions {
  DatasetType type = DatasetType::automatic;
  std::string image_column = "image";
  std::vector<TextColumn> text_columns{{"caption"}};  // the first one is the text of evaluation
  std::string split_column = "split";                 // empty: the table has no splits
  std::string split;                                  // rows of this split only; empty: all rows
  TableOptions table;                                 // how a table's file is read
  std::string image_root;                             // folder that picture paths start from; empty: the table's
  std::string language_column;    // of the row's texts; empty: a text's language is the name of its column
  std::string join, join_column;  // a second table, from the first one's folder, and the column by which they join
  bool every_text = false;        // each text is a sample of its own, instead of one of a picture's texts
};

struct Text {
  std::string text;
  double weight = 1;
  std::string separator = "";  // as in TextColumn
  std::string language = "";
  std::int32_t column = 0;  // of DatasetOptions::text_columns
};

struct Sample {
  std::string image_path;   // a file, or a picture inside an archive (io::member_path)
  std::vector<Text> texts;  // the first is the text of evaluation, even when empty; the others are not empty
};

// One of the texts that are not empty, by weight; of a list, one to all of its entries, joined by ", ".
FOVEA_API std::string random_text(const std::vector<Text>& texts, Rng& rng);

// The rows of one split. Rows that name no picture are left out, and bytes of texts that are not UTF-8 become U+FFFD;
// both are counted in a warning that names the first such row.
class FOVEA_API ImageTextDataset {
 public:
  // A cell of several values is as many texts, which share the column's weight. Columns of a joined table are used
  // like the table's own, which go first; rows without a partner in it are left out, counted in a warning. Of shards,
  // `image` and `caption` are webdataset's usual members, and other columns members by their suffix ("jpg;png") or
  // keys of the json member; they have no splits, must not be compressed, and samples without picture or caption are
  // left out, counted in a warning.
  //
  // Throws Error for missing files and columns, and when the split has no rows (naming those that have).
  ImageTextDataset(const std::string& path, const DatasetOptions& options);

  std::int64_t size() const { return static_cast<std::int64_t>(samples_.size()); }
  const Sample& operator[](std::int64_t i) const { return samples_[static_cast<std::size_t>(i)]; }

  const std::string& eval_text(std::int64_t i) const { return (*this)[i].texts.front().text; }
  // All captions of evaluation: the texts of the first text column, or only those in one language.
  std::vector<std::string> eval_texts(std::int64_t i) const;
  std::vector<std::string> texts_in(std::int64_t i, const std::string& language) const;
  // The languages of all texts, in order of their first appearance.
  std::vector<std::string> languages() const;

  std::string random_text(std::int64_t i, Rng& rng) const { return data::random_text((*this)[i].texts, rng); }

 private:
  std::vector<Sample> samples_;
};

// The splits of a data set in alphabetical order; none when its type knows no splits. Throws Error when there is no
// such data set or column.
FOVEA_API std::vector<std::string> split_names(const std::string& path, const std::string& split_column,
                                               const TableOptions& options = {},
                                               DatasetType type = DatasetType::automatic);

}  // namespace fovea::data
