// Arrays of bytes in the files of MNIST and its relatives (yann.lecun.com/exdb/mnist: "The IDX file format").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/shape.h"

namespace fovea::data {

struct IdxArray {
  Shape shape;
  std::vector<std::uint8_t> values;
};

// Reads a file of unsigned bytes, as it is or compressed with gzip. Throws Error naming the file and the byte when it
// is not of this kind or its length does not fit its shape.
FOVEA_API IdxArray read_idx(const std::string& path);

}  // namespace fovea::data
