#include "fovea/text/bpe_trainer.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/text/clean.h"
#include "fovea/text/split.h"
#include "text/bpe_symbols.h"

namespace fovea::text {
namespace {

struct Word {
  std::vector<std::int32_t> symbols;
  std::int64_t count;
};

// A word before any merge: its bytes, the last one from the second 256, which end a word.
std::vector<std::int32_t> byte_ids(std::string_view word) {
  std::vector<std::int32_t> ids;
  for (const char byte : word) ids.push_back(detail::byte_symbols.id[static_cast<unsigned char>(byte)]);
  if (!ids.empty()) ids.back() += detail::byte_symbol_count;
  return ids;
}

// Replaces the pair by `merged` wherever it stands, from left to right.
void merge_all(std::vector<std::int32_t>& symbols, BpeMerge pair, std::int32_t merged) {
  std::size_t out = 0;
  for (std::size_t i = 0; i < symbols.size(); ++out) {
    const bool here = i + 1 < symbols.size() && symbols[i] == pair.left && symbols[i + 1] == pair.right;
    symbols[out] = here ? merged : symbols[i];
    i += here ? 2 : 1;
  }
  symbols.resize(out);
}

// A pair with its frequency at the time it was queued; out of date once the frequency has changed.
struct Candidate {
  std::int64_t count;
  std::uint64_t pair;

  bool operator<(const Candidate& other) const {  // the greatest comes first: frequent, then small ids
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Trainer {
 public:
  explicit Trainer(const WordCounts& words) {
    for (const auto& [word, count] : words) words_.push_back({byte_ids(word), count});
    for (std::size_t word = 0; word < words_.size(); ++word) add_pairs(word);
    queue_changed();
  }

  // The most frequent pair, taken from the queue; none when all words are whole.
  std::optional<BpeMerge> next() {
    while (!queue_.empty()) {
      const auto [count, pair] = queue_.top();
      queue_.pop();
      const bool current = count == counts_.at(pair);
      if (current && count > 0) return BpeMerge{static_cast<std::int32_t>(pair >> 32), static_cast<std::int32_t>(pair)};
    }
    return std::nullopt;
  }

  void apply(BpeMerge merge, std::int32_t id) {
    // A word is listed once for every time the pair came to stand in it, and stays listed when the pair is gone.
    const std::vector<std::size_t> places = std::move(places_[detail::pair_key(merge.left, merge.right)]);
    for (const std::size_t word : places) {
      auto& symbols = words_[word].symbols;
      if (!contains(symbols, merge)) continue;
      change_counts(words_[word], -words_[word].count);
      merge_all(symbols, merge, id);
      add_pairs(word);
    }
    queue_changed();
  }

 private:
  static bool contains(const std::vector<std::int32_t>& symbols, BpeMerge merge) {
    const auto found = std::adjacent_find(symbols.begin(), symbols.end(), [&](std::int32_t left, std::int32_t right) {
      return left == merge.left && right == merge.right;
    });
    return found != symbols.end();
  }

  void add_pairs(std::size_t word) {
    change_counts(words_[word], words_[word].count);
    const auto& symbols = words_[word].symbols;
    for (std::size_t i = 1; i < symbols.size(); ++i) {
      places_[detail::pair_key(symbols[i - 1], symbols[i])].push_back(word);
    }
  }
  void change_counts(const Word& word, std::int64_t change) {
    for (std::size_t i = 1; i < word.symbols.size(); ++i) {
      const std::uint64_t pair = detail::pair_key(word.symbols[i - 1], word.symbols[i]);
      counts_[pair] += change;
      changed_.insert(pair);
    }
  }
  void queue_changed() {
    for (const std::uint64_t pair : changed_) queue_.push({counts_.at(pair), pair});
    changed_.clear();
  }

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, std::int64_t> counts_;
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> places_;
  std::unordered_set<std::uint64_t> changed_;  // pairs whose latest count is not queued yet
  std::priority_queue<Candidate> queue_;
};

}  // namespace

void count_words(std::string_view text, WordCounts& counts) {
  const std::string cleaned = clean(text);
  for (const std::string_view word : split_words(cleaned)) ++counts[std::string(word)];
}

std::vector<BpeMerge> train_bpe(const WordCounts& words, std::int64_t vocabulary_size) {
  FOVEA_CHECK(vocabulary_size >= detail::smallest_vocabulary, "[train_bpe] vocabulary size is ", vocabulary_size,
              ", the bytes and the special tokens alone are ", detail::smallest_vocabulary);
  const auto wanted = static_cast<std::size_t>(vocabulary_size - detail::smallest_vocabulary);
  Trainer trainer(words);
  std::vector<BpeMerge> merges;
  while (merges.size() < wanted) {
    const std::optional<BpeMerge> merge = trainer.next();
    FOVEA_CHECK(merge, "[train_bpe] ", words.size(), " distinct words give ", merges.size(),
                " merges, a vocabulary of ", vocabulary_size, " entries needs ", wanted, "\nhint: ask for at most ",
                detail::smallest_vocabulary + static_cast<std::int64_t>(merges.size()), " entries, or give more text");
    trainer.apply(*merge, detail::first_merge_id + static_cast<std::int32_t>(merges.size()));
    merges.push_back(*merge);
  }
  return merges;
}

std::vector<BpeMerge> train_bpe(std::span<const std::string> texts, std::int64_t vocabulary_size) {
  WordCounts counts;
  for (const std::string& text : texts) count_words(text, counts);
  return train_bpe(counts, vocabulary_size);
}

}  // namespace fovea::text
