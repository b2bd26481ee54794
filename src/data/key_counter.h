// Counts of hashed keys, more than memory holds. Private to the sources.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "data/sorted_runs.h"
#include "fovea/core/hash.h"

namespace fovea::data::detail {

struct KeyCount {
  Hash128 key;
  std::uint64_t count;  // 0: an empty place of the table

  friend bool operator<(const KeyCount& a, const KeyCount& b) { return a.key < b.key; }
  bool same(const KeyCount& other) const { return key == other.key; }
  void absorb(const KeyCount& other) { count += other.count; }
  std::uint64_t position() const { return key.low; }
};

// A hash table that becomes a sorted run when its share of memory is full. A key's place begins at what the upper bits
// of its first half say, so that the table is nearly in the order of keys already. Of one thread.
class KeyCounter {
 public:
  KeyCounter(SortedRuns<KeyCount>& runs, std::int64_t memory);

  void add(std::span<const Hash128> keys) {
    constexpr std::size_t ahead = 8;  // places that are on their way from memory
    for (std::size_t i = 0; i < std::min(ahead, keys.size()); ++i) __builtin_prefetch(&table_[home(keys[i])], 1);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i + ahead < keys.size()) __builtin_prefetch(&table_[home(keys[i + ahead])], 1);
      add(keys[i]);
    }
  }
  void add(const Hash128& key) {
    std::size_t at = home(key);
    while (at < table_.size() && table_[at].count > 0 && table_[at].key != key) ++at;
    if (at == table_.size() || (table_[at].count == 0 && used_ == limit_)) [[unlikely]] {
      make_room();
      return add(key);
    }
    used_ += table_[at].count == 0;
    table_[at].key = key;
    ++table_[at].count;
  }
  void flush();

 private:
  static constexpr std::size_t tail = 64;  // places behind the last home, for what is displaced from there

  std::size_t home(const Hash128& key) const { return static_cast<std::size_t>(key.low >> shift_); }
  void resize(int bits);
  void make_room();
  std::size_t pack();

  SortedRuns<KeyCount>* runs_;
  std::vector<KeyCount> table_;
  int shift_ = 0, bits_ = 0, most_bits_;
  std::size_t used_ = 0, limit_ = 0;
};

}  // namespace fovea::data::detail
