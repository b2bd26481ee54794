#include "fovea/data/idx.h"

#include <string_view>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/io/gzip.h"

namespace fovea::data {

IdxArray read_idx(const std::string& path) {
  std::string bytes = io::read_file(path);
  if (bytes.starts_with("\x1F\x8B")) bytes = io::gunzip(bytes, path);
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  constexpr int unsigned_bytes = 8;
  FOVEA_CHECK(bytes.size() >= 4 && at(0) == 0 && at(1) == 0 && at(2) == unsigned_bytes, "[idx] ", path,
              " at byte 0: expected an IDX file of unsigned bytes");
  const int rank = at(3);
  const std::size_t header = 4 + 4 * static_cast<std::size_t>(rank);
  FOVEA_CHECK(rank >= 1 && rank <= Shape::max_rank && bytes.size() >= header, "[idx] ", path, " at byte 3: ", rank,
              " axes in a file of ", bytes.size(), " bytes");
  IdxArray array;
  for (std::size_t i = 4; i < header; i += 4) {
    std::int64_t extent = 0;
    for (std::size_t k = 0; k < 4; ++k) extent = extent << 8 | at(i + k);
    array.shape.push_back(extent);
  }
  FOVEA_CHECK(array.shape.numel() == static_cast<std::int64_t>(bytes.size() - header), "[idx] ", path, " at byte ",
              header, ": ", bytes.size() - header, " values, but the shape is ", array.shape);
  array.values.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return array;
}

}  // namespace fovea::data
