// Scores a trained model.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/core/parallel.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/models/clip_folder.h"
#include "fovea/train/metrics_log.h"

namespace {

void print_direction(const char* name, const fovea::eval::RetrievalScores& s) {
  std::printf("  %-14s R@1 %5.1f   R@5 %5.1f   R@10 %5.1f   median rank %lld   (%lld queries, %lld candidates)\n", name,
              s.r1, s.r5, s.r10, static_cast<long long>(s.median_rank), static_cast<long long>(s.queries),
              static_cast<long long>(s.candidates));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Scores a trained model on a data set.");
  std::string folder, task = "retrieval", path;
  std::vector<std::string> splits;
  fovea::data::DatasetOptions options;
  bool json = false;
  int threads = 0;
  app.add_option("--model", folder, "model folder")->required()->type_name("DIR");
  app.add_option("--task", task, "what to score")->check(CLI::IsMember({"retrieval"}));
  app.add_option("--data", path, "data set: a folder with captions.tsv, or a table")->required()->type_name("DIR");
  app.add_option("--split", splits, "splits to score; default: every one")->type_name("NAME");
  app.add_option("--image-column", options.image_column, "column of picture files, from the table's folder")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--caption-column", options.text_columns.front().name, "column of captions")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--split-column", options.split_column,
                 "column of splits; '' for a table without: all rows are scored")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_flag("--json", json, "print one line of metrics.jsonl's kind");
  CLI11_PARSE(app, argc, argv);
  try {
    using namespace fovea;
    if (threads > 0) set_num_threads(threads);
    const models::ClipFolder clip = models::load_clip(folder);
    if (splits.empty()) {
      splits =
          options.split_column.empty() ? std::vector<std::string>{""} : data::split_names(path, options.split_column);
    }
    std::vector<train::SplitScores> scores;
    for (const std::string& split : splits) {
      options.split = split;
      const data::ImageTextDataset dataset(path, options);
      const eval::Retrieval r = eval::clip_retrieval({clip.model, clip.tokenizer, clip.transform}, dataset);
      scores.push_back({split.empty() ? "all" : split, r.i2t, r.t2i});
    }
    if (json) {
      std::printf("%s\n", train::evaluation_line(0, scores).c_str());
      return 0;
    }
    for (const train::SplitScores& s : scores) {
      std::printf("%s\n", s.split.c_str());
      print_direction("image to text", s.i2t);
      print_direction("text to image", s.t2i);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
