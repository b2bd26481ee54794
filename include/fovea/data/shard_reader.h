// The samples of one webdataset shard.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/io/tar.h"

namespace fovea::data {

// One file of a sample.
struct ShardMember {
  std::string suffix;  // of its name, from behind the first dot, in small letters: "jpg", "seg.png"
  std::string name;
  std::int64_t offset = -1, bytes = 0;  // in a shard that is not compressed
  std::string contents;                 // when it was read
};

struct ShardSample {
  std::string key;  // of all its members' names, up to the first dot behind the last slash
  std::vector<ShardMember> members;

  // The member of the first of the suffixes that there is; null when there is none.
  FOVEA_API const ShardMember* find(const std::vector<std::string>& suffixes) const;
};

// Groups the files of a shard as webdataset and open_clip do: those with equal keys that follow each other are one
// sample, and a suffix that comes again begins the next. Names without a dot, hidden files, and "__meta__" with what
// lies below belong to none.
class FOVEA_API ShardReader {
 public:
  // Members with one of the suffixes in `read` come with their contents. Throws Error as io::TarReader.
  ShardReader(const std::string& path, std::vector<std::string> read) : tar_(path), read_(std::move(read)) {}

  // The next sample; none at the end. `contents` false: its members are passed over, which costs little. Throws Error
  // as io::TarReader, once everything before the damage was delivered; there is nothing more to be had then.
  std::optional<ShardSample> next(bool contents = true);

 private:
  void gather(ShardSample& sample, bool contents);

  io::TarReader tar_;
  std::vector<std::string> read_;
  std::string damage_;      // what next() is to throw
  bool at_member_ = false;  // the archive stands at the first member of the next sample
};

// The parts of a member's name; none when it belongs to no sample.
struct MemberName {
  std::string key, suffix;
};
FOVEA_API std::optional<MemberName> parse_member_name(std::string_view name);

}  // namespace fovea::data
