// JPEG pictures through libjpeg-turbo. Only in builds that have it (FOVEA_HAS_LIBJPEG).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "fovea/image/image.h"

namespace fovea::image::detail {

// One file. Its bytes must outlive it. Throws Error naming `name` wherever they are no JPEG, damaged or cut off.
class JpegFile {
 public:
  // Reads the header alone.
  JpegFile(std::span<const std::uint8_t> bytes, const std::string& name);
  ~JpegFile();

  int width() const;
  int height() const;

  // The picture in RGB, with sides of 1 / reduction (1, 2, 4 or 8) of the file's, rounded up: blocks are brought back
  // with fewer pixels. May be called once.
  Image decode(int reduction);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::image::detail
