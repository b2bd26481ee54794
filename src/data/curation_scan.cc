// Reads the list: what a row tells by itself, and what is counted over all rows.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/curation.h"
#include "data/curation_counts.h"
#include "fovea/core/error.h"
#include "fovea/text/caption_words.h"
#include "fovea/text/clean.h"
#include "fovea/text/language.h"

namespace fovea::data::detail {
namespace {

// What one thread gathers.
struct Counters {
  KeyCounter ngrams, images;
  RunWriter<CaptionPicture> captions;
};

// What a block becomes.
struct Scanned {
  PairBlock block;
  std::string text, spill;
  std::vector<Flags> flags;
  std::string first_malformed;
};

// A whole number above 0; 0 for anything else.
std::int64_t parse_extent(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 ? value : 0;
}

// The number; NaN for anything else.
double parse_score(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : std::nan("");
}

bool is_utf8(std::string_view text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  return std::all_of(text.begin(), text.end(), ascii) || text::replace_invalid_utf8(text) == text;
}

class RowScanner {
 public:
  RowScanner(const CurateOptions& options, const PairList& list) : options_(options), list_(list) {}

  void scan(Scanned& scanned, Counters& counters) {
    list_.for_each_row(scanned.block, scanned.text, [&](PairRow& row) {
      ++scanned.block.rows;
      words_.clear();
      Flags flags = judge(row);
      Row kept{{}, words_};
      if ((flags & (flag(Reason::malformed) | flag(Reason::no_picture) | passed_flag)) == 0) {
        const std::string image = list_.output_image(scanned.block, row[Cell::image]);
        kept.image = hash128(image.data(), image.size());
        if (!words_.empty()) count(kept, counters);
      }
      if (flags & flag(Reason::malformed) && scanned.first_malformed.empty())
        scanned.first_malformed = concat(list_.place(scanned.block, row.line_number), ": ", row.problem);
      scanned.flags.push_back(flags);
      append(kept, scanned.spill);
    });
  }

 private:
  Flags judge(const PairRow& row) {
    if (!row.problem.empty()) return flag(Reason::malformed);
    if (!options_.split.empty() && row[Cell::split] != options_.split) return passed_flag;
    Flags flags = judge_caption(row[Cell::caption]) | judge_size(row);
    if (row.repaired || !is_utf8(row[Cell::caption])) flags |= repaired_flag;
    if (row[Cell::image].empty()) flags |= flag(Reason::no_picture);
    if (list_.has(Cell::unsafe)) {
      const double score = parse_score(row[Cell::unsafe]);
      if (!std::isnan(score)) flags |= scored_flag | (score > options_.max_unsafe ? flag(Reason::unsafe) : 0);
    }
    return flags | judge_language(row);
  }

  Flags judge_caption(std::string_view caption) {
    const std::int64_t words = text::append_caption_words(caption, words_);
    if (words == 0) return flag(Reason::empty_caption);
    Flags flags = 0;
    if (words < options_.min_words) flags |= flag(Reason::few_words);
    if (options_.max_words > 0 && words > options_.max_words) flags |= flag(Reason::many_words);
    return flags;
  }

  Flags judge_size(const PairRow& row) const {
    const std::int64_t width = parse_extent(row[Cell::width]), height = parse_extent(row[Cell::height]);
    return width == 0 || height == 0 ? 0 : sized_flag | size_flags(width, height, options_);
  }

  Flags judge_language(const PairRow& row) const {
    if (options_.languages.empty() && options_.language_column.empty()) return 0;
    const std::string_view language =
        list_.has(Cell::language) ? row[Cell::language] : text::language_of(row[Cell::caption]);
    const auto& wanted = options_.languages;
    const bool kept = wanted.empty() || std::find(wanted.begin(), wanted.end(), language) != wanted.end();
    return kept ? 0 : flag(Reason::language);
  }

  void count(const Row& row, Counters& counters) {
    if (options_.max_captions > 0) counters.images.add(row.image);
    if (options_.max_images > 0) counters.captions.add({word_key(row.words), row.image});
    if (options_.top_ngrams == 0) return;
    keys_.clear();
    append_ngram_keys(row.words, keys_);
    counters.ngrams.add(keys_);
  }

  static void append(const Row& row, std::string& spill) {
    const auto length = static_cast<std::uint32_t>(row.words.size());
    spill.append(reinterpret_cast<const char*>(&row.image), sizeof row.image);
    spill.append(reinterpret_cast<const char*>(&length), sizeof length);
    spill += row.words;
  }

  const CurateOptions& options_;
  const PairList& list_;
  std::string words_;
  std::vector<Hash128> keys_;
};

}  // namespace

Flags size_flags(std::int64_t width, std::int64_t height, const CurateOptions& options) {
  const auto [shorter, longer] = std::minmax(width, height);
  Flags flags = options.min_side > 0 && shorter <= options.min_side ? flag(Reason::small) : 0;
  if (options.max_aspect > 0 && static_cast<double>(longer) >= options.max_aspect * static_cast<double>(shorter))
    flags |= flag(Reason::elongated);
  return flags;
}

void Curation::scan() {
  const auto share = [&](double part) { return memory_part(part) / num_threads(); };
  SortedRuns<KeyCount> ngrams(file("ngrams"), 0), images(file("images"), 0);
  SortedRuns<CaptionPicture> captions(file("captions"), 0);
  PerThread<Counters> counters;
  const auto make = [&] {
    return std::make_unique<Counters>(Counters{KeyCounter(ngrams, share(0.4)), KeyCounter(images, share(0.1)),
                                               RunWriter<CaptionPicture>(captions, share(0.15))});
  };
  OutputFile rows(file("rows")), flags(file("flags.scan"));
  std::int64_t spilled = 0;
  for (bool more = true; more;) {
    std::vector<Scanned> group(static_cast<std::size_t>(4 * num_threads()));
    std::size_t count = 0;
    while (count < group.size() && (more = list_.next(group[count].block, group[count].text))) ++count;
    parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
      auto own = counters.take(make);
      RowScanner scanner(options_, list_);
      for (std::int64_t i = begin; i < end; ++i) scanner.scan(group[static_cast<std::size_t>(i)], *own);
      counters.give_back(std::move(own));
    });
    for (std::size_t i = 0; i < count; ++i) {
      Scanned& scanned = group[i];
      scanned.block.first_row = rows_;
      rows_ += scanned.block.rows;
      scanned.block.spill_begin = spilled;
      spilled += static_cast<std::int64_t>(scanned.spill.size());
      scanned.block.spill_end = spilled;
      rows.write(scanned.spill.data(), scanned.spill.size());
      flags.write(std::span<const Flags>(scanned.flags));
      for (const Flags f : scanned.flags) has_unsized_ |= is_left(f) && (f & sized_flag) == 0;
      if (first_malformed_.empty()) first_malformed_ = scanned.first_malformed;
      blocks_.push_back(scanned.block);
    }
  }
  for (const auto& own : counters.all()) {
    own->ngrams.flush();
    own->images.flush();
    own->captions.flush();
  }
  rows.close();
  flags.close();
  flags_ = "flags.scan";
  save_blocks();
  ngram_runs_ = ngrams.keep();
  image_runs_ = images.keep();
  caption_runs_ = captions.keep();
}

}  // namespace fovea::data::detail
