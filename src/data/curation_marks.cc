// Which n-grams, captions and pictures decide, and the rows that hold one of them.
#include <algorithm>
#include <array>
#include <map>

#include "data/curation.h"
#include "data/curation_counts.h"

namespace fovea::data::detail {
namespace {

// How many n-grams occur how often.
using Histogram = std::map<std::uint64_t, std::int64_t>;

Histogram count_frequencies(SortedRuns<KeyCount>& runs) {
  std::vector<Histogram> parts(key_parts);
  constexpr std::uint64_t small = 256;  // most are; an array is much faster than a map
  std::vector<std::array<std::int64_t, small>> small_parts(key_parts);
  runs.merge(key_parts, [&](int part, const KeyCount& ngram) {
    if (ngram.count < small) {
      ++small_parts[static_cast<std::size_t>(part)][ngram.count];
    } else {
      ++parts[static_cast<std::size_t>(part)][ngram.count];
    }
  });
  Histogram all;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    for (std::uint64_t count = 0; count < small; ++count) {
      if (small_parts[part][count] > 0) all[count] += small_parts[part][count];
    }
    for (const auto& [count, ngrams] : parts[part]) all[count] += ngrams;
  }
  return all;
}

void write_keys(SortedRuns<KeyCount>& runs, const std::string& prefix, auto&& wanted) {
  KeyFileWriter keys(prefix);
  runs.merge(key_parts, [&](int part, const KeyCount& entry) {
    if (wanted(entry.count)) keys.add(part, entry.key);
  });
  keys.close();
}

// Captions of more than so many pictures.
void write_shared_captions(SortedRuns<CaptionPicture>& runs, const std::string& prefix, std::int64_t most) {
  struct Run {
    Hash128 caption;
    std::int64_t pictures = 0;
  };
  std::vector<Run> parts(key_parts);
  KeyFileWriter keys(prefix);
  runs.merge(key_parts, [&](int part, const CaptionPicture& pair) {
    Run& run = parts[static_cast<std::size_t>(part)];
    if (run.pictures == 0 || run.caption != pair.caption) run = {pair.caption, 0};
    if (++run.pictures == most + 1) keys.add(part, pair.caption);
  });
  keys.close();
}

void remove_files(std::vector<std::string>& paths) {
  for (const std::string& path : paths) ::unlink(path.c_str());
  paths.clear();
}

}  // namespace

// N-grams as frequent as the last of the top ones are all among them, so that ties are not decided by chance.
void Curation::count() {
  SortedRuns<KeyCount> ngrams(file("ngrams"), memory_part(0.5), ngram_runs_);
  std::int64_t frequent = 0;
  ngram_min_count_ = 0;
  const Histogram histogram = count_frequencies(ngrams);
  for (const auto& [count, number] : histogram) distinct_ngrams_ += number;
  for (auto entry = histogram.rbegin(); entry != histogram.rend() && frequent < options_.top_ngrams; ++entry) {
    frequent += entry->second;
    ngram_min_count_ = static_cast<std::int64_t>(entry->first);
  }
  const auto least = static_cast<std::uint64_t>(ngram_min_count_);
  ngrams_are_kept_ = frequent < distinct_ngrams_ - frequent;
  write_keys(ngrams, file("ngram_keys"), [&](std::uint64_t count) { return (count >= least) == ngrams_are_kept_; });
  SortedRuns<KeyCount> images(file("images"), memory_part(0.5), image_runs_);
  write_keys(images, file("image_keys"),
             [&](std::uint64_t count) { return count > static_cast<std::uint64_t>(options_.max_captions); });
  SortedRuns<CaptionPicture> captions(file("captions"), memory_part(0.5), caption_runs_);
  write_shared_captions(captions, file("caption_keys"), options_.max_images);
}

void Curation::mark() {
  for (std::vector<std::string>* runs : {&ngram_runs_, &image_runs_, &caption_runs_}) remove_files(*runs);
  const auto ngrams = [](const Row& row, std::vector<Hash128>& keys) { append_ngram_keys(row.words, keys); };
  const auto caption = [](const Row& row, std::vector<Hash128>& keys) { keys.push_back(word_key(row.words)); };
  const auto picture = [](const Row& row, std::vector<Hash128>& keys) { keys.push_back(row.image); };
  mark_rows("flags.mark", {{file("caption_keys"), Reason::shared_caption, caption, 0.1},
                           {file("ngram_keys"), Reason::rare_ngram, ngrams, 0.4, ngrams_are_kept_},
                           {file("image_keys"), Reason::many_captions, picture, 0.1}});
}

void Curation::mark_rows(const std::string& writes, const std::vector<MarkSet>& sets) {
  std::vector<KeySlices> slices;
  for (const MarkSet& set : sets) slices.emplace_back(set.keys, memory_part(set.memory));
  std::vector<char> has_slice(sets.size());
  const auto next_slices = [&] {
    bool any = false;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      has_slice[i] = (sets[i].is_allowed || !slices[i].is_empty()) && slices[i].next();
      any |= has_slice[i];
    }
    return any;
  };
  const auto holds = [&](std::size_t set, const std::vector<Hash128>& keys) {
    for (const Hash128& key : keys) slices[set].prefetch(key);
    return std::any_of(keys.begin(), keys.end(), [&](const Hash128& key) {
      return slices[set].in_range(key) && slices[set].contains(key) != sets[set].is_allowed;
    });
  };
  for (int scan = 0; next_slices(); ++scan) {
    for_each_block(
        concat(writes, scan % 2 == 0 ? "" : "2"),
        [&](RowBlock& block, std::int64_t) {
          std::vector<Hash128> keys;
          for (std::size_t i = 0; i < block.rows.size(); ++i) {
            if (block.rows[i].words.empty() || (block.flags[i] & passed_flag)) continue;
            for (std::size_t set = 0; set < sets.size(); ++set) {
              const bool is_open = !sets[set].left_only || is_left(block.flags[i]);
              if (!has_slice[set] || !is_open || (block.flags[i] & flag(sets[set].reason))) continue;
              keys.clear();
              sets[set].keys_of(block.rows[i], keys);
              if (holds(set, keys)) block.flags[i] |= flag(sets[set].reason);
            }
          }
        },
        [](RowBlock&, std::int64_t) {});
  }
}

}  // namespace fovea::data::detail
