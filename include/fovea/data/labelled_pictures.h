// Pictures with one class each, for classification.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/data/idx.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/image/decode.h"
#include "fovea/image/image.h"

namespace fovea::data {

// From one of
//   a folder with a folder for each class, or a table: what ImageTextDataset reads, the first text being the class;
//   a folder with PREFIX-images-idx3-ubyte(.gz) and PREFIX-labels-idx1-ubyte(.gz), as MNIST's, and classes.txt with the
//   names of classes 0, 1, ..., one a line; with several prefixes, options.split names one.
class FOVEA_API LabelledPictures {
 public:
  // `classes` are the names of all classes in their order; empty: classes.txt, or the names found, in alphabetical
  // order. Throws Error as ImageTextDataset and read_idx do, for a picture without a class or of an unknown one (naming
  // the nearest), and when files of labels and pictures do not fit.
  LabelledPictures(const std::string& path, const DatasetOptions& options, std::vector<std::string> classes = {});

  std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  const std::vector<std::string>& classes() const { return classes_; }
  const std::vector<std::int64_t>& labels() const { return labels_; }  // index into classes, of each picture

  // Throws Error when the file cannot be read. May be called from any number of threads.
  image::Image picture(std::int64_t i, image::Alpha alpha = image::Alpha::drop) const;

 private:
  void read_table(const std::string& path, const DatasetOptions& options);
  void read_arrays(const std::string& images, const std::string& labels);

  std::vector<std::string> classes_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> paths_;  // of picture files; none when
  IdxArray pixels_;                 // the pictures are here: (size, height, width), gray
};

}  // namespace fovea::data
