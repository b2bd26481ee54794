#include "text/vocabulary.h"

#include "fovea/core/error.h"

namespace fovea::text::detail {

void Vocabulary::add(std::string_view piece, std::int64_t id, std::size_t expected_entries, const std::string& place) {
  constexpr std::int64_t room = 65536;
  const std::int64_t highest = 2 * static_cast<std::int64_t>(expected_entries) + room;
  FOVEA_CHECK(id >= 0 && id <= highest, place, "the id of \"", piece, "\" is ", id, ", expected 0 to ", highest);
  const auto index = static_cast<std::size_t>(id);
  FOVEA_CHECK(index >= pieces_.size() || pieces_[index] == nullptr, place, "two entries have the id ", id, ": \"",
              index < pieces_.size() && pieces_[index] ? *pieces_[index] : "", "\" and \"", piece, "\"");
  const auto [entry, is_new] = ids_.emplace(piece, static_cast<std::int32_t>(id));
  FOVEA_CHECK(is_new, place, "\"", piece, "\" has the ids ", entry->second, " and ", id);
  if (index >= pieces_.size()) pieces_.resize(index + 1);
  pieces_[index] = &entry->first;
}

}  // namespace fovea::text::detail
