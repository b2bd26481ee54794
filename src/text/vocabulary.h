// The pieces that a model knows, and their ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fovea::text::detail {

// Lets a std::string key be found by a view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

class Vocabulary {
 public:
  static constexpr std::int32_t none = -1;

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // Throws Error opening with `place` when the piece or the id is taken, or the id is no reasonable one for
  // `expected_entries` entries: some files leave gaps, but memory is needed for every id below the greatest.
  void add(std::string_view piece, std::int64_t id, std::size_t expected_entries, const std::string& place);

  std::int32_t id_of(std::string_view piece) const {
    const auto found = ids_.find(piece);
    return found == ids_.end() ? none : found->second;
  }
  // One more than the greatest id.
  std::int32_t size() const { return static_cast<std::int32_t>(pieces_.size()); }
  std::size_t entries() const { return ids_.size(); }
  bool contains(std::int32_t id) const { return id >= 0 && id < size() && pieces_[static_cast<std::size_t>(id)]; }
  const std::string& piece(std::int32_t id) const { return *pieces_[static_cast<std::size_t>(id)]; }

  // Calls f(piece, id) in the order of the ids.
  template <class F>
  void for_each(F&& f) const {
    for (std::int32_t id = 0; id < size(); ++id) {
      if (contains(id)) f(piece(id), id);
    }
  }

 private:
  StringMap<std::int32_t> ids_;
  std::vector<const std::string*> pieces_;  // by id: keys of `ids_`, which stay where they are; null in gaps
};

}  // namespace fovea::text::detail
