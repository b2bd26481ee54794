// Sets of hashed keys on disk, of which as much as memory holds is looked things up in. Private to the sources.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/sorted_runs.h"
#include "fovea/core/hash.h"

namespace fovea::data::detail {

constexpr int key_parts = 16;  // in which sorted runs are merged

inline std::string part_path(const std::string& prefix, int part) { return concat(prefix, ".part-", part); }

// Writes keys in order, in parts that are filled at the same time.
class KeyFileWriter {
 public:
  explicit KeyFileWriter(const std::string& prefix) {
    for (int part = 0; part < key_parts; ++part)
      parts_.push_back({std::make_unique<OutputFile>(part_path(prefix, part)), {}});
  }
  void add(int part, const Hash128& key) {
    Part& to = parts_[static_cast<std::size_t>(part)];
    to.keys.push_back(key);
    if (to.keys.size() == 512) flush(to);
  }
  void close() {
    for (Part& part : parts_) {
      flush(part);
      part.file->close();
    }
  }

 private:
  struct Part {
    std::unique_ptr<OutputFile> file;
    std::vector<Hash128> keys;
  };
  static void flush(Part& part) {
    part.file->write(std::span<const Hash128>(part.keys));
    part.keys.clear();
  }
  std::vector<Part> parts_;
};

// The keys of such a file, slice by slice: each slice is the set's part of a range of keys, and the ranges of all
// slices together are all keys.
class KeySlices {
 public:
  KeySlices(const std::string& prefix, std::int64_t memory) {
    // Of the places of a table at most three quarters are taken.
    const auto places = static_cast<std::uint64_t>(memory) / sizeof(Hash128);
    bits_ = std::max(4, static_cast<int>(std::bit_width(places)) - 1);
    for (int part = 0; part < key_parts; ++part) {
      files_.push_back(std::make_unique<io::detail::Input>("curate", part_path(prefix, part)));
      total_ += static_cast<std::size_t>(record_count<Hash128>(*files_.back()));
    }
    left_ = total_;
  }

  bool is_empty() const { return total_ == 0; }

  // Loads the next slice; false when there is none.
  bool next() {
    if (finished_) return false;
    begin_ = end_;
    const std::size_t count = std::min((std::size_t{1} << bits_) * 3 / 4, left_);
    const std::size_t places = std::bit_ceil(std::max<std::size_t>(count * 4 / 3, 16));
    shift_ = 64 - std::countr_zero(places);
    table_.assign(places, Hash128{});
    for (std::size_t i = 0; i < count; ++i) insert(take());
    left_ -= count;
    finished_ = left_ == 0;
    if (!finished_) end_ = peek();
    return true;
  }

  bool in_range(const Hash128& key) const { return begin_ <= key && (finished_ || key < end_); }
  bool contains(const Hash128& key) const {
    if (key == Hash128{}) return has_zero_;
    std::size_t at = home(key);
    while (table_[at] != Hash128{} && table_[at] != key) at = at + 1 == table_.size() ? 0 : at + 1;
    return table_[at] == key;
  }
  void prefetch(const Hash128& key) const { __builtin_prefetch(&table_[home(key)]); }

 private:
  std::size_t home(const Hash128& key) const {
    return static_cast<std::size_t>((key.low * 0x9E3779B97F4A7C15u) >> shift_);
  }

  // The next key of the files; there must be one.
  const Hash128& peek() {
    while (!reader_ || reader_->done()) {
      const auto& file = *files_[file_++];
      reader_.emplace(file, 0, record_count<Hash128>(file), 1024);
    }
    return **reader_;
  }
  Hash128 take() {
    const Hash128 key = peek();
    reader_->advance();
    return key;
  }
  void insert(const Hash128& key) {
    if (key == Hash128{}) {
      has_zero_ = true;
      return;
    }
    std::size_t at = home(key);
    while (table_[at] != Hash128{}) at = at + 1 == table_.size() ? 0 : at + 1;
    table_[at] = key;
  }

  std::vector<std::unique_ptr<io::detail::Input>> files_;
  std::size_t file_ = 0, total_ = 0, left_ = 0;  // left_: keys that are in no slice yet
  std::optional<RecordReader<Hash128>> reader_;
  int bits_ = 4, shift_ = 60;
  std::vector<Hash128> table_;  // a zero is an empty place
  bool has_zero_ = false, finished_ = false;
  Hash128 begin_, end_;
};

}  // namespace fovea::data::detail
