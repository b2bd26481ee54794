// Whole files: reading them, and writing them so that no reader ever sees half of one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "fovea/core/export.h"

namespace fovea::io {

// The bytes of a file. Throws Error naming the file and the system's reason.
FOVEA_API std::string read_file(const std::string& path);

// A file that appears under its name only once it is complete: bytes go to a temporary file in the same folder, which
// commit() flushes to the disk and renames. Without commit() nothing is left behind, and an older file stays as it was.
// Every function throws Error naming the file and the system's reason.
class FOVEA_API AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_;
};

// Replaces a file's contents in one step.
FOVEA_API void write_file(const std::string& path, std::string_view contents);

}  // namespace fovea::io
