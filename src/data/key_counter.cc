#include "data/key_counter.h"

namespace fovea::data::detail {
namespace {

constexpr int fewest_bits = 6;

}  // namespace

KeyCounter::KeyCounter(SortedRuns<KeyCount>& runs, std::int64_t memory) : runs_(&runs) {
  const auto places = static_cast<std::uint64_t>(memory) / sizeof(KeyCount);
  most_bits_ = std::max(fewest_bits, static_cast<int>(std::bit_width(places)) - 1);
  resize(std::min(12, most_bits_));
}

void KeyCounter::resize(int bits) {
  bits_ = bits;
  shift_ = 64 - bits;
  const std::size_t places = std::size_t{1} << bits;
  table_ = std::vector<KeyCount>(places + tail);
  used_ = 0;
  limit_ = places * 5 / 8;
}

// Doubles the table, or empties it into a run when it has all its memory.
void KeyCounter::make_room() {
  if (bits_ == most_bits_) return flush();
  std::vector<KeyCount> old = std::move(table_);
  resize(bits_ + 1);
  for (const KeyCount& entry : old) {
    if (entry.count == 0) continue;
    std::size_t at = home(entry.key);
    while (table_[at].count > 0) ++at;  // half as full as the old one, and in the same order: the tail holds it
    table_[at] = entry;
    ++used_;
  }
}

// Moves the entries to the front, in order; returns how many there are.
std::size_t KeyCounter::pack() {
  std::size_t count = 0;
  for (const KeyCount& entry : table_) {
    if (entry.count == 0) continue;
    const KeyCount moved = entry;
    std::size_t at = count++;
    for (; at > 0 && moved < table_[at - 1]; --at) table_[at] = table_[at - 1];
    table_[at] = moved;
  }
  return count;
}

void KeyCounter::flush() {
  runs_->add_run(std::span<const KeyCount>(table_).first(pack()));
  std::fill(table_.begin(), table_.end(), KeyCount{});
  used_ = 0;
}

}  // namespace fovea::data::detail
