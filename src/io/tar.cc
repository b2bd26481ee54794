#include "fovea/io/tar.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "fovea/core/error.h"
#include "io/input.h"

#if FOVEA_HAS_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>
#endif

namespace fovea::io {

#if FOVEA_HAS_LIBARCHIVE

struct TarReader::Impl {
  explicit Impl(const std::string& file) : path(file), archive(archive_read_new()) {
    detail::Input readable("tar", path);  // an archive that is a pipe would wait for ever
    FOVEA_CHECK(archive, "[tar] out of memory for ", path);
    archive_read_support_format_tar(archive.get());
    archive_read_support_filter_gzip(archive.get());
    archive_read_support_filter_zstd(archive.get());
    archive_read_support_filter_bzip2(archive.get());
    archive_read_support_filter_xz(archive.get());
    constexpr std::size_t block = std::size_t{1} << 16;
    const int opened = archive_read_open_filename(archive.get(), path.c_str(), block);
    FOVEA_CHECK(opened == ARCHIVE_OK, "[tar] ", path, " is no tar archive: ", reason());
  }

  bool next() {
    while (!at_end) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(archive.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      // A name that the locale cannot write is a warning, and no reason to stop.
      const bool readable = result == ARCHIVE_OK || result == ARCHIVE_WARN;
      FOVEA_CHECK(readable, "[tar] ", path, seen == 0 ? " is no tar archive" : " is damaged or cut short", after(),
                  ": ", reason());
      ++seen;
      if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) continue;
      describe(entry);
      return true;
    }
    at_end = true;
    return false;
  }

  void describe(archive_entry* entry) {
    const char* text = archive_entry_pathname_utf8(entry);
    if (!text) text = archive_entry_pathname(entry);
    name = text ? text : "";
    bytes = archive_entry_size(entry);
    const bool plain = archive_filter_code(archive.get(), 0) == ARCHIVE_FILTER_NONE;
    offset = plain ? archive_filter_bytes(archive.get(), 0) : -1;
  }

  // The size in the header is not believed: a damaged one may be anything.
  std::string read() {
    std::string contents;
    std::array<char, 1 << 16> buffer;
    while (true) {
      const la_ssize_t count = archive_read_data(archive.get(), buffer.data(), buffer.size());
      if (count == 0) return contents;
      FOVEA_CHECK(count > 0, "[tar] ", path, " is damaged or cut short in ", name, " (file ", seen,
                  " of it): ", reason());
      contents.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

  std::string after() const { return name.empty() ? "" : concat(" after ", name, " (file ", seen, " of it)"); }
  std::string reason() const {
    const char* text = archive_error_string(archive.get());
    return text ? text : "unknown reason";
  }

  struct Free {
    void operator()(struct archive* a) const { archive_read_free(a); }
  };
  std::string path;
  std::unique_ptr<struct archive, Free> archive;
  std::int64_t seen = 0;  // entries
  bool at_end = false;
  std::string name;
  std::int64_t bytes = 0, offset = -1;
};

TarReader::TarReader(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
bool TarReader::next() { return impl_->next(); }
const std::string& TarReader::name() const { return impl_->name; }
std::int64_t TarReader::bytes() const { return impl_->bytes; }
std::int64_t TarReader::offset() const { return impl_->offset; }
std::string TarReader::read() { return impl_->read(); }

#else

struct TarReader::Impl {
  std::string name;
};

TarReader::TarReader(const std::string& path) {
  fail("[tar] ", path, " cannot be read: this build of fovea has no libarchive",
       "\nhint: install it (Debian: libarchive-dev), then configure and build fovea again");
}
bool TarReader::next() { return false; }
const std::string& TarReader::name() const { return impl_->name; }
std::int64_t TarReader::bytes() const { return 0; }
std::int64_t TarReader::offset() const { return -1; }
std::string TarReader::read() { return ""; }

#endif

TarReader::~TarReader() = default;
TarReader::TarReader(TarReader&&) noexcept = default;
TarReader& TarReader::operator=(TarReader&&) noexcept = default;

std::string member_path(const std::string& archive, std::int64_t offset, std::int64_t bytes, std::string_view name) {
  return concat(archive, "#", offset, "+", bytes, "/", name);
}

std::optional<std::string> read_member(const std::string& path) {
  const char* const end = path.data() + path.size();
  for (std::size_t mark = path.find('#'); mark != std::string::npos; mark = path.find('#', mark + 1)) {
    std::int64_t offset = 0, bytes = 0;
    const auto first = std::from_chars(path.data() + mark + 1, end, offset);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '+') continue;
    const auto second = std::from_chars(first.ptr + 1, end, bytes);
    if (second.ec != std::errc() || second.ptr == end || *second.ptr != '/') continue;
    return detail::Input("tar", path.substr(0, mark)).read(offset, bytes);
  }
  return std::nullopt;
}

namespace {

constexpr std::size_t tar_block = 512;

// One header of POSIX.1-1988's ustar: fields of fixed places, numbers in octal.
std::string tar_header(std::string_view name, std::size_t bytes) {
  std::string header(tar_block, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { header.replace(at, text.size(), text); };
  const auto put_number = [&](std::size_t at, int digits, std::size_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "%0*zo", digits, value);
    put(at, text);
  };
  put(0, name);
  put_number(100, 7, 0644);  // mode
  put_number(108, 7, 0);     // user
  put_number(116, 7, 0);     // group
  put_number(124, 11, bytes);
  put_number(136, 11, 0);  // time
  put(148, "        ");    // the checksum counts as spaces
  header[156] = '0';       // a regular file
  put(257, std::string_view("ustar\00000", 8));
  std::size_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_number(148, 6, sum);
  header[154] = '\0';
  return header;
}

}  // namespace

void TarWriter::add(std::string_view name, std::string_view contents) {
  FOVEA_CHECK(!name.empty() && name.size() <= 100, "[tar] the name \"", name, "\" has ", name.size(),
              " bytes, expected 1 to 100");
  FOVEA_CHECK(contents.size() < std::size_t{1} << 33, "[tar] ", name, " has ", contents.size(),
              " bytes, expected less than 8 GiB");
  file_.write(tar_header(name, contents.size()));
  file_.write(contents);
  file_.write(std::string((tar_block - contents.size() % tar_block) % tar_block, '\0'));
}

void TarWriter::commit() {
  file_.write(std::string(2 * tar_block, '\0'));
  file_.commit();
}

}  // namespace fovea::io
