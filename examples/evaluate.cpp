// Scores a trained model.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/data/labelled_pictures.h"
#include "fovea/data/lines.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/eval/zero_shot.h"
#include "fovea/models/clip_folder.h"
#include "fovea/train/metrics_log.h"

namespace {

using namespace fovea;

struct Options {
  std::string model, task = "retrieval", data;
  std::vector<std::string> splits;
  data::DatasetOptions columns;
  std::string templates = "seven", classes;
  bool json = false;
};

void print_direction(const char* name, const eval::RetrievalScores& s) {
  std::printf("  %-14s R@1 %5.1f   R@5 %5.1f   R@10 %5.1f   median rank %lld   (%lld queries, %lld candidates)\n", name,
              s.r1, s.r5, s.r10, static_cast<long long>(s.median_rank), static_cast<long long>(s.queries),
              static_cast<long long>(s.candidates));
}

void score_retrieval(Options options) {
  const models::ClipFolder clip = models::load_clip(options.model);
  data::DatasetOptions& columns = options.columns;
  if (options.splits.empty()) {
    options.splits = columns.split_column.empty() ? std::vector<std::string>{""}
                                                  : data::split_names(options.data, columns.split_column);
  }
  std::vector<train::SplitScores> scores;
  for (const std::string& split : options.splits) {
    columns.split = split;
    const data::ImageTextDataset dataset(options.data, columns);
    const eval::Retrieval r = eval::clip_retrieval({clip.model, clip.tokenizer, clip.transform}, dataset);
    scores.push_back({split.empty() ? "all" : split, r.i2t, r.t2i});
  }
  if (options.json) return void(std::printf("%s\n", train::evaluation_line(0, scores).c_str()));
  for (const train::SplitScores& s : scores) {
    std::printf("%s\n", s.split.c_str());
    print_direction("image to text", s.i2t);
    print_direction("text to image", s.t2i);
  }
}

std::vector<std::string> read_templates(const std::string& name) {
  if (name == "one") return eval::simple_template();
  return name == "seven" ? eval::seven_templates() : eval::load_templates(name);
}

// The class that the pictures of a class are most often mistaken for; -1 when there is none.
std::int64_t worst_confusion(const eval::ClassificationScores& scores, std::int64_t index, std::int64_t classes) {
  std::int64_t worst = -1, most = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const std::int64_t count = scores.confusion[static_cast<std::size_t>(index * classes + c)];
    if (c != index && count > most) worst = c, most = count;
  }
  return worst;
}

void print_zero_shot(const eval::ZeroShotSplit& split, const std::vector<std::string>& classes) {
  const eval::ClassificationScores& s = split.scores;
  const auto count = static_cast<std::int64_t>(classes.size());
  std::printf("%s\n  top-1 %.1f   top-5 %.1f   mean of classes %.1f   (%lld pictures, %zu classes, chance %.1f)\n\n",
              split.split.c_str(), s.top1, s.top5, s.mean_per_class, static_cast<long long>(s.pictures), classes.size(),
              100 / static_cast<double>(count));
  std::printf("  %-24s %8s %8s   %s\n", "class", "pictures", "right", "most often taken for");
  for (std::int64_t c = 0; c < count; ++c) {
    std::int64_t pictures = 0;
    for (std::int64_t k = 0; k < count; ++k) pictures += s.confusion[static_cast<std::size_t>(c * count + k)];
    const std::int64_t worst = worst_confusion(s, c, count);
    const std::string mistaken = worst < 0 ? ""
                                           : concat(classes[static_cast<std::size_t>(worst)], " (",
                                                    s.confusion[static_cast<std::size_t>(c * count + worst)], ")");
    if (pictures == 0) continue;
    std::printf("  %-24s %8lld %7.1f%%   %s\n", classes[static_cast<std::size_t>(c)].c_str(),
                static_cast<long long>(pictures), eval::class_accuracy(s, c), mistaken.c_str());
  }
}

void score_zero_shot(Options options) {
  const models::ClipFolder clip = models::load_clip(options.model);
  const eval::ClipEncoder encoder{clip.model, clip.tokenizer, clip.transform};
  std::vector<std::string> classes;
  if (!options.classes.empty()) classes = data::read_lines(options.classes);
  if (options.splits.empty()) options.splits = {""};
  const std::vector<std::string> templates = read_templates(options.templates);
  std::vector<eval::ZeroShotSplit> scores;
  for (const std::string& split : options.splits) {
    options.columns.split = split;
    const data::LabelledPictures labelled(options.data, options.columns, classes);
    FOVEA_CHECK(scores.empty() || classes == labelled.classes(), "[evaluate] split ", split,
                " has other classes than the split before\nhint: name all classes with --classes FILE");
    classes = labelled.classes();
    const Tensor classifier = eval::zero_shot_classifier(encoder, classes, templates);
    const eval::EmbeddedPictures pictures = eval::embed_pictures(
        encoder, labelled.size(), [&](std::int64_t i) { return labelled.picture(i, clip.transform.alpha); });
    FOVEA_CHECK(!pictures.kept.empty(), "[evaluate] none of the ", labelled.size(),
                " pictures could be read; the first: ", pictures.left_out.front().reason);
    if (!pictures.left_out.empty()) log::warning(eval::left_out_message(pictures));
    std::vector<std::int64_t> labels;
    for (const std::int64_t i : pictures.kept) labels.push_back(labelled.labels()[static_cast<std::size_t>(i)]);
    scores.push_back({split.empty() ? "all" : split, eval::zero_shot_scores(pictures.rows, classifier, labels)});
  }
  if (options.json) return void(std::printf("%s\n", eval::zero_shot_line(scores, classes).c_str()));
  for (const eval::ZeroShotSplit& split : scores) print_zero_shot(split, classes);
}

struct Task {
  const char* name;
  void (*score)(Options options);
};
constexpr Task tasks[]{{"retrieval", score_retrieval}, {"zero_shot", score_zero_shot}};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Scores a trained model on a data set.");
  Options options;
  int threads = 0;
  std::vector<std::string> names;
  for (const Task& task : tasks) names.emplace_back(task.name);
  app.add_option("--model", options.model, "model folder")->required()->type_name("DIR");
  app.add_option("--task", options.task, "what to score")->check(CLI::IsMember(names))->capture_default_str();
  app.add_option(
         "--data", options.data,
         "data set: a table, a folder with one, or a folder of pictures; for zero_shot also a folder with a folder "
         "for each class, or one with idx files")
      ->required()
      ->type_name("PATH");
  app.add_option("--split", options.splits, "splits to score; default: every one (zero_shot: all rows together)")
      ->type_name("NAME");
  app.add_option("--image-column", options.columns.image_column, "column of picture files, from the table's folder")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--caption-column", options.columns.text_columns.front().name,
                 "column of captions; of class names for zero_shot")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--split-column", options.columns.split_column,
                 "column of splits; '' for a table without: all rows are scored")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--templates", options.templates,
                 "zero_shot: one (\"a photo of a {}.\"), seven (CLIP's subset), or a file with one a line")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--classes", options.classes,
                 "zero_shot: file with the names of the classes, one a line; default: those of the data")
      ->type_name("FILE");
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_flag("--json", options.json, "print one line of metrics.jsonl's kind");
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) set_num_threads(threads);
    for (const Task& task : tasks) {
      if (options.task == task.name) task.score(options);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
