// The kept rows, and the report.
#include <array>
#include <bit>
#include <optional>

#include "data/curation.h"
#include "data/query_list.h"
#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/text/language.h"
#include "io/json.h"

namespace fovea::data {
namespace detail {
namespace {

struct ReasonText {
  const char* name;
  std::string rule;
};

std::string number(double value) { return concat(value); }

ReasonText describe(Reason reason, const CurateOptions& o) {
  switch (reason) {
    case Reason::malformed: return {"malformed", "a row that can be read"};
    case Reason::no_picture: return {"no_picture", "names a picture"};
    case Reason::empty_caption: return {"empty_caption", "a caption with a word"};
    case Reason::few_words: return {"few_words", concat("words >= ", o.min_words)};
    case Reason::many_words: return {"many_words", concat("words <= ", o.max_words)};
    case Reason::shared_caption: return {"shared_caption", concat("pictures of a caption <= ", o.max_images)};
    case Reason::rare_ngram: return {"rare_ngram", concat("uni- and bigrams among the top ", o.top_ngrams)};
    case Reason::language: return {"language", "a language to keep"};
    case Reason::many_captions: return {"many_captions", concat("captions of a picture <= ", o.max_captions)};
    case Reason::unreadable: return {"unreadable", "a picture that can be read"};
    case Reason::small: return {"small", concat("shorter side > ", o.min_side)};
    case Reason::elongated: return {"elongated", concat("longer / shorter side < ", number(o.max_aspect))};
    case Reason::unsafe: return {"unsafe", concat("unsafe score <= ", number(o.max_unsafe))};
    case Reason::test_leak: return {"test_leak", concat("no test picture within ", o.hash_distance, " of 256 bits")};
    case Reason::duplicate: return {"duplicate", concat("no earlier picture within ", o.hash_distance, " of 256 bits")};
    case Reason::no_query: return {"no_query", "holds a query"};
    case Reason::query_full: return {"query_full", concat("pairs of a query <= ", o.max_pairs)};
    case Reason::count: break;
  }
  return {"", ""};
}

bool is_used(Reason reason, const CurateOptions& o, bool scores) {
  switch (reason) {
    case Reason::few_words: return o.min_words > 0;
    case Reason::many_words: return o.max_words > 0;
    case Reason::shared_caption: return o.max_images > 0;
    case Reason::rare_ngram: return o.top_ngrams > 0;
    case Reason::language: return !o.languages.empty();
    case Reason::many_captions: return o.max_captions > 0;
    case Reason::small: return o.min_side > 0;
    case Reason::elongated: return o.max_aspect > 0;
    case Reason::unsafe: return scores;
    case Reason::test_leak: return !o.tests.empty();
    case Reason::duplicate: return o.duplicates;
    case Reason::no_query:
    case Reason::query_full: return !o.queries.empty();
    default: return true;
  }
}

// What a block becomes in the output.
struct Written {
  std::string kept, dropped;
  std::array<std::int64_t, reason_count> found{}, first{};  // rows with each reason; rows with it as the first
  std::int64_t passed = 0, kept_rows = 0, repaired = 0;

  void add(const Written& other) {
    for (std::size_t reason = 0; reason < found.size(); ++reason) {
      found[reason] += other.found[reason];
      first[reason] += other.first[reason];
    }
    passed += other.passed;
    kept_rows += other.kept_rows;
    repaired += other.repaired;
  }
  void count(Flags flags) {
    repaired += (flags & repaired_flag) != 0;
    passed += (flags & passed_flag) != 0;
    kept_rows += is_left(flags);
    Flags reasons = flags & dropped_flags;
    if (reasons != 0) ++first[static_cast<std::size_t>(std::countr_zero(reasons))];
    for (; reasons != 0; reasons &= reasons - 1) ++found[static_cast<std::size_t>(std::countr_zero(reasons))];
  }
};

// Makes the output's rows of the input's.
class RowWriter {
 public:
  RowWriter(const CurateOptions& options, const PairList& list, const std::string& kept_for)
      : options_(options), list_(list) {
    if (options.query_column.empty()) return;
    queries_.emplace(options.queries);
    kept_for_.emplace("curate", kept_for);
  }

  void write(const RowBlock& block, Written& written) const {
    const PairBlock& from = *block.block;
    std::vector<std::uint32_t> queries(queries_ ? block.flags.size() : 0);
    constexpr auto size = static_cast<std::int64_t>(sizeof(std::uint32_t));
    if (queries_) kept_for_->read(from.first_row * size, queries.data(), from.rows * size);
    std::size_t i = 0;
    list_.for_each_row(from, list_.read(from), [&](PairRow& row) {
      const Flags flags = block.flags[i];
      written.count(flags);
      if ((flags & dropped_flags) == 0) {
        list_.append_output(from, row, added_cells(row, queries_ ? queries[i] : none_found), written.kept);
      } else if (!options_.dropped.empty()) {
        const auto reason = static_cast<Reason>(std::countr_zero(flags));
        list_.append_output(from, row, {{"dropped_by", describe(reason, options_).name}}, written.dropped);
      }
      ++i;
    });
  }

 private:
  AddedCells added_cells(const PairRow& row, std::uint32_t query) const {
    AddedCells added;
    if (!options_.language_column.empty())
      added.emplace_back(options_.language_column, text::language_of(row[Cell::caption]));
    if (queries_) added.emplace_back(options_.query_column, query == none_found ? "" : (*queries_)[query]);
    return added;
  }

  const CurateOptions& options_;
  const PairList& list_;
  std::optional<QueryTable> queries_;
  std::optional<io::detail::Input> kept_for_;
};

}  // namespace

CurateReport Curation::write() {
  io::AtomicFile kept(options_.output);
  std::optional<io::AtomicFile> dropped;
  if (!options_.dropped.empty()) dropped.emplace(options_.dropped);
  if (!list_.is_json()) {
    std::string added;
    for (const std::string& name : {options_.language_column, options_.query_column}) {
      if (!name.empty()) added += "\t" + name;
    }
    kept.write(list_.header() + added + "\n");
    if (dropped) dropped->write(list_.header() + "\tdropped_by\n");
  }
  const RowWriter writer(options_, list_, file("kept_for"));
  Written all;
  std::vector<Written> group(group_blocks());
  for_each_block(
      "",
      [&](RowBlock& block, std::int64_t slot) {
        Written& written = group[static_cast<std::size_t>(slot)] = Written();
        writer.write(block, written);
      },
      [&](RowBlock&, std::int64_t slot) {
        const Written& written = group[static_cast<std::size_t>(slot)];
        kept.write(written.kept);
        if (dropped) dropped->write(written.dropped);
        all.add(written);
      });
  if (dropped) dropped->commit();
  kept.commit();

  CurateReport report;
  report.rows = rows_ - all.passed;
  report.passed = all.passed;
  report.kept = all.kept_rows;
  report.repaired = all.repaired;
  report.first_malformed = first_malformed_;
  const bool scores = options_.scorer != nullptr || list_.has(Cell::unsafe);
  for (std::size_t i = 0; i < reason_count; ++i) {
    const auto reason = static_cast<Reason>(i);
    if (!is_used(reason, options_, scores)) continue;
    const ReasonText text = describe(reason, options_);
    report.filters.push_back({text.name, text.rule, all.found[i], all.first[i]});
  }
  report.distinct_ngrams = distinct_ngrams_;
  report.ngram_min_count = ngram_min_count_;
  report.queries = queries_;
  report.queries_matched = queries_matched_;
  report.queries_full = queries_full_;
  return report;
}

}  // namespace detail

std::string to_json(const CurateReport& report) {
  using Json = nlohmann::ordered_json;
  Json json{{"rows", report.rows},
            {"kept", report.kept},
            {"passed", report.passed},
            {"repaired", report.repaired},
            {"damaged_shards", report.damaged_shards},
            {"first_malformed", report.first_malformed}};
  for (const FilterReport& filter : report.filters)
    json["filters"].push_back(
        Json{{"name", filter.name}, {"rule", filter.rule}, {"found", filter.found}, {"dropped", filter.dropped}});
  json["distinct_ngrams"] = report.distinct_ngrams;
  json["ngram_min_count"] = report.ngram_min_count;
  json["queries"] = Json{{"all", report.queries}, {"matched", report.queries_matched}, {"full", report.queries_full}};
  json["resumed"] = report.resumed;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fovea::data
