// What the scan counts. Private to the sources.
#pragma once

#include <compare>
#include <cstdint>

#include "data/curation.h"
#include "data/key_counter.h"

namespace fovea::data::detail {

// A caption that a picture has.
struct CaptionPicture {
  Hash128 caption, picture;

  friend auto operator<=>(const CaptionPicture&, const CaptionPicture&) = default;
  bool same(const CaptionPicture& other) const { return *this == other; }
  void absorb(const CaptionPicture&) {}
  std::uint64_t position() const { return caption.low; }
};

// Whether a picture of this size is too small or too long.
Flags size_flags(std::int64_t width, std::int64_t height, const CurateOptions& options);

}  // namespace fovea::data::detail
