#include "io/zip.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "fovea/core/error.h"

namespace fovea::io::detail {
namespace {

constexpr std::uint32_t local_signature = 0x04034b50, entry_signature = 0x02014b50, end_signature = 0x06054b50,
                        end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr std::int64_t local_bytes = 30, entry_bytes = 46, end_bytes = 22, end64_bytes = 56, locator64_bytes = 20;
constexpr std::int64_t max_comment_bytes = 0xffff;
constexpr std::int64_t max_directory_bytes = std::int64_t{1} << 28;
constexpr std::uint32_t in_zip64 = 0xffffffffu;  // a field's value stands in the ZIP64 record
constexpr std::uint16_t zip64_extra = 1, encrypted = 1;

template <class T>
T load(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Sizes and offsets beyond int64 cannot be those of a file.
std::int64_t to_signed(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::int64_t>::max()));
}

struct Directory {
  std::int64_t begin, bytes;
};

// The last record of the file, which a comment may follow.
std::int64_t find_end(const Input& input) {
  const std::int64_t tail_bytes = std::min(input.size(), end_bytes + max_comment_bytes);
  const std::string tail = input.read(input.size() - tail_bytes, tail_bytes);
  for (std::int64_t at = tail_bytes - end_bytes; at >= 0; --at) {
    const auto place = static_cast<std::size_t>(at);
    if (load<std::uint32_t>(tail, place) != end_signature) continue;
    if (at + end_bytes + load<std::uint16_t>(tail, place + 20) == tail_bytes) return input.size() - tail_bytes + at;
  }
  fail(input.place(), " has no ZIP directory at its end\nhint: the file is cut short, or not a ZIP archive");
}

Directory find_directory(const Input& input) {
  const std::int64_t end = find_end(input);
  const std::string record = input.read(end, end_bytes);
  const auto bytes = load<std::uint32_t>(record, 12), begin = load<std::uint32_t>(record, 16);
  if (end < locator64_bytes) return {begin, bytes};
  const std::string locator = input.read(end - locator64_bytes, locator64_bytes);
  if (load<std::uint32_t>(locator, 0) != locator64_signature) return {begin, bytes};
  const std::int64_t end64 = to_signed(load<std::uint64_t>(locator, 8));
  const std::string record64 = input.read(end64, end64_bytes);
  FOVEA_CHECK(load<std::uint32_t>(record64, 0) == end64_signature, input.place(), ": no ZIP64 record at byte ", end64);
  return {to_signed(load<std::uint64_t>(record64, 48)), to_signed(load<std::uint64_t>(record64, 40))};
}

// The values of the fields that stand in the ZIP64 extra field, in their order: unpacked, packed, header.
void read_zip64(const std::string& extra, std::initializer_list<std::uint64_t*> fields, const std::string& place) {
  for (std::size_t at = 0; at + 4 <= extra.size();) {
    const auto kind = load<std::uint16_t>(extra, at);
    const std::size_t bytes = load<std::uint16_t>(extra, at + 2), end = at + 4 + bytes;
    if (end > extra.size()) break;
    if (kind == zip64_extra) {
      at += 4;
      for (std::uint64_t* field : fields) {
        if (*field != in_zip64) continue;
        FOVEA_CHECK(at + 8 <= end, place, ": its ZIP64 field has ", bytes, " bytes, too few");
        *field = load<std::uint64_t>(extra, at);
        at += 8;
      }
      return;
    }
    at = end;
  }
}

// Appends the entry at `at` of the directory's bytes and returns where the next one begins.
std::size_t read_entry(const std::string& bytes, std::size_t at, const std::string& place,
                       std::pair<std::string, ZipEntry>& out) {
  FOVEA_CHECK(bytes.size() - at >= entry_bytes && load<std::uint32_t>(bytes, at) == entry_signature, place,
              " does not begin with its mark");
  const std::size_t name_bytes = load<std::uint16_t>(bytes, at + 28), extra_bytes = load<std::uint16_t>(bytes, at + 30);
  const std::size_t name_begin = at + entry_bytes, extra_begin = name_begin + name_bytes;
  const std::size_t end = extra_begin + extra_bytes + load<std::uint16_t>(bytes, at + 32);
  FOVEA_CHECK(end <= bytes.size(), place, " runs past the directory");
  std::uint64_t packed = load<std::uint32_t>(bytes, at + 20), unpacked = load<std::uint32_t>(bytes, at + 24);
  std::uint64_t header = load<std::uint32_t>(bytes, at + 42);
  read_zip64(bytes.substr(extra_begin, extra_bytes), {&unpacked, &packed, &header}, place);
  const auto flags = load<std::uint16_t>(bytes, at + 8), method = load<std::uint16_t>(bytes, at + 10);
  const bool stored = method == 0 && !(flags & encrypted) && packed == unpacked;
  out = {bytes.substr(name_begin, name_bytes), {to_signed(header), to_signed(packed), stored}};
  return end;
}

}  // namespace

ZipDirectory read_zip_directory(const Input& input) {
  const Directory place = find_directory(input);
  FOVEA_CHECK(place.bytes <= max_directory_bytes, input.place(), ": the ZIP directory has ", place.bytes,
              " bytes, expected at most ", max_directory_bytes);
  const std::string bytes = input.read(place.begin, place.bytes);
  ZipDirectory directory;
  std::int64_t total = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    std::pair<std::string, ZipEntry> named;
    at = read_entry(bytes, at, concat(input.place(), ": ZIP directory entry at byte ", place.begin + to_signed(at)),
                    named);
    const auto& [name, entry] = named;
    FOVEA_CHECK(entry.bytes <= input.size() - total, input.place(), ": entry ", name, " of ", entry.bytes,
                " bytes does not fit the file beside the others\nhint: the file is damaged");
    total += entry.bytes;
    FOVEA_CHECK(directory.emplace(name, entry).second, input.place(), ": entry ", name, " occurs twice");
  }
  return directory;
}

std::int64_t zip_data_begin(const Input& input, const std::string& name, const ZipEntry& entry) {
  FOVEA_CHECK(entry.stored, input.place(), ": entry ", name, " is compressed or encrypted, expected stored bytes");
  const std::string header = input.read(entry.header, local_bytes);
  FOVEA_CHECK(load<std::uint32_t>(header, 0) == local_signature, input.place(), ": entry ", name,
              " has no local header at byte ", entry.header);
  const std::int64_t begin =
      entry.header + local_bytes + load<std::uint16_t>(header, 26) + load<std::uint16_t>(header, 28);
  FOVEA_CHECK(begin <= input.size() && entry.bytes <= input.size() - begin, input.place(), ": entry ", name,
              " at byte ", begin, " has ", entry.bytes, " bytes, the file ends at ", input.size(),
              "\nhint: the file is cut short");
  return begin;
}

}  // namespace fovea::io::detail
