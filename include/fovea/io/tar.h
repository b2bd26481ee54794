// Tar archives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fovea/core/export.h"
#include "fovea/io/file.h"

namespace fovea::io {

// Reads the regular files of an archive from its beginning to its end: USTAR, PAX and GNU headers, plain or compressed
// with gzip, zstd, bzip2 or xz, through libarchive. Links, folders and devices are passed over. Throws Error, naming
// the archive and how far it could be read, when it is no such archive, is damaged or ends too early; and when this
// build has no libarchive.
class FOVEA_API TarReader {
 public:
  explicit TarReader(const std::string& path);
  ~TarReader();
  TarReader(TarReader&&) noexcept;
  TarReader& operator=(TarReader&&) noexcept;

  // Goes to the next file; false at the end. What was not read of the one before is passed over, without reading it
  // where the archive is not compressed.
  bool next();

  // Of the file that next() went to.
  const std::string& name() const;
  std::int64_t bytes() const;
  std::int64_t offset() const;  // of its first byte in the archive; -1 when the archive is compressed
  std::string read();           // all of it, once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A file inside a plain archive under one name, "000.tar#1536+2048/cat.png": the archive, where the file's bytes begin,
// how many they are, and what it is called.
FOVEA_API std::string member_path(const std::string& archive, std::int64_t offset, std::int64_t bytes,
                                  std::string_view name);

// The bytes that such a name stands for; none when it is no such name. Throws Error when the archive cannot be read.
FOVEA_API std::optional<std::string> read_member(const std::string& path);

// Writes a plain archive in the USTAR format, with the same bytes for the same files. It appears under its name with
// commit(). Throws Error as AtomicFile does, and for names above 100 bytes and files of 8 GiB and more.
class FOVEA_API TarWriter {
 public:
  explicit TarWriter(const std::string& path) : file_(path) {}
  void add(std::string_view name, std::string_view contents);
  void commit();

 private:
  AtomicFile file_;
};

}  // namespace fovea::io
