#include "text/merges_file.h"

#include <algorithm>
#include <unordered_map>

#include "fovea/core/error.h"
#include "text/bpe_symbols.h"
#include "text/lines.h"

namespace fovea::text::detail {
namespace {

using Ids = std::unordered_map<std::string, std::int32_t>;  // of pieces, by their spelling

Ids byte_ids() {
  Ids ids;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const std::string spelled = spell(std::string(1, static_cast<char>(byte)));
    ids.emplace(spelled, byte_symbols.id[byte]);
    ids.emplace(spelled + std::string(end_of_word), byte_symbols.id[byte] + byte_symbol_count);
  }
  return ids;
}

// The merge that a line names; its result joins `ids`.
BpeMerge parse_merge(std::string_view line, std::int32_t merged_id, Ids& ids, const std::string& place) {
  const std::size_t space = std::min(line.find(' '), line.size());
  const std::string left(line.substr(0, space)), right(line.substr(std::min(space + 1, line.size())));
  FOVEA_CHECK(ids.contains(left) && ids.contains(right), place, "found \"", line,
              "\", expected two pieces of earlier lines, separated by a space");
  FOVEA_CHECK(!left.ends_with(end_of_word), place, "the left piece of \"", line, "\" ends a word");
  FOVEA_CHECK(ids.emplace(left + right, merged_id).second, place, "\"", line, "\" spells an earlier piece again");
  return {ids.at(left), ids.at(right)};
}

}  // namespace

std::vector<BpeMerge> parse_merges(std::string_view contents, std::int64_t vocabulary_size, const std::string& source) {
  FOVEA_CHECK(vocabulary_size >= smallest_vocabulary, "[tokenizer] vocabulary size is ", vocabulary_size,
              ", the bytes and the special tokens alone are ", smallest_vocabulary);
  FOVEA_CHECK(!contents.starts_with("\x1f\x8b"), "[tokenizer] ", source, " is compressed, expected plain text",
              "\nhint: decompress it with gunzip");
  const std::int64_t wanted = vocabulary_size - smallest_vocabulary;
  Ids ids = byte_ids();
  std::vector<BpeMerge> merges;
  take_line(contents);
  for (std::int32_t i = 0; i < wanted; ++i) {
    const std::string place = concat("[tokenizer] ", source, ":", i + 2, ": ");
    FOVEA_CHECK(!contents.empty(), place, "the file ends after ", i, " merges, a vocabulary of ", vocabulary_size,
                " entries needs ", wanted);
    merges.push_back(parse_merge(take_line(contents), first_merge_id + i, ids, place));
  }
  return merges;
}

}  // namespace fovea::text::detail
