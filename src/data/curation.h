// The passes of curate() and what they hand on. Private to the sources.
//
//   scan        reads the list: words, what a row tells by itself, and keys to count        -> rows, flags
//   count       counts that decide: rare n-grams, captions and pictures that occur too often -> sets of keys
//   mark        rows that hold one of them                                                   -> flags
//   pictures    sizes, hashes and scores of the pictures of rows that are left               -> facts, flags
//   copies      pictures that are copies of tests or of each other                           -> flags
//   balance     how many rows each query may keep                                            -> flags
//   write       the kept rows
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/key_set.h"
#include "data/pair_list.h"
#include "fovea/core/hash.h"
#include "fovea/core/parallel.h"
#include "fovea/data/curate.h"
#include "fovea/image/perceptual_hash.h"

namespace fovea::data::detail {

// Why a row is dropped, in the order in which the filters are asked.
enum class Reason : std::uint8_t {
  malformed,
  no_picture,
  empty_caption,
  few_words,
  many_words,
  shared_caption,
  rare_ngram,
  language,
  many_captions,
  unreadable,
  small,
  elongated,
  unsafe,
  test_leak,
  duplicate,
  no_query,
  query_full,
  count
};

// One word a row: a bit for each reason, and further ones.
using Flags = std::uint32_t;
constexpr int reason_count = static_cast<int>(Reason::count);
constexpr Flags flag(Reason reason) { return Flags{1} << static_cast<int>(reason); }
constexpr Flags dropped_flags = (Flags{1} << reason_count) - 1;
constexpr Flags passed_flag = Flags{1} << 20;    // of another split: neither curated nor counted
constexpr Flags repaired_flag = Flags{1} << 21;  // the caption's bytes were not UTF-8
constexpr Flags sized_flag = Flags{1} << 22;     // the list tells the picture's size
constexpr Flags scored_flag = Flags{1} << 23;    // and its score
constexpr Flags opened_flag = Flags{1} << 24;    // its picture was opened
constexpr bool is_left(Flags flags) { return (flags & (dropped_flags | passed_flag)) == 0; }

// What the scan keeps of a row.
struct Row {
  Hash128 image;           // of the picture's path
  std::string_view words;  // with one space between two
};

// The rows of a block.
struct RowBlock {
  const PairBlock* block = nullptr;
  std::string bytes;
  std::vector<Flags> flags;
  std::vector<Row> rows;
};

// What a picture's file tells.
struct PictureFacts {
  image::PerceptualHash hash;
  float unsafe = 0;
  std::uint32_t flags = 0;  // Reason bits
};

class Curation {
 public:
  explicit Curation(const CurateOptions& options);

  CurateReport run();

 private:
  void scan();
  void count();
  void mark();
  void pictures();
  void copies();
  void balance();
  CurateReport write();

  // Calls map(RowBlock&) for all blocks on several threads, and done(RowBlock&) in their order on this one. When
  // `writes` is not empty, flags that map changed become the current ones.
  void for_each_block(const std::string& writes, FunctionRef<void(RowBlock&, std::int64_t)> map,
                      FunctionRef<void(RowBlock&, std::int64_t)> done);
  // Sets a flag in rows that hold a key of a set, or, of a set of what may occur, another key.
  struct MarkSet {
    std::string keys;  // files of KeyFileWriter
    Reason reason;
    FunctionRef<void(const Row&, std::vector<Hash128>&)> keys_of;
    double memory;                               // share of all
    bool is_allowed = false, left_only = false;  // left_only: rows that are dropped already stay as they are
  };
  void mark_rows(const std::string& writes, const std::vector<MarkSet>& sets);

  static void read_block(const PairBlock& from, const io::detail::Input& rows, const io::detail::Input& flags,
                         RowBlock& block);
  static std::size_t group_blocks();
  std::int64_t memory_part(double share) const;
  std::int64_t block_bytes() const;
  std::string file(const std::string& name) const { return work_ + "/" + name; }
  void run_pass(const char* name, void (Curation::*pass)());
  void load_state();
  void save_state();
  void save_blocks() const;
  void load_blocks();
  std::string fingerprint() const;
  bool opens_pictures() const;
  bool finds_copies() const { return options_.duplicates || !options_.tests.empty(); }

  CurateOptions options_;
  std::string work_;
  PairList list_;
  std::vector<PairBlock> blocks_;

  // The state, which is saved after each pass.
  std::vector<std::string> finished_, resumed_;
  std::string flags_;  // the file with the current ones
  std::vector<std::int64_t> found_ = std::vector<std::int64_t>(reason_count), dropped_ = found_;
  std::string first_malformed_;
  bool has_unsized_ = false;  // rows whose size only the picture tells
  std::int64_t rows_ = 0, distinct_ngrams_ = 0, ngram_min_count_ = 0, queries_ = 0, queries_matched_ = 0,
               queries_full_ = 0;
  std::vector<std::string> ngram_runs_, image_runs_, caption_runs_;
  bool ngrams_are_kept_ = false;  // the set of n-grams holds those that may occur; otherwise those that may not
};

inline Hash128 word_key(std::string_view word) { return hash128(word.data(), word.size()); }
// The key of an n-gram and one more word.
inline Hash128 join_keys(const Hash128& words, const Hash128& next) {
  const Hash128 both[2] = {words, next};
  return hash128(both, sizeof both, 1);
}

template <class F>
void for_each_word(std::string_view words, F&& f) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    f(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
}

// Appends the keys of all words and all pairs of neighbours.
inline void append_ngram_keys(std::string_view words, std::vector<Hash128>& keys) {
  Hash128 before;
  bool first = true;
  for_each_word(words, [&](std::string_view word) {
    const Hash128 key = word_key(word);
    keys.push_back(key);
    if (!first) keys.push_back(join_keys(before, key));
    before = key;
    first = false;
  });
}

}  // namespace fovea::data::detail
