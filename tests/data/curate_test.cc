// Curation against a plain implementation in memory, on random lists; and what is wrong with lists.
#include "fovea/data/curate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fovea/core/rng.h"
#include "fovea/data/table.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/perceptual_hash.h"
#include "fovea/image/resize.h"
#include "fovea/io/file.h"
#include "fovea/io/tar.h"
#include "test_files.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

struct Pair {
  std::string image, caption;
  int width = 0, height = 0;
  bool malformed = false;
};

// The words of ASCII text.
Words words_of(const std::string& caption) {
  Words words;
  std::string word;
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (const char c : caption + " ") {
    if (c != ' ') {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    while (!word.empty() && !plain(word.back())) word.pop_back();
    while (!word.empty() && !plain(word.front())) word.erase(word.begin());
    if (!word.empty()) words.push_back(word);
    word.clear();
  }
  return words;
}

std::string join(const Words& words, std::size_t begin, std::size_t end) {
  std::string text;
  for (std::size_t i = begin; i < end; ++i) text += (i > begin ? " " : "") + words[i];
  return text;
}

std::vector<std::string> ngrams_of(const Words& words) {
  std::vector<std::string> ngrams;
  for (std::size_t i = 0; i < words.size(); ++i) {
    ngrams.push_back(words[i]);
    if (i > 0) ngrams.push_back(words[i - 1] + " " + words[i]);
  }
  return ngrams;
}

// The reason for which each row is dropped; "" for those that stay. Straight from the filters' descriptions.
class Reference {
 public:
  Reference(const CurateOptions& options, const std::vector<Pair>& pairs) : options_(options), pairs_(pairs) {
    for (const Pair& pair : pairs) words_.push_back(pair.malformed ? Words() : words_of(pair.caption));
    reasons_.resize(pairs.size());
  }

  std::vector<std::string> reasons(const std::vector<std::string>& queries = {}) {
    std::map<std::string, std::set<std::string>> pictures_of;
    std::map<std::string, std::int64_t> captions_of, ngrams;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      if (words_[i].empty() || pairs_[i].image.empty()) continue;
      pictures_of[join(words_[i], 0, words_[i].size())].insert(pairs_[i].image);
      ++captions_of[pairs_[i].image];
      for (const std::string& ngram : ngrams_of(words_[i])) ++ngrams[ngram];
    }
    std::vector<std::int64_t> counts;
    for (const auto& [ngram, count] : ngrams) counts.push_back(count);
    std::sort(counts.rbegin(), counts.rend());
    std::int64_t least = 0;
    if (options_.top_ngrams > 0 && !counts.empty())
      least = counts[static_cast<std::size_t>(std::min<std::int64_t>(options_.top_ngrams, std::ssize(counts)) - 1)];
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const Pair& pair = pairs_[i];
      const auto n = static_cast<std::int64_t>(words_[i].size());
      const auto is_rare = [&](const std::string& ngram) { return ngrams[ngram] < least; };
      const std::vector<std::string> own = ngrams_of(words_[i]);
      const int shorter = std::min(pair.width, pair.height), longer = std::max(pair.width, pair.height);
      if (pair.malformed) drop(i, "malformed");
      if (pair.image.empty()) drop(i, "no_picture");
      if (n == 0) drop(i, "empty_caption");
      if (n < options_.min_words) drop(i, "few_words");
      if (options_.max_words > 0 && n > options_.max_words) drop(i, "many_words");
      if (options_.max_images > 0 &&
          std::ssize(pictures_of[join(words_[i], 0, words_[i].size())]) > options_.max_images)
        drop(i, "shared_caption");
      if (std::any_of(own.begin(), own.end(), is_rare)) drop(i, "rare_ngram");
      if (options_.max_captions > 0 && captions_of[pair.image] > options_.max_captions) drop(i, "many_captions");
      if (options_.min_side > 0 && shorter <= options_.min_side) drop(i, "small");
      if (options_.max_aspect > 0 && longer >= options_.max_aspect * shorter) drop(i, "elongated");
    }
    if (!queries.empty()) balance(queries);
    return reasons_;
  }

 private:
  void drop(std::size_t row, const char* reason) {
    if (reasons_[row].empty()) reasons_[row] = reason;
  }

  void balance(const std::vector<std::string>& queries) {
    std::map<std::string, std::vector<std::uint64_t>> numbers;
    const auto matches = [&](std::size_t i) {
      std::set<std::string> found;
      for (const std::string& query : queries) {
        const std::string text = " " + join(words_[i], 0, words_[i].size()) + " ";
        if (text.find(" " + query + " ") != std::string::npos) found.insert(query);
      }
      return found;
    };
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      if (!reasons_[i].empty()) continue;
      for (const std::string& query : matches(i)) numbers[query].push_back(mix(options_.seed, i));
    }
    for (auto& [query, all] : numbers) std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      if (!reasons_[i].empty()) continue;
      const std::set<std::string> found = matches(i);
      const auto keeps = [&](const std::string& query) {
        const auto& all = numbers[query];
        const auto last = std::min<std::int64_t>(options_.max_pairs, std::ssize(all)) - 1;
        return mix(options_.seed, i) <= all[static_cast<std::size_t>(last)];
      };
      if (found.empty()) drop(i, "no_query");
      if (!std::any_of(found.begin(), found.end(), keeps)) drop(i, "query_full");
    }
  }

  const CurateOptions& options_;
  const std::vector<Pair>& pairs_;
  std::vector<Words> words_;
  std::vector<std::string> reasons_;
};

// Rows with everything that filters look for, often enough.
std::vector<Pair> random_pairs(std::int64_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<Pair> pairs;
  const auto word = [&] {
    const auto rank = static_cast<std::int64_t>(std::exp(rng.uniform() * 8.5));
    return concat(rng.uniform() < 0.1 ? "W" : "w", rank);
  };
  for (std::int64_t i = 0; i < count; ++i) {
    Pair pair;
    pair.image = concat("images/", rng.uniform() < 0.3 ? rng.below(40) : 1000 + i, ".png");
    if (rng.uniform() < 0.01) pair.image.clear();
    if (rng.uniform() < 0.1) {
      pair.caption = concat("Image ", rng.below(30), rng.uniform() < 0.5 ? "" : "!");
    } else {
      const std::int64_t words = rng.below(12);
      for (std::int64_t w = 0; w < words; ++w) {
        if (w > 0) pair.caption += rng.uniform() < 0.05 ? "  " : " ";
        pair.caption += word();
        if (rng.uniform() < 0.1) pair.caption += rng.uniform() < 0.5 ? "," : " - ";
      }
    }
    pair.width = static_cast<int>(20 + rng.below(400));
    pair.height = static_cast<int>(20 + rng.below(400));
    pair.malformed = rng.uniform() < 0.01;
    pairs.push_back(pair);
  }
  return pairs;
}

std::string tsv_line(const Pair& pair) {
  return concat(pair.image, "\t", pair.caption, pair.malformed ? "" : concat("\t", pair.width), "\t", pair.height);
}

std::string tsv(const std::vector<Pair>& pairs) {
  std::string text = "image\tcaption\twidth\theight\n";
  for (const Pair& pair : pairs) text += tsv_line(pair) + "\n";
  return text;
}

std::string jsonl_line(const Pair& pair) {
  nlohmann::ordered_json json{
      {"id", 7},       {"caption", pair.caption}, {"image", pair.image}, {"width", pair.width}, {"height", pair.height},
      {"more", {1, 2}}};
  const std::string line = json.dump();
  return pair.malformed ? line.substr(0, line.size() - 1) : line;
}

CurateOptions small_options(const TempFolder& folder) {
  CurateOptions options;
  options.inputs = {folder / "pairs.tsv"};
  options.output = folder / "kept.tsv";
  options.dropped = folder / "dropped.tsv";
  options.memory = 1 << 20;
  options.min_side = 50;
  options.max_captions = 60;
  options.top_ngrams = 3000;
  options.min_words = 2;
  options.max_words = 9;
  return options;
}

struct Result {
  CurateReport report;
  std::string kept, dropped;
};

Result run(const CurateOptions& options, int threads = 2) {
  const int before = num_threads();
  set_num_threads(threads);
  Result result;
  result.report = curate(options);
  set_num_threads(before);
  result.kept = io::read_file(options.output);
  if (!options.dropped.empty()) result.dropped = io::read_file(options.dropped);
  return result;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The reasons of the reference, as they stand in the output.
void expect_rows(const Result& result, const std::vector<Pair>& pairs, const std::vector<std::string>& reasons) {
  std::string kept = "image\tcaption\twidth\theight\n";
  std::vector<std::string> dropped;
  std::map<std::string, std::int64_t> counts;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (reasons[i].empty()) {
      kept += tsv_line(pairs[i]) + "\n";
    } else {
      dropped.push_back(reasons[i]);
      ++counts[reasons[i]];
    }
  }
  EXPECT_EQ(result.kept, kept);
  const std::vector<std::string> lines = split_lines(result.dropped);
  ASSERT_EQ(lines.size(), dropped.size() + 1);
  for (std::size_t i = 0; i < dropped.size(); ++i)
    ASSERT_TRUE(lines[i + 1].ends_with("\t" + dropped[i])) << lines[i + 1] << "\nexpected " << dropped[i];
  std::int64_t sum = 0;
  for (const FilterReport& filter : result.report.filters) {
    EXPECT_EQ(filter.dropped, counts[filter.name]) << filter.name;
    EXPECT_GE(filter.found, filter.dropped);
    sum += filter.dropped;
  }
  EXPECT_EQ(result.report.rows, std::ssize(pairs));
  EXPECT_EQ(result.report.kept + sum, result.report.rows);
}

class Curate : public ::testing::Test {
 protected:
  const TempFolder folder_;
};

TEST_F(Curate, EqualsPlainReferenceAtAnyThreadCountAndMemory) {
  for (const std::uint64_t seed : {1, 2}) {
    const std::vector<Pair> pairs = random_pairs(12'000, seed);
    folder_.write("pairs.tsv", tsv(pairs));
    CurateOptions options = small_options(folder_);
    const std::vector<std::string> reasons = Reference(options, pairs).reasons();
    for (const std::int64_t memory : {1 << 20, 64 << 20}) {
      options.memory = memory;
      for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(concat("seed ", seed, ", ", memory, " bytes, ", threads, " threads"));
        expect_rows(run(options, threads), pairs, reasons);
      }
    }
  }
}

TEST_F(Curate, EachFilterAloneEqualsPlainReference) {
  const std::vector<Pair> pairs = random_pairs(3'000, 3);
  folder_.write("pairs.tsv", tsv(pairs));
  CurateOptions none = small_options(folder_);
  none.min_side = none.max_captions = none.top_ngrams = none.min_words = none.max_words = none.max_images = 0;
  none.max_aspect = 0;
  std::vector<CurateOptions> each(8, none);
  each[1].min_side = 100;
  each[2].max_aspect = 2;
  each[3].max_captions = 20;
  each[4].max_images = 3;
  each[5].top_ngrams = 500;
  each[6].min_words = 4;
  each[7].max_words = 6;
  for (const CurateOptions& options : each) expect_rows(run(options), pairs, Reference(options, pairs).reasons());
}

TEST_F(Curate, RareNgramsAreTheSameFromEitherSet) {
  const std::vector<Pair> pairs = random_pairs(3'000, 4);
  folder_.write("pairs.tsv", tsv(pairs));
  CurateOptions options = small_options(folder_);
  for (const std::int64_t top : {1, 10, 1000, 5000, 20'000, 1'000'000}) {
    options.top_ngrams = top;
    SCOPED_TRACE(top);
    expect_rows(run(options), pairs, Reference(options, pairs).reasons());
  }
}

TEST_F(Curate, BalancingEqualsPlainReference) {
  const std::vector<Pair> pairs = random_pairs(5'000, 5);
  folder_.write("pairs.tsv", tsv(pairs));
  folder_.write("queries.txt", "w1\nw2\tignored\nW5\nw1 w2\nw30\nw200\nw2 w1 w1\nw9999\n");
  CurateOptions options = small_options(folder_);
  options.queries = folder_ / "queries.txt";
  options.seed = 11;
  for (const std::int64_t most : {1, 20, 300, 100'000}) {
    options.max_pairs = most;
    const auto reasons =
        Reference(options, pairs).reasons({"w1", "w2", "w5", "w1 w2", "w30", "w200", "w2 w1 w1", "w9999"});
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(most);
      const Result result = run(options, threads);
      expect_rows(result, pairs, reasons);
      EXPECT_EQ(result.report.queries, 8);
      EXPECT_LT(result.report.queries_matched, 8);
    }
  }
}

TEST_F(Curate, NoQueryKeepsMoreThanItMay) {
  const std::vector<Pair> pairs = random_pairs(5'000, 6);
  folder_.write("pairs.tsv", tsv(pairs));
  folder_.write("queries.txt", "w1\nw2\nw3\nw4\nw10\n");
  CurateOptions options = small_options(folder_);
  options.queries = folder_ / "queries.txt";
  options.max_pairs = 25;
  options.query_column = "query";
  options.language_column = "lang";
  run(options);
  const Table kept = Table::read(options.output);
  EXPECT_EQ(kept.columns(), (std::vector<std::string>{"image", "caption", "width", "height", "lang", "query"}));
  std::map<std::string, int> counts;
  for (std::int64_t row = 0; row < kept.rows(); ++row) {
    const std::string query(kept.cell(row, kept.column("query")));
    const Words words = words_of(std::string(kept.cell(row, 1)));
    EXPECT_NE(std::find(words.begin(), words.end(), query), words.end());
    ++counts[query];
  }
  EXPECT_EQ(counts.size(), 5u);
  for (const auto& [query, count] : counts) EXPECT_LE(count, 25) << query;
}

TEST_F(Curate, JsonlIsAsTsv) {
  const std::vector<Pair> pairs = random_pairs(2'000, 7);
  std::string text, kept;
  CurateOptions options = small_options(folder_);
  const auto reasons = Reference(options, pairs).reasons();
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    text += jsonl_line(pairs[i]) + (i % 7 == 0 ? "\r\n" : "\n") + (i % 100 == 0 ? "\n" : "");
    if (reasons[i].empty()) kept += jsonl_line(pairs[i]) + "\n";
  }
  options.inputs = {folder_.write("pairs.jsonl", text)};
  options.output = folder_ / "kept.jsonl";
  options.dropped = folder_ / "dropped.jsonl";
  const Result result = run(options);
  EXPECT_EQ(result.kept, kept);
  std::vector<std::string> expected = reasons;
  std::erase(expected, "");
  const std::vector<std::string> lines = split_lines(result.dropped);
  ASSERT_EQ(lines.size(), expected.size());
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(nlohmann::json::parse(lines[i])["dropped_by"], expected[i]);
  EXPECT_NE(result.report.first_malformed.find("not valid JSON"), std::string::npos);
}

TEST_F(Curate, SeveralListsAreOneAndPicturesAreFoundFromTheOutput) {
  const std::vector<Pair> pairs = random_pairs(1'000, 8);
  fs::create_directories(folder_ / "a");
  folder_.write("a/first.tsv", tsv({pairs.begin(), pairs.begin() + 400}));
  folder_.write("a/second.tsv", tsv({pairs.begin() + 400, pairs.end()}));
  CurateOptions options = small_options(folder_);
  options.inputs = {folder_ / "a/first.tsv", folder_ / "a/second.tsv"};
  const auto reasons = Reference(options, pairs).reasons();
  const Result result = run(options);
  std::string kept = "image\tcaption\twidth\theight\n";
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (reasons[i].empty()) kept += "a/" + tsv_line(pairs[i]) + "\n";
  }
  EXPECT_EQ(result.kept, kept);
}

TEST_F(Curate, OtherSplitsPassThrough) {
  folder_.write("pairs.tsv",
                "image\tcaption\tsplit\na.png\tone two three\ttrain\nb.png\tx\ttrain\nc.png\ty\ttest\n\t\ttest\n");
  CurateOptions options;
  options.inputs = {folder_ / "pairs.tsv"};
  options.output = folder_ / "kept.tsv";
  options.min_side = 0;
  options.max_aspect = 0;
  options.split = "train";
  const CurateReport report = curate(options);
  EXPECT_EQ(report.rows, 2);
  EXPECT_EQ(report.passed, 2);
  EXPECT_EQ(report.kept, 1);
  EXPECT_EQ(io::read_file(options.output),
            "image\tcaption\tsplit\na.png\tone two three\ttrain\nc.png\ty\ttest\n\t\ttest\n");
}

TEST_F(Curate, KeepsWhatWasDoneAndRefusesOtherWork) {
  const std::vector<Pair> pairs = random_pairs(2'000, 9);
  folder_.write("pairs.tsv", tsv(pairs));
  CurateOptions options = small_options(folder_);
  options.keep_work = true;
  const Result first = run(options);
  EXPECT_TRUE(first.report.resumed.empty());
  const Result second = run(options, 3);
  EXPECT_EQ(second.report.resumed, (std::vector<std::string>{"scan", "count", "mark"}));
  EXPECT_EQ(second.kept, first.kept);
  EXPECT_EQ(second.dropped, first.dropped);
  options.min_words = 3;
  EXPECT_NE(error_of([&] { curate(options); }).find("other options or other input"), std::string::npos);
  options.keep_work = false;
  options.min_words = 2;
  run(options);
  EXPECT_FALSE(fs::exists(options.output + ".work"));
}

TEST_F(Curate, NamesWhatIsWrong) {
  CurateOptions options;
  options.output = folder_ / "kept.tsv";
  const auto error_for = [&](const std::string& name, const std::string& contents) {
    options.inputs = {folder_.write(name, contents)};
    options.work = folder_ / concat("work-", name);
    return error_of([&] { curate(options); });
  };
  EXPECT_NE(error_for("a.tsv", "image\ttext\nx\ty\n").find("no column \"caption\""), std::string::npos);
  EXPECT_NE(error_for("a.csv", "image,caption\n").find("is CSV"), std::string::npos);
  EXPECT_NE(error_for("a.json", "[{}]").find("one JSON list"), std::string::npos);
  EXPECT_NE(error_for("utf16.tsv", "\xFF\xFEi").find("UTF-16"), std::string::npos);
  options.split = "train";
  EXPECT_NE(error_for("b.tsv", "image\tcaption\nx\ty\n").find("no column \"split\""), std::string::npos);
  options.split = "";
  options.memory = 1000;
  EXPECT_NE(error_for("c.tsv", "image\tcaption\nx\ty\n").find("memory is 1000 bytes"), std::string::npos);
  options.memory = 1 << 20;
  options.inputs = {folder_ / "c.tsv", folder_.write("d.tsv", "caption\timage\n")};
  EXPECT_NE(error_of([&] { curate(options); }).find("has other columns than"), std::string::npos);
  options.inputs = {folder_ / "absent.tsv"};
  EXPECT_NE(error_of([&] { curate(options); }).find("cannot open"), std::string::npos);
}

TEST_F(Curate, BadRowsAreCountedAndNothingElseIsLost) {
  folder_.write("pairs.tsv",
                "\xEF\xBB\xBFimage\tcaption\twidth\theight\r\n"
                "a.png\ta caf\xE9 at night\t300\t300\r\n"                // not UTF-8
                "b.png\t\t300\t300\r\n"                                  // no caption
                "c.png\tone two three\r\n"                               // cells are missing
                "d.png\tone two three\t300\t300\t5\r\n"                  // too many
                "\tone two three\t300\t300\r\n"                          // no picture
                "missing.png\tone two three\tx\t300\r\n"                 // its size is unknown, and it is not there
                "e.png\t\xC3\x89T\xC3\x89 &amp; two, three\t300\t300");  // no line end
  CurateOptions options;
  options.inputs = {folder_ / "pairs.tsv"};
  options.output = folder_ / "kept.tsv";
  options.dropped = folder_ / "dropped.tsv";
  const CurateReport report = curate(options);
  EXPECT_EQ(report.rows, 7);
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.repaired, 1);
  EXPECT_EQ(report.first_malformed, concat(options.inputs[0], ":4: 2 cells, expected 4"));
  const Table dropped = Table::read(options.dropped);
  const auto reason = [&](std::int64_t row) { return dropped.cell(row, dropped.column("dropped_by")); };
  ASSERT_EQ(dropped.rows(), 5);
  EXPECT_EQ(reason(0), "empty_caption");
  EXPECT_EQ(reason(1), "malformed");
  EXPECT_EQ(reason(2), "malformed");
  EXPECT_EQ(dropped.cell(2, 3), "300 5");
  EXPECT_EQ(reason(3), "no_picture");
  EXPECT_EQ(Table::read(options.output).rows(), 2);
}

TEST_F(Curate, AListWithoutRowsGivesOneWithoutRows) {
  folder_.write("pairs.tsv", "image\tcaption\twidth\theight\n");
  CurateOptions options = small_options(folder_);
  const Result result = run(options);
  EXPECT_EQ(result.report.rows, 0);
  EXPECT_EQ(result.kept, "image\tcaption\twidth\theight\n");
}

// Noise on a coarse grid: a picture unlike any other.
image::Image random_picture(Rng& rng, int side = 96) {
  image::Image coarse(8, 8);
  for (std::uint8_t& value : coarse.pixels) value = static_cast<std::uint8_t>(rng.below(256));
  return image::resize(coarse, side, side, image::Interpolation::bicubic);
}

image::Image brighter(image::Image picture, int by) {
  for (std::uint8_t& value : picture.pixels) value = static_cast<std::uint8_t>(std::min(255, value + by));
  return picture;
}

class CurateCopies : public Curate {
 protected:
  CurateCopies() {
    Rng rng(5);
    fs::create_directories(folder_ / "p");
    for (int i = 0; i < 40; ++i) {
      const image::Image picture = random_picture(rng);
      add(concat("p/", i, ".png"), image::encode_png(picture));
      if (i % 3 == 0) add(concat("p/", i, "-bytes.png"), image::encode_png(picture));
      if (i % 4 == 0) add(concat("p/", i, "-stored.jpg"), image::encode_jpeg(picture, 70));
      if (i % 5 == 0)
        add(concat("p/", i, "-small.png"),
            image::encode_png(image::resize(picture, 48, 48, image::Interpolation::box)));
      if (i % 6 == 0) add(concat("p/", i, "-bright.png"), image::encode_png(brighter(picture, 6)));
    }
    Rng order(6);
    order.shuffle(paths_);
    std::string text = "image\tcaption\n";
    for (const std::string& path : paths_) text += path + "\ta picture of noise\n" + path + "\tthe same once more\n";
    folder_.write("pairs.tsv", text);
    options_.inputs = {folder_ / "pairs.tsv"};
    options_.output = folder_ / "kept.tsv";
    options_.dropped = folder_ / "dropped.tsv";
    options_.min_side = 0;
    options_.max_images = 0;
    options_.duplicates = true;
  }

  void add(const std::string& name, const std::string& bytes) {
    folder_.write(name, bytes);
    paths_.push_back(name);
  }

  image::PerceptualHash hash(const std::string& path) const {
    return image::perceptual_hash(image::read_image(folder_ / path));
  }
  bool near(const image::PerceptualHash& a, const image::PerceptualHash& b) const {
    return image::looks_same(a, b, options_.hash_distance, options_.color_distance);
  }

  // All with all.
  std::vector<std::string> plain_reasons(const std::vector<std::string>& tests) const {
    std::vector<image::PerceptualHash> kept, test_hashes;
    for (const std::string& test : tests) test_hashes.push_back(hash(test));
    std::vector<std::string> reasons;
    for (const std::string& path : paths_) {
      const image::PerceptualHash own = hash(path);
      const auto close = [&](const image::PerceptualHash& other) { return near(own, other); };
      if (std::any_of(test_hashes.begin(), test_hashes.end(), close)) {
        reasons.push_back("test_leak");
      } else if (options_.duplicates && std::any_of(kept.begin(), kept.end(), close)) {
        reasons.push_back("duplicate");
      } else {
        reasons.push_back("");
        kept.push_back(own);
      }
    }
    return reasons;
  }

  void expect_reasons(const std::vector<std::string>& reasons) const {
    std::string kept = "image\tcaption\n", dropped = "image\tcaption\tdropped_by\n";
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      for (const char* caption : {"a picture of noise", "the same once more"}) {
        std::string& to = reasons[i].empty() ? kept : dropped;
        to += concat(paths_[i], "\t", caption, reasons[i].empty() ? "" : "\t", reasons[i], "\n");
      }
    }
    EXPECT_EQ(io::read_file(options_.output), kept);
    EXPECT_EQ(io::read_file(options_.dropped), dropped);
  }

  CurateOptions options_;
  std::vector<std::string> paths_;
};

TEST_F(CurateCopies, OfEachPictureTheFirstStays) {
  const auto reasons = plain_reasons({});
  EXPECT_GT(std::count(reasons.begin(), reasons.end(), "duplicate"), 35);
  EXPECT_LE(std::count(reasons.begin(), reasons.end(), ""), 45);
  for (const int threads : {1, 3}) {
    run(options_, threads);
    expect_reasons(reasons);
  }
}

TEST_F(CurateCopies, TestPicturesAreNotTrainedOn) {
  std::string test = "image\n";
  std::vector<std::string> tests;
  for (int i = 0; i < 40; i += 2) tests.push_back(concat("p/", i, ".png"));
  for (const std::string& path : tests) test += path + "\n";
  options_.tests = {{folder_.write("test.tsv", test), {}}};
  for (const bool duplicates : {true, false}) {
    options_.duplicates = duplicates;
    const auto reasons = plain_reasons(tests);
    EXPECT_GE(std::count(reasons.begin(), reasons.end(), "test_leak"), 40);
    run(options_);
    expect_reasons(reasons);
  }
}

TEST_F(CurateCopies, ManyPicturesThatLookTheSameAreComparedInPieces) {
  // Pictures of one shape have equal bands; with 1 MB of memory only some are held at a time.
  Rng rng(8);
  paths_.clear();
  const image::Image base = random_picture(rng, 64);
  std::string text = "image\tcaption\n";
  for (int i = 0; i < 900; ++i) {
    image::Image picture = base;
    for (int k = 0; k < 40; ++k) picture.pixels[static_cast<std::size_t>(rng.below(std::ssize(picture.pixels)))] = 255;
    add(concat("p/same-", i, ".png"), image::encode_png(picture));
    text += paths_.back() + "\ta picture of noise\n";
  }
  folder_.write("pairs.tsv", text);
  options_.memory = 1 << 20;
  options_.hash_distance = 4;
  run(options_, 4);
  const auto reasons = plain_reasons({});
  std::string kept = "image\tcaption\n";
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (reasons[i].empty()) kept += paths_[i] + "\ta picture of noise\n";
  }
  EXPECT_EQ(io::read_file(options_.output), kept);
}

TEST_F(CurateCopies, PicturesThatCannotBeReadAreCounted) {
  const std::string bytes = io::read_file(folder_ / "p/1.png");
  add("p/cut.png", bytes.substr(0, bytes.size() / 2));
  add("p/empty.png", "");
  paths_.push_back("p/missing.png");
  std::string text = "image\tcaption\n";
  for (const std::string& path : paths_) text += path + "\ta picture of noise\n";
  folder_.write("pairs.tsv", text);
  const Result result = run(options_);
  for (const FilterReport& filter : result.report.filters) {
    if (filter.name == "unreadable") {
      EXPECT_EQ(filter.dropped, 3);
    }
  }
}

// Says that every second picture is unsafe.
class EverySecond final : public PictureScorer {
 public:
  std::vector<float> score(std::int64_t count, FunctionRef<image::Image(std::int64_t)> read) const override {
    std::vector<float> scores;
    for (std::int64_t i = 0; i < count; ++i) {
      read(i);
      scores.push_back(i % 2 == 0 ? 0.9f : 0.1f);
    }
    return scores;
  }
  std::string name() const override { return "every second"; }
};

TEST_F(CurateCopies, AnyScorerMayJudgePictures) {
  const EverySecond scorer;
  options_.scorer = &scorer;
  options_.duplicates = false;
  const Result result = run(options_);
  const auto pictures = std::ssize(paths_);
  EXPECT_EQ(result.report.kept, pictures / 2 * 2);
}

TEST_F(Curate, ScoresMayStandInTheList) {
  folder_.write("pairs.tsv",
                "image\tcaption\twidth\theight\tpunsafe\n"
                "a\tone two three\t300\t300\t0.7\nb\tone two three\t300\t300\t0.5\nc\tone two three\t300\t300\tx\n");
  CurateOptions options;
  options.inputs = {folder_ / "pairs.tsv"};
  options.output = folder_ / "kept.tsv";
  options.columns.unsafe = "punsafe";
  EXPECT_EQ(curate(options).kept, 2);
}

TEST_F(Curate, LanguagesAreGuessedOrRead) {
  folder_.write("pairs.tsv",
                "image\tcaption\twidth\theight\tlang\n"
                "a\tthe house on the hill\t300\t300\tde\nb\tdas Haus auf dem Hügel\t300\t300\tde\n"
                "c\tred car 7\t300\t300\ten\n");
  CurateOptions options;
  options.inputs = {folder_ / "pairs.tsv"};
  options.output = folder_ / "kept.tsv";
  options.languages = {"de", "und"};
  options.language_column = "guess";
  EXPECT_EQ(curate(options).kept, 2);
  const Table kept = Table::read(options.output);
  EXPECT_EQ(kept.cell(0, kept.column("guess")), "de");
  EXPECT_EQ(kept.cell(1, kept.column("guess")), "und");
  options.columns.language = "lang";
  options.languages = {"de"};
  EXPECT_EQ(curate(options).kept, 2);
}

TEST_F(Curate, QueryListHasFrequentWordsAndPairsThatBelongTogether) {
  const std::vector<Pair> pairs = random_pairs(8'000, 10);
  folder_.write("pairs.tsv", tsv(pairs));
  std::map<std::string, double> counts;
  double words = 0, bigrams = 0;
  for (const Pair& pair : pairs) {
    if (pair.malformed) continue;
    for (const std::string& ngram : ngrams_of(words_of(pair.caption))) {
      ++counts[ngram];
      (ngram.find(' ') == std::string::npos ? words : bigrams) += 1;
    }
  }
  QueryListOptions options;
  options.inputs = {folder_ / "pairs.tsv"};
  options.output = folder_ / "queries.txt";
  options.memory = 1 << 20;
  options.min_count = 20;
  options.min_pmi = 1;
  std::vector<std::pair<double, std::string>> expected;
  for (const auto& [ngram, count] : counts) {
    const std::size_t space = ngram.find(' ');
    double pmi = 100;
    if (space != std::string::npos)
      pmi = std::log2(count / bigrams /
                      (counts[ngram.substr(0, space)] / words * counts[ngram.substr(space + 1)] / words));
    if (count >= 20 && pmi >= 1) expected.emplace_back(-count, ngram);
  }
  std::sort(expected.begin(), expected.end());
  std::string text;
  for (const auto& [count, ngram] : expected) text += concat(ngram, "\t", static_cast<std::int64_t>(-count), "\n");
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    const QueryListReport report = build_query_list(options);
    EXPECT_EQ(io::read_file(options.output), text);
    EXPECT_EQ(report.words + report.bigrams, std::ssize(expected));
    EXPECT_GT(report.bigrams, 5);
  }
  options.max_queries = 3;
  build_query_list(options);
  EXPECT_EQ(split_lines(io::read_file(options.output)).size(), 3u);
  EXPECT_FALSE(fs::exists(options.output + ".work"));
}

// Shards of random pictures: `sizes` samples each.
class CurateShards : public Curate {
 protected:
  void write_shards(const std::vector<int>& sizes) {
    Rng rng(12);
    int number = 0;
    fs::create_directories(folder_ / "in");
    for (std::size_t shard = 0; shard < sizes.size(); ++shard) {
      io::TarWriter tar(folder_ / concat("in/", shard, ".tar"));
      for (int i = 0; i < sizes[shard]; ++i, ++number) {
        const int side = number % 4 == 0 ? 20 : 60;
        tar.add(concat(number, ".png"), image::encode_png(random_picture(rng, side)));
        tar.add(concat(number, ".txt"), number % 5 == 0 ? "short" : concat("picture number ", number));
        tar.add(concat(number, ".more.json"), "{}");
      }
      tar.commit();
    }
    options_.inputs = {folder_ / "in"};
    options_.output = folder_ / "out";
    options_.dropped = folder_ / "dropped.jsonl";
    options_.min_side = 30;
  }
  std::vector<std::string> names(const std::string& shard) const {
    std::vector<std::string> found;
    for (io::TarReader tar(shard); tar.next();) found.push_back(tar.name());
    return found;
  }

  CurateOptions options_;
};

TEST_F(CurateShards, BecomeShardsOfWhatIsLeft) {
  write_shards({7, 0, 30, 13});
  const Result result = [&] {
    Result r;
    r.report = curate(options_);
    return r;
  }();
  EXPECT_EQ(result.report.rows, 50);
  EXPECT_EQ(result.report.kept, 30);  // neither every fourth nor every fifth
  int number = 0;
  for (const auto& [shard, count] : {std::pair{0, 7}, {1, 0}, {2, 30}, {3, 13}}) {
    std::vector<std::string> expected;
    for (int i = 0; i < count; ++i, ++number) {
      if (number % 4 == 0 || number % 5 == 0) continue;
      for (const char* suffix : {".png", ".txt", ".more.json"}) expected.push_back(concat(number, suffix));
    }
    EXPECT_EQ(names(folder_ / concat("out/", shard, ".tar")), expected);
  }
  EXPECT_EQ(split_lines(io::read_file(options_.dropped)).size(), 20u);
  EXPECT_FALSE(fs::exists(options_.output + ".work"));
}

TEST_F(CurateShards, CopiesAreFoundInThem) {
  write_shards({10, 10});
  io::TarWriter tar(folder_ / "in/2.tar");
  io::TarReader first(folder_ / "in/0.tar");
  first.next(), first.next(), first.next(), first.next();
  EXPECT_EQ(first.name(), "1.png");
  tar.add("copy.png", first.read());
  tar.add("copy.txt", "a copy of it");
  tar.commit();
  options_.duplicates = true;
  const CurateReport report = curate(options_);
  EXPECT_EQ(report.rows, 21);
  EXPECT_TRUE(names(folder_ / "out/2.tar").empty());
}

TEST_F(CurateShards, OfDamagedOnesTheBeginningIsUsed) {
  write_shards({10, 10});
  const std::string bytes = io::read_file(folder_ / "in/0.tar");
  folder_.write("in/0.tar", bytes.substr(0, bytes.size() / 2));
  const CurateReport report = curate(options_);
  EXPECT_EQ(report.damaged_shards, 1);
  EXPECT_GE(report.rows, 14);
  EXPECT_LT(report.rows, 17);
  EXPECT_GT(names(folder_ / "out/0.tar").size(), 3u);
}

TEST_F(CurateShards, WithoutPictureOrCaptionAreCounted) {
  write_shards({3});
  io::TarWriter tar(folder_ / "in/1.tar");
  tar.add("a.txt", "no picture at all");
  tar.add("b.png", image::encode_png(image::Image(60, 60)));
  tar.add("c.png", "this is no picture");
  tar.add("c.txt", "this is no picture");
  tar.commit();
  const CurateReport report = curate(options_);
  std::map<std::string, std::int64_t> dropped;
  for (const FilterReport& filter : report.filters) dropped[filter.name] = filter.dropped;
  EXPECT_EQ(dropped["no_picture"], 1);
  EXPECT_EQ(dropped["empty_caption"], 1);
  EXPECT_EQ(dropped["unreadable"], 1);
}

TEST_F(CurateShards, WhatTheyCannotDoIsRefused) {
  write_shards({2});
  options_.language_column = "lang";
  EXPECT_NE(error_of([&] { curate(options_); }).find("neither splits nor columns"), std::string::npos);
  options_.language_column = "";
  options_.output = folder_ / "in";
  EXPECT_NE(error_of([&] { curate(options_); }).find("is both input and output"), std::string::npos);
}

}  // namespace
}  // namespace fovea::data
