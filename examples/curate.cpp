// Chooses the pairs to train on from a long and noisy list; `curate queries` makes the list of queries to balance by.
#include "fovea/data/curate.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/data/lines.h"
#include "fovea/eval/prompt_scorer.h"

namespace {

using namespace fovea;

struct Options {
  data::CurateOptions curate;
  data::QueryListOptions queries;
  std::string memory = "1G", unsafe_model, unsafe_prompts, safe_prompts;
  std::vector<std::string> tests, test_splits;
  int threads = 0;
  bool json = false;
};

// 512M, 2G, 1500000000.
std::int64_t parse_bytes(const std::string& text) {
  std::size_t end = 0;
  double value = 0;
  try {
    value = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  const std::string unit = text.substr(end);
  const double factor = unit == "K" ? 0x1p10 : unit == "M" ? 0x1p20 : unit == "G" ? 0x1p30 : unit.empty() ? 1 : 0;
  FOVEA_CHECK(end > 0 && factor > 0 && value > 0 && value * factor < 0x1p62, "[curate] memory is \"", text,
              "\", expected a number of bytes, or one with K, M or G");
  return static_cast<std::int64_t>(value * factor);
}

void print(const data::CurateReport& report) {
  std::printf("%-15s %-45s %12s %12s\n", "filter", "keeps", "would drop", "dropped");
  for (const data::FilterReport& filter : report.filters) {
    std::printf("%-15s %-45s %12lld %12lld\n", filter.name.c_str(), filter.rule.c_str(),
                static_cast<long long>(filter.found), static_cast<long long>(filter.dropped));
  }
  std::printf("%lld of %lld rows kept", static_cast<long long>(report.kept), static_cast<long long>(report.rows));
  if (report.passed > 0) std::printf(", %lld of other splits passed through", static_cast<long long>(report.passed));
  std::printf("\n");
  if (report.queries > 0)
    std::printf("%lld queries, %lld with pairs, %lld full\n", static_cast<long long>(report.queries),
                static_cast<long long>(report.queries_matched), static_cast<long long>(report.queries_full));
  if (report.repaired > 0)
    std::printf("%lld captions have bytes that are not UTF-8\n", static_cast<long long>(report.repaired));
  if (report.damaged_shards > 0)
    std::printf("%lld shards are damaged; what stands before the damage was used\n",
                static_cast<long long>(report.damaged_shards));
  if (!report.first_malformed.empty()) std::printf("first malformed row: %s\n", report.first_malformed.c_str());
}

void run(Options& options) {
  data::CurateOptions& curate = options.curate;
  FOVEA_CHECK(!curate.output.empty(), "[curate] no output is named, expected --output FILE");
  curate.memory = parse_bytes(options.memory);
  for (const std::string& path : options.tests) curate.tests.push_back({path, options.test_splits});
  std::optional<eval::PromptScorer> scorer;
  if (!options.unsafe_model.empty()) {
    FOVEA_CHECK(!options.unsafe_prompts.empty() && !options.safe_prompts.empty(),
                "[curate] --unsafe-model needs --unsafe-prompts and --safe-prompts: files with one prompt a line");
    scorer.emplace(options.unsafe_model, data::read_lines(options.unsafe_prompts),
                   data::read_lines(options.safe_prompts));
    curate.scorer = &*scorer;
  }
  const data::CurateReport report = data::curate(curate);
  if (options.json) {
    std::printf("%s\n", data::to_json(report).c_str());
  } else {
    print(report);
  }
}

void run_queries(Options& options) {
  options.queries.memory = parse_bytes(options.memory);
  const data::QueryListReport report = data::build_query_list(options.queries);
  std::printf("%lld texts: %lld words and %lld bigrams\n", static_cast<long long>(report.texts),
              static_cast<long long>(report.words), static_cast<long long>(report.bigrams));
}

void add_columns(CLI::App& app, data::PairColumns& columns, std::string& split) {
  app.add_option("--image-column", columns.image, "column of picture files")->capture_default_str();
  app.add_option("--caption-column", columns.caption, "column of texts")->capture_default_str();
  app.add_option("--split-column", columns.split, "column of splits")->capture_default_str();
  app.add_option("--split", split, "rows of this split only; of `curate`, others pass through untouched");
}

void add_common(CLI::App& app, Options& options) {
  app.add_option("--memory", options.memory, "bytes for tables and sorting: 512M, 2G")->capture_default_str();
  app.add_option("--threads", options.threads, "threads; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber);
}

void add_options(CLI::App& app, Options& options) {
  data::CurateOptions& o = options.curate;
  app.add_option("input", o.inputs,
                 "lists of pairs, .tsv or .jsonl, or webdataset shards (a/{000..031}.tar), all of one kind")
      ->type_name("FILE");
  app.add_option("--output", o.output, "the kept rows, as they are; of shards, the folder for what is left of each")
      ->type_name("FILE");
  app.add_option("--dropped", o.dropped, "the other rows, with a column dropped_by; beside --output")
      ->type_name("FILE");
  app.add_option("--work", o.work, "folder of intermediate files; default: OUTPUT.work")->type_name("DIR");
  app.add_flag("--keep-work", o.keep_work, "leave that folder when all is done");
  app.add_flag("--json", options.json, "print the report as JSON");
  add_common(app, options);
  add_columns(app, o.columns, o.split);
  app.add_option("--width-column", o.columns.width, "column of widths; without it pictures are opened")
      ->capture_default_str();
  app.add_option("--height-column", o.columns.height, "column of heights")->capture_default_str();

  const char* images = "Pictures (ALIGN); 0 switches a filter off";
  app.add_option("--min-side", o.min_side, "the shorter side has more pixels")->capture_default_str()->group(images);
  app.add_option("--max-aspect", o.max_aspect, "longer by shorter side is less")->capture_default_str()->group(images);
  app.add_option("--max-captions", o.max_captions, "captions of one picture")->capture_default_str()->group(images);
  app.add_option("--unsafe-model", options.unsafe_model, "model folder that scores pictures by prompts")
      ->type_name("DIR")
      ->group(images);
  app.add_option("--unsafe-prompts", options.unsafe_prompts, "what to leave out, one prompt a line")
      ->type_name("FILE")
      ->group(images);
  app.add_option("--safe-prompts", options.safe_prompts, "what the others may show, one prompt a line")
      ->type_name("FILE")
      ->group(images);
  app.add_option("--unsafe-column", o.columns.unsafe, "column with scores of another program")->group(images);
  app.add_option("--max-unsafe", o.max_unsafe, "score, 0 to 1, up to which pictures stay")
      ->capture_default_str()
      ->group(images);

  const char* texts = "Captions (ALIGN); 0 switches a filter off";
  app.add_option("--max-images", o.max_images, "pictures that share a caption")->capture_default_str()->group(texts);
  app.add_option("--top-ngrams", o.top_ngrams, "uni- and bigrams that may occur: so many of the most frequent")
      ->capture_default_str()
      ->group(texts);
  app.add_option("--min-words", o.min_words, "words, at least")->capture_default_str()->group(texts);
  app.add_option("--max-words", o.max_words, "words, at most")->capture_default_str()->group(texts);
  app.add_option("--languages", o.languages, "languages to keep: en,de,...")->delimiter(',')->group(texts);
  app.add_option("--language-column", o.columns.language, "column of languages; without it they are guessed")
      ->group(texts);
  app.add_option("--add-language", o.language_column, "column to add, with the guessed language")->group(texts);

  const char* copies = "Copies, by perceptual hash";
  app.add_flag("--deduplicate", o.duplicates, "of pictures that look the same, keep the first")->group(copies);
  app.add_option("--test-set", options.tests, "pictures that must not be trained on: a table or folder")
      ->type_name("PATH")
      ->group(copies);
  app.add_option("--test-splits", options.test_splits, "splits of the test sets; default: all rows")
      ->delimiter(',')
      ->group(copies);
  app.add_option("--hash-distance", o.hash_distance, "bits of 256 in which copies may differ, at most 15")
      ->capture_default_str()
      ->group(copies);
  app.add_option("--color-distance", o.color_distance, "of 255, by which mean colours of a quarter may differ")
      ->capture_default_str()
      ->group(copies);

  const char* balance = "Balancing by queries (WIT)";
  app.add_option("--queries", o.queries, "file with one query a line; rows without any are dropped")
      ->type_name("FILE")
      ->group(balance);
  app.add_option("--max-pairs", o.max_pairs, "pairs of one query")->capture_default_str()->group(balance);
  app.add_option("--add-query", o.query_column, "column to add: the query that a pair was kept for")->group(balance);
  app.add_option("--seed", o.seed, "which pairs of a full query stay")->capture_default_str()->group(balance);
  app.footer(
      "  curate pairs.tsv --output kept.tsv --dropped dropped.tsv\n"
      "  curate queries pairs.tsv --output queries.txt\n"
      "  curate pairs.tsv --output kept.tsv --queries queries.txt --deduplicate --test-set test.tsv\n");
}

void add_queries_options(CLI::App& app, Options& options) {
  data::QueryListOptions& o = options.queries;
  app.add_option("input", o.inputs, "lists of pairs, or .txt files with one text a line")
      ->required()
      ->type_name("FILE");
  app.add_option("--output", o.output, "the list: QUERY, tab, COUNT")->required()->type_name("FILE");
  app.add_option("--min-count", o.min_count, "occurrences, at least")->capture_default_str();
  app.add_option("--min-pmi", o.min_pmi, "pointwise mutual information of pairs of words, at least, in bits")
      ->capture_default_str();
  app.add_option("--max-queries", o.max_queries, "queries, at most: the most frequent")->capture_default_str();
  add_common(app, options);
  add_columns(app, o.columns, o.split);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Chooses the pairs to train on from a long and noisy list.");
  Options options;
  add_options(app, options);
  CLI::App* queries = app.add_subcommand("queries", "Makes a list of queries: frequent words and pairs of words");
  add_queries_options(*queries, options);
  CLI11_PARSE(app, argc, argv);
  try {
    if (options.threads > 0) set_num_threads(options.threads);
    if (queries->parsed()) {
      run_queries(options);
    } else {
      run(options);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
