// How cells and members become the texts of a sample: shared by tables and streams. Private to the sources.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/data/image_text_dataset.h"
#include "fovea/data/shard_reader.h"

namespace fovea::data::detail {

// `values` holds those of each text column. `repaired` becomes true when a text is not UTF-8.
std::vector<Text> make_texts(std::span<const std::vector<std::string_view>> values, const std::string& language,
                             const DatasetOptions& options, bool& repaired);

// The texts, one for each sample that they make.
std::vector<std::vector<Text>> samples_of(std::vector<Text> texts, bool every_text);

// What a shard's sample holds for the columns that the options name.
class ShardColumns {
 public:
  explicit ShardColumns(const DatasetOptions& options);

  const std::vector<std::string>& image_suffixes() const { return image_; }
  const std::vector<std::string>& text_suffixes() const { return read_; }

  // At least one text that is not empty. Throws Error, naming the sample, when it has no picture or no caption.
  std::vector<Text> texts(const ShardSample& sample, bool& repaired) const;
  const ShardMember& picture(const ShardSample& sample) const;

 private:
  DatasetOptions options_;
  std::vector<std::string> image_, read_;
  std::vector<std::vector<std::string>> texts_;  // alternatives of each text column
  std::vector<std::string> language_;
};

}  // namespace fovea::data::detail
