#include "fovea/tensor/packed.h"

#include <algorithm>
#include <vector>

#include "fovea/tensor/factory.h"

namespace fovea {

PackedLayout PackedLayout::uniform(std::int64_t sequences, std::int64_t length) {
  return from_lengths(std::vector<std::int64_t>(static_cast<std::size_t>(sequences), length));
}

PackedLayout PackedLayout::from_lengths(std::span<const std::int64_t> lengths) {
  const auto count = static_cast<std::int64_t>(lengths.size());
  PackedLayout layout;
  layout.offsets = Tensor({count + 1}, DType::i64);
  auto* offsets = layout.offsets.mutable_data<std::int64_t>();
  offsets[0] = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const std::int64_t length = lengths[static_cast<std::size_t>(b)];
    FOVEA_CHECK(length >= 0, "[packed] sequence ", b, " has length ", length);
    offsets[b + 1] = offsets[b] + length;
  }
  layout.positions = Tensor({offsets[count]}, DType::i64);
  auto* positions = layout.positions.mutable_data<std::int64_t>();
  for (std::int64_t b = 0; b < count; ++b) {
    for (std::int64_t t = offsets[b]; t < offsets[b + 1]; ++t) positions[t] = t - offsets[b];
  }
  layout.sample_ids = arange(count);
  return layout;
}

std::int64_t PackedLayout::max_length() const {
  std::int64_t longest = 0;
  for (std::int64_t b = 0; b < sequences(); ++b) longest = std::max(longest, length(b));
  return longest;
}

void PackedLayout::check(const char* where, std::int64_t rows) const {
  FOVEA_CHECK(defined(), "[", where, "] the layout is not set\nhint: PackedLayout::uniform(sequences, length)");
  FOVEA_CHECK(offsets.rank() == 1 && offsets.numel() > 0 && offsets.dtype() == DType::i64, "[", where, "] offsets are ",
              to_string(offsets.dtype()), " ", offsets.shape(), ", expected i64 (B+1,)");
  FOVEA_CHECK(begin(0) == 0 && begin(sequences()) == rows, "[", where, "] the layout spans rows ", begin(0), " to ",
              begin(sequences()), ", the matrix has ", rows);
  for (std::int64_t b = 0; b < sequences(); ++b) {
    FOVEA_CHECK(length(b) >= 0, "[", where, "] sequence ", b, " has length ", length(b));
  }
}

}  // namespace fovea
