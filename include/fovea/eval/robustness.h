// What changes when pictures come from a source that training has never seen.
#pragma once

#include <cstdint>
#include <span>

#include "fovea/core/export.h"

namespace fovea::eval {

// One picture that was classified.
struct SourcedAnswer {
  std::int64_t group = 0;  // what it shows: pictures of the same thing from several sources are compared
  bool held_out = false;   // from the source in question, or from one that was trained on
  bool right = false;
};

// Accuracies in percent, means over the groups that have pictures on both sides.
struct SourceGap {
  std::int64_t groups = 0, seen_pictures = 0, held_out_pictures = 0;
  double seen = 0, held_out = 0;
  double gap = 0;       // seen - held_out
  double interval = 0;  // half the width of the gap's 95 % interval (normal, over groups)
};

// Compares group by group, so that neither side is easier by what it shows. No groups: all zero.
FOVEA_API SourceGap source_gap(std::span<const SourcedAnswer> answers);

}  // namespace fovea::eval
