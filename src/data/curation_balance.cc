// Balancing by queries: every query may keep so many of the rows whose captions hold it, and a row stays when one of
// its queries keeps it.
//
// Rows have random numbers, all different, and a query keeps those with the smallest. So each query is a limit, and a
// row stays when its number is not above the highest limit of its queries: that of the rarest one, as a rule.
#include <cmath>
#include <limits>
#include <unordered_map>

#include "data/curation.h"
#include "data/query_list.h"
#include "fovea/core/error.h"
#include "fovea/core/rng.h"

namespace fovea::data::detail {
namespace {

using Limit = std::uint64_t;
constexpr Limit no_limit = std::numeric_limits<Limit>::max();

// A row that a query may keep.
struct Candidate {
  std::uint64_t query, number;

  friend auto operator<=>(const Candidate&, const Candidate&) = default;
  bool same(const Candidate& other) const { return *this == other; }
  void absorb(const Candidate&) {}
  std::uint64_t position() const { return 0; }
};

// Queries that rows match, one list of numbers a row: its length, then they.
class MatchReader {
 public:
  explicit MatchReader(const std::string& bytes) : at_(bytes.data()) {}
  std::span<const std::uint32_t> next() {
    std::uint32_t count = 0;
    std::memcpy(&count, at_, sizeof count);
    queries_.resize(count);
    if (count > 0) std::memcpy(queries_.data(), at_ + sizeof count, count * sizeof count);
    at_ += (count + 1) * sizeof count;
    return queries_;
  }

 private:
  const char* at_;
  std::vector<std::uint32_t> queries_;
};

// The matches of all blocks.
class MatchFile {
 public:
  explicit MatchFile(const std::string& path) : path_(path), output_(path) {}
  void add(const std::string& matches) {
    output_.write(matches.data(), matches.size());
    begins_.push_back(begins_.back() + static_cast<std::int64_t>(matches.size()));
  }
  void close() {
    output_.close();
    input_ = std::make_unique<io::detail::Input>("curate", path_);
  }
  std::string read(std::int64_t block) const {
    const auto i = static_cast<std::size_t>(block);
    return input_->read(begins_[i], begins_[i + 1] - begins_[i]);
  }

 private:
  std::string path_;
  OutputFile output_;
  std::unique_ptr<io::detail::Input> input_;
  std::vector<std::int64_t> begins_{0};
};

// The number below which, with all but certainty, the `most` smallest of so many lie: 12 standard deviations more than
// are needed, so that few have to be sorted.
Limit safe_bound(std::int64_t most, std::int64_t rows) {
  const double needed = static_cast<double>(most) + 12 * std::sqrt(static_cast<double>(most)) + 100;
  const double share = needed / static_cast<double>(rows);
  return share >= 1 ? no_limit : static_cast<Limit>(share * 0x1p64);
}

}  // namespace

void Curation::balance() {
  const QueryTable queries(options_.queries);
  const auto row_number = [&](const RowBlock& block, std::size_t i) {
    return mix(options_.seed, static_cast<std::uint64_t>(block.block->first_row) + i);
  };
  const auto is_open = [](Flags flags) { return is_left(flags) || (flags & flag(Reason::no_query)) != 0; };

  // Which queries each row holds, and how many rows hold each query.
  MatchFile matches(file("matches"));
  std::vector<std::int64_t> counts(static_cast<std::size_t>(queries.size()));
  std::vector<std::string> found(group_blocks());
  PerThread<std::vector<std::int64_t>> counters;
  for_each_block(
      "flags.matched",
      [&](RowBlock& block, std::int64_t slot) {
        auto own = counters.take([&] { return std::make_unique<std::vector<std::int64_t>>(counts.size()); });
        std::string& text = found[static_cast<std::size_t>(slot)];
        text.clear();
        std::vector<std::uint32_t> hits;
        for (std::size_t i = 0; i < block.rows.size(); ++i) {
          if (!is_left(block.flags[i])) continue;
          queries.find(block.rows[i].words, hits);
          for (const std::uint32_t query : hits) ++(*own)[query];
          if (hits.empty()) block.flags[i] |= flag(Reason::no_query);
          const auto size = static_cast<std::uint32_t>(hits.size());
          text.append(reinterpret_cast<const char*>(&size), sizeof size);
          text.append(reinterpret_cast<const char*>(hits.data()), hits.size() * sizeof size);
        }
        counters.give_back(std::move(own));
      },
      [&](RowBlock&, std::int64_t slot) { matches.add(found[static_cast<std::size_t>(slot)]); });
  matches.close();
  for (const auto& own : counters.all()) {
    for (std::size_t query = 0; query < counts.size(); ++query) counts[query] += (*own)[query];
  }

  // The limits of those that hold too many.
  std::vector<Limit> limits(counts.size(), no_limit), bounds(counts.size(), 0);
  for (std::size_t query = 0; query < counts.size(); ++query) {
    queries_matched_ += counts[query] > 0;
    if (counts[query] <= options_.max_pairs) continue;
    ++queries_full_;
    bounds[query] = safe_bound(options_.max_pairs, counts[query]);
  }
  queries_ = queries.size();
  SortedRuns<Candidate> candidates(file("candidates"), memory_part(0.5));
  PerThread<RunWriter<Candidate>> writers;
  for_each_block(
      "",
      [&](RowBlock& block, std::int64_t) {
        auto writer = writers.take(
            [&] { return std::make_unique<RunWriter<Candidate>>(candidates, memory_part(0.25) / num_threads()); });
        const std::string text = matches.read(block.block - blocks_.data());
        MatchReader reader(text);
        for (std::size_t i = 0; i < block.rows.size(); ++i) {
          if (!is_open(block.flags[i])) continue;
          const std::uint64_t number = row_number(block, i);
          for (const std::uint32_t query : reader.next()) {
            if (bounds[query] > 0 && number <= bounds[query]) writer->add({query, number});
          }
        }
        writers.give_back(std::move(writer));
      },
      [](RowBlock&, std::int64_t) {});
  for (const auto& writer : writers.all()) writer->flush();
  std::vector<std::int64_t> seen(counts.size());
  candidates.merge(1, [&](int, const Candidate& candidate) {
    if (++seen[candidate.query] == options_.max_pairs) limits[candidate.query] = candidate.number;
  });

  // Rows that no query keeps; the others, with the rarest query that does.
  OutputFile kept_for(file("kept_for"));
  std::vector<std::vector<std::uint32_t>> chosen(group_blocks());
  for_each_block(
      "flags.balance",
      [&](RowBlock& block, std::int64_t slot) {
        std::vector<std::uint32_t>& best_of = chosen[static_cast<std::size_t>(slot)];
        best_of.assign(block.rows.size(), none_found);
        const std::string text = matches.read(block.block - blocks_.data());
        MatchReader reader(text);
        for (std::size_t i = 0; i < block.rows.size(); ++i) {
          if (!is_open(block.flags[i])) continue;
          const std::uint64_t number = row_number(block, i);
          std::uint32_t& best = best_of[i];
          for (const std::uint32_t query : reader.next()) {
            const bool rarer = best == none_found || std::pair(counts[query], query) < std::pair(counts[best], best);
            if (number <= limits[query] && rarer) best = query;
          }
          if (is_left(block.flags[i]) && best == none_found) block.flags[i] |= flag(Reason::query_full);
        }
      },
      [&](RowBlock&, std::int64_t slot) {
        kept_for.write(std::span<const std::uint32_t>(chosen[static_cast<std::size_t>(slot)]));
      });
  kept_for.close();
}

}  // namespace fovea::data::detail
