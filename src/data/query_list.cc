#include "data/query_list.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/curation.h"
#include "data/key_counter.h"
#include "fovea/core/error.h"
#include "fovea/data/lines.h"
#include "fovea/io/file.h"
#include "fovea/text/caption_words.h"

namespace fovea::data {
namespace detail {

QueryTable::QueryTable(const std::string& path) {
  for (const std::string& line : read_lines(path)) {
    std::string words;
    const std::int64_t count = text::append_caption_words(std::string_view(line).substr(0, line.find('\t')), words);
    if (count == 0) continue;
    Hash128 key;
    bool first = true;
    for_each_word(words, [&](std::string_view word) {
      key = first ? word_key(word) : join_keys(key, word_key(word));
      first = false;
    });
    if (!numbers_.emplace(key, static_cast<std::uint32_t>(names_.size())).second) continue;
    longest_ = std::max(longest_, static_cast<std::size_t>(count));
    names_.push_back(std::move(words));
  }
  FOVEA_CHECK(!names_.empty(), "[curate] ", path, " holds no query with a word");
}

void QueryTable::find(std::string_view words, std::vector<std::uint32_t>& found) const {
  found.clear();
  std::vector<Hash128> ending;  // keys of the 1, 2, ... words up to this one
  for_each_word(words, [&](std::string_view word) {
    const Hash128 key = word_key(word);
    ending.insert(ending.begin(), key);
    if (ending.size() > longest_) ending.pop_back();
    for (std::size_t i = ending.size() - 1; i > 0; --i) ending[i] = join_keys(ending[i], key);
    for (const Hash128& ngram : ending) {
      if (const auto entry = numbers_.find(ngram); entry != numbers_.end()) found.push_back(entry->second);
    }
  });
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
}

}  // namespace detail

namespace {

using namespace detail;

struct Ngram {
  std::int64_t count = 0;
  std::string text;       // once it is known
  Hash128 first, second;  // of a pair, its words
  bool is_pair = false;
};

struct KeyHash {
  std::size_t operator()(const Hash128& key) const { return static_cast<std::size_t>(key.low); }
};
using Frequent = std::unordered_map<Hash128, Ngram, KeyHash>;

// Calls row(words) for every caption, on several threads, with something of its own for each of them.
template <class T>
void for_each_caption(const QueryListOptions& options, PerThread<T>& owners, auto&& make, auto&& row) {
  constexpr std::int64_t block_bytes = 1 << 20;
  const std::int64_t block = std::clamp<std::int64_t>(options.memory / (32 * num_threads()), 1 << 12, block_bytes);
  PairColumns columns = options.columns;
  columns.language = columns.unsafe = "";
  PairList list(options.inputs, columns, "", block);
  for (bool more = true; more;) {
    std::vector<std::pair<PairBlock, std::string>> group(static_cast<std::size_t>(4 * num_threads()));
    std::size_t count = 0;
    while (count < group.size() && (more = list.next(group[count].first, group[count].second))) ++count;
    parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
      auto own = owners.take(make);
      std::string words;
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        list.for_each_row(group[i].first, group[i].second, [&](PairRow& pair) {
          const bool other_split = !options.split.empty() && pair[Cell::split] != options.split;
          if (!pair.problem.empty() || other_split) return;
          words.clear();
          if (text::append_caption_words(pair[Cell::caption], words) > 0) row(*own, words);
        });
      }
      owners.give_back(std::move(own));
    });
  }
}

struct Counter {
  KeyCounter counter;
  std::int64_t texts = 0, words = 0, pairs = 0;
  std::vector<Hash128> keys;
};

// A folder for runs, gone with this object.
struct RunFolder {
  std::string path;
  explicit RunFolder(std::string p) : path(std::move(p)) { std::filesystem::create_directories(path); }
  ~RunFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

QueryListReport build_query_list(const QueryListOptions& options) {
  FOVEA_CHECK(options.min_count >= 1, "[curate] min_count is ", options.min_count, ", expected at least 1");
  const RunFolder folder(options.output + ".work");
  SortedRuns<KeyCount> runs(folder.path + "/ngrams", options.memory / 2);
  PerThread<Counter> counters;
  for_each_caption(
      options, counters,
      [&] {
        return std::make_unique<Counter>(Counter{KeyCounter(runs, options.memory / 2 / num_threads()), 0, 0, 0, {}});
      },
      [](Counter& own, const std::string& words) {
        own.keys.clear();
        append_ngram_keys(words, own.keys);
        own.counter.add(own.keys);
        const auto ngrams = std::ssize(own.keys);
        ++own.texts;
        own.words += (ngrams + 1) / 2;
        own.pairs += ngrams / 2;
      });
  QueryListReport report;
  std::int64_t words = 0, pairs = 0;
  for (const auto& own : counters.all()) {
    own->counter.flush();
    report.texts += own->texts;
    words += own->words;
    pairs += own->pairs;
  }

  Frequent frequent;
  runs.merge(1, [&](int, const KeyCount& ngram) {
    if (ngram.count >= static_cast<std::uint64_t>(options.min_count))
      frequent[ngram.key].count = static_cast<std::int64_t>(ngram.count);
  });

  // Keys have no text: it is read once more.
  PerThread<Frequent> named;
  for_each_caption(
      options, named, [] { return std::make_unique<Frequent>(); },
      [&](Frequent& own, const std::string& caption) {
        Hash128 before_key;
        std::string_view before;
        for_each_word(caption, [&](std::string_view word) {
          const Hash128 key = word_key(word);
          if (frequent.contains(key) && own.try_emplace(key).second) own[key].text = word;
          const Hash128 pair = join_keys(before_key, key);
          if (!before.empty() && frequent.contains(pair) && own.try_emplace(pair).second)
            own[pair] = {0, concat(before, " ", word), before_key, key, true};
          before = word;
          before_key = key;
        });
      });
  for (const auto& own : named.all()) {
    for (const auto& [key, ngram] : *own) {
      Ngram& known = frequent.at(key);
      known = {known.count, ngram.text, ngram.first, ngram.second, ngram.is_pair};
    }
  }

  std::vector<const Ngram*> chosen;
  for (const auto& [key, ngram] : frequent) {
    if (ngram.is_pair) {
      const auto p = [&](const Hash128& word) {
        return static_cast<double>(frequent.at(word).count) / static_cast<double>(words);
      };
      const double pmi =
          std::log2(static_cast<double>(ngram.count) / static_cast<double>(pairs) / (p(ngram.first) * p(ngram.second)));
      if (pmi < options.min_pmi) continue;
    }
    chosen.push_back(&ngram);
  }
  std::sort(chosen.begin(), chosen.end(), [](const Ngram* a, const Ngram* b) {
    return a->count != b->count ? a->count > b->count : a->text < b->text;
  });
  if (std::ssize(chosen) > options.max_queries) chosen.resize(static_cast<std::size_t>(options.max_queries));
  std::string text;
  for (const Ngram* ngram : chosen) {
    (ngram->is_pair ? report.bigrams : report.words) += 1;
    text += concat(ngram->text, "\t", ngram->count, "\n");
  }
  io::write_file(options.output, text);
  return report;
}

}  // namespace fovea::data
