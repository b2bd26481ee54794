// The directory of a ZIP archive (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3), with ZIP64. Private to the sources.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "io/input.h"

namespace fovea::io::detail {

// An entry as it lies in the archive.
struct ZipEntry {
  std::int64_t header = 0;  // byte of its local header
  std::int64_t bytes = 0;   // in the archive; also once unpacked when it is stored
  bool stored = false;      // neither compressed nor encrypted
};
using ZipDirectory = std::map<std::string, ZipEntry>;

// Throws Error naming the byte where the archive is malformed, for an entry that occurs twice, and when the entries
// hold more than the file does, which therefore overlap.
ZipDirectory read_zip_directory(const Input& input);

// Where a stored entry's bytes begin. Throws Error naming the entry when it is not stored, and when its local header
// does not fit the directory.
std::int64_t zip_data_begin(const Input& input, const std::string& name, const ZipEntry& entry);

}  // namespace fovea::io::detail
