#include "data/curation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <system_error>

#include "data/shard_pairs.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/shard_list.h"
#include "fovea/io/file.h"
#include "io/json.h"

namespace fovea::data {
namespace detail {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t least_memory = std::int64_t{1} << 20;

std::string folder_of(const std::string& path) {
  const fs::path folder = fs::absolute(path).parent_path();
  return folder.string();
}

void check(const CurateOptions& o) {
  const auto check_limit = [](const char* name, auto value) {
    FOVEA_CHECK(value >= 0, "[curate] ", name, " is ", value, ", expected at least 0");
  };
  check_limit("min_side", o.min_side);
  check_limit("max_aspect", o.max_aspect);
  check_limit("max_captions", o.max_captions);
  check_limit("max_images", o.max_images);
  check_limit("top_ngrams", o.top_ngrams);
  check_limit("min_words", o.min_words);
  check_limit("max_words", o.max_words);
  check_limit("color_distance", o.color_distance);
  FOVEA_CHECK(o.memory >= least_memory, "[curate] memory is ", o.memory, " bytes, expected at least ", least_memory);
  FOVEA_CHECK(o.hash_distance >= 0 && o.hash_distance <= 15, "[curate] hash_distance is ", o.hash_distance,
              ", expected 0 to 15 of 256 bits");
  FOVEA_CHECK(o.max_words == 0 || o.max_words >= o.min_words, "[curate] max_words is ", o.max_words,
              ", expected at least min_words, which is ", o.min_words);
  FOVEA_CHECK(o.max_pairs >= 1, "[curate] max_pairs is ", o.max_pairs, ", expected at least 1");
  FOVEA_CHECK(!o.output.empty(), "[curate] no output is named");
  FOVEA_CHECK(o.query_column.empty() || !o.queries.empty(), "[curate] query_column is \"", o.query_column,
              "\", but there is no file of queries");
}

}  // namespace

Curation::Curation(const CurateOptions& options)
    : options_((check(options), options)),
      work_(options.work.empty() ? options.output + ".work" : options.work),
      list_(options.inputs, options.columns, folder_of(options.output), block_bytes()) {
  FOVEA_CHECK(options_.split.empty() || list_.has(Cell::split), "[curate] split \"", options_.split,
              "\" is asked for, but the list has no column \"", options_.columns.split, "\"");
  const fs::path dropped = options_.dropped;
  FOVEA_CHECK(dropped.empty() || folder_of(options_.dropped) == folder_of(options_.output), "[curate] ",
              options_.dropped, " is not in the folder of ", options_.output,
              ", expected both side by side: picture paths start from there");
  for (const std::string& input : options_.inputs) {
    std::error_code unknown;
    FOVEA_CHECK(!fs::equivalent(input, options_.output, unknown), "[curate] ", input, " is both input and output");
  }
  std::error_code error;
  fs::create_directories(work_, error);
  FOVEA_CHECK(!error, "[curate] cannot make folder ", work_, ": ", error.message());
  load_state();
}

std::int64_t Curation::memory_part(double share) const {
  return std::max<std::int64_t>(static_cast<std::int64_t>(share * static_cast<double>(options_.memory)), 1 << 12);
}

// A group of 4 blocks a thread, with what becomes of them, takes about a fifth of the memory.
std::int64_t Curation::block_bytes() const {
  return std::clamp<std::int64_t>(options_.memory / (64 * num_threads()), 1 << 12, 1 << 20);
}

std::size_t Curation::group_blocks() { return static_cast<std::size_t>(4 * num_threads()); }

std::string Curation::fingerprint() const {
  const CurateOptions& o = options_;
  std::string text = concat(
      list_.fingerprint(), o.output, "\n", o.dropped, "\n", o.columns.image, "\n", o.columns.caption, "\n",
      o.columns.width, "\n", o.columns.height, "\n", o.columns.split, "\n", o.columns.language, "\n", o.columns.unsafe,
      "\n", o.split, "\n", o.min_side, " ", o.max_aspect, " ", o.max_captions, " ", o.max_unsafe, " ", o.max_images,
      " ", o.top_ngrams, " ", o.min_words, " ", o.max_words, " ", o.duplicates, " ", o.hash_distance, " ",
      o.color_distance, " ", o.max_pairs, " ", o.seed, "\n", o.language_column, "\n", o.query_column, "\n");
  for (const std::string& language : o.languages) text += language + " ";
  for (const TestPictures& test : o.tests) {
    text += test.path + "\n";
    for (const std::string& split : test.splits) text += split + " ";
  }
  if (o.scorer != nullptr) text += o.scorer->name();
  if (!o.queries.empty()) text += io::read_file(o.queries);
  const Hash128 hash = hash128(text.data(), text.size());
  return concat(hash.high, "-", hash.low);
}

void Curation::load_state() {
  const std::string path = file("state.json");
  if (!fs::exists(path)) return;
  const Json json = io::detail::parse_json<Json>(io::read_file(path), "[curate] " + path);
  FOVEA_CHECK(
      json.at("fingerprint") == fingerprint(), "[curate] ", work_,
      " holds the work of a run with other options or other input\nhint: delete the folder, or name another one "
      "with --work");
  json.at("finished").get_to(finished_);
  json.at("flags").get_to(flags_);
  json.at("first_malformed").get_to(first_malformed_);
  json.at("has_unsized").get_to(has_unsized_);
  json.at("rows").get_to(rows_);
  json.at("distinct_ngrams").get_to(distinct_ngrams_);
  json.at("ngram_min_count").get_to(ngram_min_count_);
  json.at("ngrams_are_kept").get_to(ngrams_are_kept_);
  json.at("queries").get_to(queries_);
  json.at("queries_matched").get_to(queries_matched_);
  json.at("queries_full").get_to(queries_full_);
  json.at("ngram_runs").get_to(ngram_runs_);
  json.at("image_runs").get_to(image_runs_);
  json.at("caption_runs").get_to(caption_runs_);
  resumed_ = finished_;
  load_blocks();
}

void Curation::save_state() {
  Json json;
  json["fingerprint"] = fingerprint();
  json["finished"] = finished_;
  json["flags"] = flags_;
  json["first_malformed"] = first_malformed_;
  json["has_unsized"] = has_unsized_;
  json["rows"] = rows_;
  json["distinct_ngrams"] = distinct_ngrams_;
  json["ngram_min_count"] = ngram_min_count_;
  json["ngrams_are_kept"] = ngrams_are_kept_;
  json["queries"] = queries_;
  json["queries_matched"] = queries_matched_;
  json["queries_full"] = queries_full_;
  json["ngram_runs"] = ngram_runs_;
  json["image_runs"] = image_runs_;
  json["caption_runs"] = caption_runs_;
  io::write_file(file("state.json"), json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void Curation::save_blocks() const {
  OutputFile blocks(file("blocks"));
  blocks.write(std::span<const PairBlock>(blocks_));
  blocks.close();
}

void Curation::load_blocks() {
  const io::detail::Input blocks("curate", file("blocks"));
  blocks_.resize(static_cast<std::size_t>(record_count<PairBlock>(blocks)));
  blocks.read(0, blocks_.data(), blocks.size());
}

void Curation::run_pass(const char* name, void (Curation::*pass)()) {
  if (std::find(finished_.begin(), finished_.end(), name) != finished_.end()) {
    log::info("curate: ", name, " was finished earlier");
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  (this->*pass)();
  finished_.push_back(name);
  save_state();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  log::info("curate: ", name, ", ", std::round(seconds.count() * 100) / 100, " s");
}

CurateReport Curation::run() {
  run_pass("scan", &Curation::scan);
  run_pass("count", &Curation::count);
  run_pass("mark", &Curation::mark);
  if (opens_pictures()) run_pass("pictures", &Curation::pictures);
  if (finds_copies()) run_pass("copies", &Curation::copies);
  if (!options_.queries.empty()) run_pass("balance", &Curation::balance);
  CurateReport report = write();
  report.resumed = resumed_;
  if (!options_.keep_work) fs::remove_all(work_);
  return report;
}

void Curation::for_each_block(const std::string& writes, FunctionRef<void(RowBlock&, std::int64_t)> map,
                              FunctionRef<void(RowBlock&, std::int64_t)> done) {
  const io::detail::Input rows("curate", file("rows")), old_flags("curate", file(flags_));
  std::optional<OutputFile> new_flags;
  if (!writes.empty()) new_flags.emplace(file(writes));
  std::vector<RowBlock> group(group_blocks());
  for (std::size_t first = 0; first < blocks_.size(); first += group.size()) {
    const std::size_t count = std::min(group.size(), blocks_.size() - first);
    parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t slot = begin; slot < end; ++slot) {
        RowBlock& block = group[static_cast<std::size_t>(slot)];
        read_block(blocks_[first + static_cast<std::size_t>(slot)], rows, old_flags, block);
        map(block, slot);
      }
    });
    for (std::size_t slot = 0; slot < count; ++slot) {
      done(group[slot], static_cast<std::int64_t>(slot));
      if (new_flags) new_flags->write(std::span<const Flags>(group[slot].flags));
    }
  }
  if (!new_flags) return;
  new_flags->close();
  flags_ = writes;
}

void Curation::read_block(const PairBlock& from, const io::detail::Input& rows, const io::detail::Input& flags,
                          RowBlock& block) {
  block.block = &from;
  block.bytes = rows.read(from.spill_begin, from.spill_end - from.spill_begin);
  block.flags.resize(static_cast<std::size_t>(from.rows));
  constexpr auto flag_bytes = static_cast<std::int64_t>(sizeof(Flags));
  flags.read(from.first_row * flag_bytes, block.flags.data(), from.rows * flag_bytes);
  block.rows.clear();
  for (const char* at = block.bytes.data(); std::ssize(block.rows) < from.rows;) {
    Row row;
    std::uint32_t length = 0;
    std::memcpy(&row.image, at, sizeof row.image);
    std::memcpy(&length, at + sizeof row.image, sizeof length);
    at += sizeof row.image + sizeof length;
    row.words = {at, length};
    at += length;
    block.rows.push_back(row);
  }
}

}  // namespace detail

PictureScorer::~PictureScorer() = default;

CurateReport curate(const CurateOptions& options) {
  if (!options.inputs.empty() && names_shards(options.inputs.front())) return detail::curate_shards(options);
  return detail::Curation(options).run();
}

}  // namespace fovea::data
