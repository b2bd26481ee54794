// Writes a data set as webdataset shards: tar archives of pictures with their captions.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "fovea/core/log.h"
#include "fovea/core/rng.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/image/decode.h"
#include "fovea/io/tar.h"

namespace {

using namespace fovea;

struct Options {
  std::string data = "data/emoji_clipart", output;
  std::vector<std::string> captions{"caption"};
  std::string type = "auto";
  data::DatasetOptions dataset;
  std::int64_t samples = 1000;
  std::uint64_t seed = 0;
};

std::string digits(std::int64_t number, int width) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*lld", width, static_cast<long long>(number));
  return text;
}

// All texts, those of one column as a list when there are several.
std::string texts_json(const data::Sample& sample, const std::vector<std::string>& columns) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const data::Text& text : sample.texts) {
    if (text.text.empty()) continue;
    nlohmann::ordered_json& place = json[columns[static_cast<std::size_t>(text.column)]];
    if (place.is_string()) place = nlohmann::ordered_json::array({place});
    if (place.is_array()) {
      place.push_back(text.text);
    } else {
      place = text.text;
    }
  }
  return json.dump();
}

bool is_jpeg(const std::string& picture) { return picture.starts_with("\xFF\xD8"); }

void run(Options& options) {
  options.dataset.type = data::parse_dataset_type(options.type);
  options.dataset.text_columns.clear();
  for (const std::string& column : options.captions) options.dataset.text_columns.push_back({column});
  const data::ImageTextDataset dataset(options.data, options.dataset);
  std::vector<std::int64_t> order(static_cast<std::size_t>(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  Rng(options.seed).shuffle(order);
  std::filesystem::create_directories(options.output);
  std::optional<io::TarWriter> shard;
  std::int64_t written = 0, left_out = 0, shards = 0;
  for (const std::int64_t i : order) {
    std::string picture;
    try {
      picture = image::read_picture_file(dataset[i].image_path);
    } catch (const Error& error) {
      if (left_out++ == 0) log::warning("left out: ", error.what());
      continue;
    }
    if (!shard) shard.emplace(options.output + "/" + digits(shards, 5) + ".tar");
    const std::string key = digits(shards, 5) + digits(written % options.samples, 4);
    shard->add(key + (is_jpeg(picture) ? ".jpg" : ".png"), picture);
    shard->add(key + ".txt", dataset.eval_text(i));
    shard->add(key + ".json", texts_json(dataset[i], options.captions));
    if (++written % options.samples == 0) {
      shard->commit();
      shard.reset();
      ++shards;
    }
  }
  if (shard) {
    shard->commit();
    ++shards;
  }
  std::printf("%lld samples in %lld shards, %lld left out\n", static_cast<long long>(written),
              static_cast<long long>(shards), static_cast<long long>(left_out));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a data set as webdataset shards, in random order.");
  Options options;
  app.add_option("--data", options.data, "data set: a table, a folder, or captions in COCO's JSON")
      ->capture_default_str()
      ->type_name("PATH");
  app.add_option("--output", options.output, "folder of the shards 00000.tar, 00001.tar, ...")
      ->required()
      ->type_name("DIR");
  app.add_option("--samples", options.samples, "samples of one shard")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--split", options.dataset.split, "only this split")->type_name("NAME");
  app.add_option("--split-column", options.dataset.split_column, "column of the splits' names")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--csv-img-key", options.dataset.image_column, "column of the pictures' paths")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--csv-caption-key", options.captions,
                 "columns of captions: the first becomes the txt member, all of them keys of the json member")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--dataset-type", options.type, "auto, csv (any table), coco, folder")
      ->capture_default_str()
      ->type_name("TYPE");
  app.add_option("--image-root", options.dataset.image_root, "folder that picture paths start from")->type_name("DIR");
  app.add_option("--join", options.dataset.join, "a second table with further columns")->type_name("FILE");
  app.add_option("--join-column", options.dataset.join_column, "the column that both tables have")->type_name("NAME");
  app.add_option("--seed", options.seed, "of the order")->capture_default_str()->type_name("N");
  app.footer(
      "  write_shards --split train --output out/shards\n"
      "  train_clip --train-data out/shards --output out/streamed\n");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
