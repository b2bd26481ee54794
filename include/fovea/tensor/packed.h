// Packed sequences: a batch of token sequences as one (T, D) matrix without padding.
#pragma once

#include <cstdint>
#include <span>

#include "fovea/tensor/tensor.h"

namespace fovea {

// Where each sequence of a packed batch begins and which position each token has. Values; copying is cheap.
struct FOVEA_API PackedLayout {
  Tensor offsets;     // (B+1) i64: sequence b is rows [offsets[b], offsets[b+1]); first 0, last T
  Tensor positions;   // (T) i64: index of each token inside its sequence
  Tensor sample_ids;  // (B) i64: global number of each sample, which dropout draws by; 0..B-1 unless set

  static PackedLayout uniform(std::int64_t sequences, std::int64_t length);
  // Throws Error when a length is negative.
  static PackedLayout from_lengths(std::span<const std::int64_t> lengths);

  bool defined() const { return offsets.defined(); }
  std::int64_t sequences() const { return offsets.dim(0) - 1; }
  std::int64_t tokens() const { return positions.dim(0); }
  std::int64_t begin(std::int64_t b) const { return offsets.data<std::int64_t>()[b]; }
  std::int64_t end(std::int64_t b) const { return offsets.data<std::int64_t>()[b + 1]; }
  std::int64_t length(std::int64_t b) const { return end(b) - begin(b); }
  std::int64_t max_length() const;
  // Throws Error, naming `where`, unless the offsets are i64 and cut `rows` rows, in order and without gaps. What reads
  // rows by a layout asks this first: the members may have been set by hand.
  void check(const char* where, std::int64_t rows) const;
};

}  // namespace fovea
