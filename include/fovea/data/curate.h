// Choosing the pairs to train on from a large and noisy list, as the published data sets were made: ALIGN's filters
// (Jia et al. 2021, section 3), WIT's balancing by queries (Radford et al. 2021, section 2.2), and near-duplicate
// removal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/parallel.h"
#include "fovea/image/image.h"

namespace fovea::data {

// What looks at pictures and says how likely each is one to leave out: anything that gives a number from 0 to 1.
class FOVEA_API PictureScorer {
 public:
  virtual ~PictureScorer();
  // The scores of pictures read(0), ..., read(count - 1). `read` may be called on any thread, once for each picture,
  // and throws Error for one that cannot be used, whose score does not matter.
  virtual std::vector<float> score(std::int64_t count, FunctionRef<image::Image(std::int64_t)> read) const = 0;
  // Tells scorers apart that give other scores, so that work is not resumed with another one.
  virtual std::string name() const = 0;
};

// The columns of a list. The first two must be there; the others are used where they are.
struct PairColumns {
  std::string image = "image", caption = "caption";
  std::string width = "width", height = "height";  // in pixels; where they are, no picture is opened for its size
  std::string split = "split", language = "", unsafe = "";
};

// Pictures that training must not see.
struct TestPictures {
  std::string path;                 // as ImageTextDataset's
  std::vector<std::string> splits;  // of its split column; none: all rows
};

struct CurateOptions {
  // .tsv or .jsonl, whose pictures start from the folder of their list; or sources of webdataset shards (shard_list.h),
  // of whose samples the first caption counts. All of one kind.
  std::vector<std::string> inputs;
  // The kept rows, as they are in the input. Of shards, a folder: for each a plain one of the same name, with all files
  // of the kept samples.
  std::string output;
  std::string dropped;  // where to write the others, with a column `dropped_by` (of shards, as .jsonl); empty: nowhere
  std::string work;     // folder of intermediate files; empty: OUTPUT.work
  bool keep_work = false;  // whether it stays when all is done
  PairColumns columns;
  std::string split;  // rows of other splits pass through untouched and uncounted; empty: all rows are curated

  std::int64_t memory = std::int64_t{1} << 30;  // bytes for tables, buffers and sorting

  // Of pictures; 0 switches a filter off.
  std::int64_t min_side = 200;            // the shorter side must be longer
  double max_aspect = 3;                  // longer by shorter side must be less
  std::int64_t max_captions = 1000;       // of one picture
  const PictureScorer* scorer = nullptr;  // must outlive the call
  double max_unsafe = 0.5;                // by the scorer, or the column `unsafe`

  // Of captions; 0 switches a filter off.
  std::int64_t max_images = 10;  // that share a caption
  std::int64_t top_ngrams = 100'000'000;
  std::int64_t min_words = 3, max_words = 20;
  std::vector<std::string> languages;  // to keep; none: all
  std::string language_column;         // to add to the output; empty: none

  // Copies. Distances are those of perceptual_hash.h.
  bool duplicates = false;
  std::vector<TestPictures> tests;
  int hash_distance = 15;  // at most 15: what can be found exactly without comparing all with all
  int color_distance = 12;

  // Balancing. Empty: none.
  std::string queries;              // a file with one a line
  std::int64_t max_pairs = 20'000;  // of one query
  std::string query_column;         // to add to the output: the query that a pair was kept for; empty: none
  std::uint64_t seed = 0;
};

// What one filter found.
struct FilterReport {
  std::string name, rule;
  std::int64_t found = 0;    // rows that it would drop on its own, as far as it looked at them
  std::int64_t dropped = 0;  // rows that none before it had dropped
};

struct CurateReport {
  std::int64_t rows = 0, passed = 0, kept = 0;            // curated; of other splits; curated ones that are left
  std::int64_t repaired = 0;                              // captions with bytes that are not UTF-8
  std::int64_t damaged_shards = 0;                        // of which only what stands before the damage was used
  std::string first_malformed;                            // place and reason; empty: none
  std::vector<FilterReport> filters;                      // in the order in which they are asked
  std::int64_t distinct_ngrams = 0, ngram_min_count = 0;  // how often an n-gram must occur to be among the top ones
  std::int64_t queries = 0, queries_matched = 0, queries_full = 0;
  std::vector<std::string> resumed;  // passes that an earlier run had finished
};

// Copies the rows that all filters let through, in their order. Filters of single rows and those that count (captions
// of a picture, pictures of a caption, n-grams) judge the whole list; copies are sought among the rows that are left,
// the first one stays; and queries choose among the rows that are then left.
//
// Everything is exact: what does not fit `memory` is sorted on disk. Keys are 128-bit hashes. The output depends on the
// input and the options alone, not on the number of threads or the memory. When a run was ended by anything, the same
// call goes on behind the last pass that was finished; the folder of an earlier run with other options or other input
// is refused.
//
// Throws Error for lists that cannot be read or lack a column, for impossible options, and when files cannot be
// written. Rows that cannot be read, and pictures that cannot, are counted and left out.
FOVEA_API CurateReport curate(const CurateOptions& options);

// {"rows": ..., "kept": ..., "filters": [{"name": ..., "rule": ..., "found": ..., "dropped": ...}, ...], ...}
FOVEA_API std::string to_json(const CurateReport& report);

struct QueryListOptions {
  std::vector<std::string> inputs;  // as CurateOptions', or .txt with one text a line
  std::string output;
  PairColumns columns;
  std::string split;
  std::int64_t memory = std::int64_t{1} << 30;
  std::int64_t min_count = 100;        // of a word or pair of words
  double min_pmi = 5;                  // bits
  std::int64_t max_queries = 500'000;  // the most frequent ones
};

struct QueryListReport {
  std::int64_t texts = 0, words = 0, bigrams = 0;  // read; kept
};

// Writes the words that occur at least `min_count` times, and the pairs of neighbours that do and whose pointwise
// mutual information log2(p(a b) / (p(a) p(b))) is at least `min_pmi`, as QUERY TAB COUNT, the most frequent first.
// (WIT's list: words of the English Wikipedia with at least 100 occurrences and bigrams with high mutual information.)
FOVEA_API QueryListReport build_query_list(const QueryListOptions& options);

}  // namespace fovea::data
