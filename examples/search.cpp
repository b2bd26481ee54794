// Finds pictures by a description or by another picture.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/data/folder_table.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/eval/gallery.h"
#include "fovea/eval/search_index.h"
#include "fovea/image/decode.h"
#include "fovea/models/clip_folder.h"

namespace {

using namespace fovea;
namespace fs = std::filesystem;

struct Options {
  std::string model, index, data, split, html;
  std::string image_column = "image", split_column = "split";
  std::vector<std::string> texts, pictures;
  std::int64_t top = 5;
  bool json = false;
};

struct Pictures {
  std::string root;
  std::vector<std::string> paths;  // from the root
};

// Every picture below a folder; or those that a table lists.
Pictures find_pictures(const Options& options) {
  FOVEA_CHECK(fs::exists(options.data), "[search] ", options.data, " does not exist, expected a folder or a table");
  const bool is_folder = fs::is_directory(options.data);
  const fs::path data = fs::canonical(options.data);
  const std::string root = is_folder ? data.string() : data.parent_path().string();
  if (is_folder && options.split.empty()) return {root, data::list_pictures(root)};
  data::DatasetOptions table;
  table.image_column = options.image_column;
  table.text_columns = {{options.image_column}};  // captions are not needed
  table.split_column = options.split_column;
  table.split = options.split;
  const data::ImageTextDataset dataset(data.string(), table);
  Pictures pictures{root, {}};
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    pictures.paths.push_back(fs::path(dataset[i].image_path).lexically_relative(root).string());
  return pictures;
}

eval::ClipEncoder encoder(const models::ClipFolder& clip) { return {clip.model, clip.tokenizer, clip.transform}; }

// Brings the index up to date with the pictures, and saves it.
void update_index(const Options& options, const models::ClipFolder& clip, eval::SearchIndex& index) {
  const Pictures pictures = find_pictures(options);
  const bool was_empty = index.pictures.empty();
  const std::string before = index.fingerprint;
  const eval::IndexUpdate done = index.update(encoder(clip), pictures.root, pictures.paths);
  if (!was_empty && before != index.fingerprint) log::info("the index was made with another model: all is new");
  index.model_folder = fs::canonical(options.model).string();
  index.save(options.index);
  log::info(options.index, ": ", index.pictures.size(), " pictures, ", done.embedded, " embedded now, ", done.dropped,
            " dropped");
  for (const std::string& reason : done.left_out) log::warning(reason);
  if (!done.left_out.empty()) log::warning("pictures left out: ", done.left_out.size());
}

void check_model(const Options& options, const models::ClipFolder& clip, const eval::SearchIndex& index) {
  FOVEA_CHECK(eval::embedding_fingerprint(clip.model, clip.transform) == index.fingerprint, "[search] ", options.index,
              " was made with another model than ", options.model,
              " holds\nhint: bring it up to date by naming its pictures with --data");
}

// What a text's cosine with a picture tells: where the model learned a bias (SigLIP), the probability that they belong
// together; otherwise the cosine.
float text_score(const models::ClipModel& model, float cosine) {
  if (!model.logit_bias) return cosine;
  const objectives::Embeddings e = model.embeddings({}, {});
  return static_cast<float>(1 /
                            (1 + std::exp(-(e.scale().item() * static_cast<double>(cosine) + e.logit_bias.item()))));
}

std::vector<eval::SearchResult> collect_results(const models::ClipModel& model, const eval::SearchIndex& index,
                                                const Tensor& queries, const std::vector<std::string>& names,
                                                bool are_pictures, std::int64_t top) {
  std::vector<eval::SearchResult> results;
  for (const auto& hits : index.search(queries, top)) {
    eval::SearchResult result{names[results.size()], are_pictures, {}};
    for (const eval::Hit& hit : hits) {
      const std::string& path = index.pictures[static_cast<std::size_t>(hit.candidate)].path;
      const float score = are_pictures ? hit.score : text_score(model, hit.score);
      result.found.push_back({(fs::path(index.root) / path).string(), score});
    }
    results.push_back(std::move(result));
  }
  return results;
}

Tensor embed_query_pictures(const models::ClipFolder& clip, const std::vector<std::string>& paths) {
  const eval::EmbeddedPictures pictures = eval::embed_pictures(encoder(clip), std::ssize(paths), [&](std::int64_t i) {
    return image::read_image(paths[static_cast<std::size_t>(i)], {.alpha = clip.transform.alpha});
  });
  if (!pictures.left_out.empty()) fail(pictures.left_out.front().reason);
  return pictures.rows;
}

void print(const eval::SearchResult& result, const std::string& root, bool json) {
  if (json) return void(std::printf("%s\n", eval::to_json(result).c_str()));
  std::printf("%s\n", result.query.c_str());
  for (const eval::FoundPicture& found : result.found)
    std::printf("  %6.3f  %s\n", found.score, fs::path(found.path).lexically_relative(root).c_str());
}

std::vector<std::string> lines_of_stdin() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

void run(Options& options) {
  FOVEA_CHECK(!options.data.empty() || !options.texts.empty() || !options.pictures.empty(),
              "[search] nothing to do, expected pictures to index (--data) or a query");
  eval::SearchIndex index;
  const bool exists = fs::exists(options.index);
  FOVEA_CHECK(exists || !options.data.empty(), "[search] there is no index ", options.index,
              "\nhint: name the pictures to index with --data, and the model with --model");
  if (exists) index = eval::SearchIndex::load(options.index);
  if (options.model.empty()) options.model = index.model_folder;
  FOVEA_CHECK(!options.model.empty(), "[search] no model, expected --model DIR");
  const models::ClipFolder clip = models::load_clip(options.model);
  if (!options.data.empty()) update_index(options, clip, index);
  check_model(options, clip, index);
  if (options.texts == std::vector<std::string>{"-"}) options.texts = lines_of_stdin();
  std::vector<eval::SearchResult> results;
  if (!options.texts.empty())
    results = collect_results(clip.model, index, eval::embed_texts(encoder(clip), options.texts), options.texts, false,
                              options.top);
  if (!options.pictures.empty()) {
    const auto more = collect_results(clip.model, index, embed_query_pictures(clip, options.pictures), options.pictures,
                                      true, options.top);
    results.insert(results.end(), more.begin(), more.end());
  }
  for (const eval::SearchResult& result : results) print(result, index.root, options.json);
  if (!options.html.empty()) eval::write_gallery(options.html, results);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Finds pictures by a description or by another picture.");
  Options options;
  int threads = 0;
  app.add_option("query", options.texts, "descriptions; - reads them from standard input, one a line")
      ->type_name("TEXT");
  app.add_option("--image", options.pictures, "a picture to find similar ones for; may be given several times")
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--index", options.index, "the index, made or brought up to date when --data is given")
      ->required()
      ->type_name("FILE");
  app.add_option(
         "--data", options.data,
         "pictures to index: a folder with all its pictures, or a table; only new and changed ones are embedded")
      ->type_name("PATH");
  app.add_option("--model", options.model, "model folder; default: the one that the index was made with")
      ->type_name("DIR");
  app.add_option("--split", options.split, "index only this split of the table, or of the folder's table")
      ->type_name("NAME");
  app.add_option("--image-column", options.image_column, "the table's column of picture files")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--split-column", options.split_column, "the table's column of splits")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--top", options.top, "pictures to find for each query")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("K");
  app.add_flag("--json", options.json, "print one JSON object a query, with full paths");
  app.add_option("--html", options.html, "write a page that shows the pictures")->type_name("FILE");
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.footer(
      "  search --model out/quickstart/model --data PICTURES --index pictures.index\n"
      "  search --index pictures.index \"a red car\" \"a cat on a roof\" --top 10\n"
      "  search --index pictures.index --image car.png --html found.html\n");
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) set_num_threads(threads);
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
