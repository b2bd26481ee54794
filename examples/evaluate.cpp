// Scores a trained model.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/data/labelled_pictures.h"
#include "fovea/data/lines.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/eval/evaluation_page.h"
#include "fovea/eval/knn.h"
#include "fovea/eval/linear_probe.h"
#include "fovea/eval/robustness.h"
#include "fovea/eval/zero_shot.h"
#include "fovea/io/file.h"
#include "fovea/models/clip_folder.h"
#include "fovea/text/clean.h"
#include "fovea/train/metrics_log.h"

namespace {

using namespace fovea;
using Json = nlohmann::ordered_json;
using Labels = std::vector<std::int64_t>;

struct Options {
  std::string model, task = "retrieval", data;
  std::vector<std::string> splits, captions{"caption"};
  data::DatasetOptions columns;
  std::string templates = "seven", classes;
  bool every_caption = false, keep_equal = false;
  std::vector<std::string> languages;
  std::vector<std::string> train_splits, validation_splits;
  std::int64_t seed = 0;
  double c = 0, temperature = 0.07;
  std::vector<std::int64_t> ks;
  std::string source_column = "source", class_column;
  std::vector<std::string> held_out;
  std::string json, html;
};

// What a task found, for each way of telling it.
struct Outcome {
  std::string text, line;
  eval::EvaluationPage page;
};

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[400];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string percent(double value) { return format("%.1f", value); }

// {"step": 0, "eval": {SPLIT: {TASK: scores}}}.
std::string line_of(const std::string& split, const std::string& task, const Json& scores) {
  return Json{{"step", 0}, {"eval", {{split, {{task, scores}}}}}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string name_of(const std::string& split) { return split.empty() ? "all" : split; }

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string first_words(const eval::ClassificationScores& s, std::size_t classes) {
  return format("top-1 %.1f   top-5 %.1f   mean of classes %.1f   (%lld pictures, %zu classes, chance %.1f)", s.top1,
                s.top5, s.mean_per_class, static_cast<long long>(s.pictures), classes,
                100 / static_cast<double>(classes));
}

// Retrieval

std::string direction_line(const char* name, const eval::RetrievalScores& s) {
  return format(
      "  %-14s R@1 %5.1f   R@5 %5.1f   R@10 %5.1f   median rank %lld   mean rank %.1f   (%lld queries, %lld "
      "candidates)\n",
      name, s.r1, s.r5, s.r10, static_cast<long long>(s.median_rank), s.mean_rank, static_cast<long long>(s.queries),
      static_cast<long long>(s.candidates));
}

std::vector<std::string> direction_row(const std::string& split, const char* name, const eval::RetrievalScores& s) {
  return {split,
          name,
          percent(s.r1),
          percent(s.r5),
          percent(s.r10),
          std::to_string(s.median_rank),
          percent(s.mean_rank),
          std::to_string(s.queries),
          std::to_string(s.candidates)};
}

// One split in each language: pictures are embedded once, and look for the texts in that language alone.
std::vector<train::SplitScores> score_languages(const models::ClipFolder& clip, const Options& options) {
  const data::ImageTextDataset dataset(options.data, options.columns);
  const eval::ClipEncoder encoder{clip.model, clip.tokenizer, clip.transform};
  const eval::EmbeddedPictures pictures = eval::embed_pictures(encoder, dataset.size(), [&](std::int64_t i) {
    return image::read_image(dataset[i].image_path, {.alpha = clip.transform.alpha});
  });
  FOVEA_CHECK(!pictures.kept.empty(), "[evaluate] none of the ", dataset.size(),
              " pictures could be read; the first: ", pictures.left_out.front().reason);
  if (!pictures.left_out.empty()) log::warning(eval::left_out_message(pictures));
  std::vector<train::SplitScores> scores;
  for (const std::string& language : options.languages.empty() ? dataset.languages() : options.languages) {
    std::vector<std::vector<std::string>> captions;
    for (const std::int64_t i : pictures.kept) {
      captions.push_back(dataset.texts_in(i, language));
      for (std::string& caption : captions.back()) caption = text::clean(caption);
    }
    const eval::CaptionSet set = eval::caption_set(captions, !options.keep_equal);
    if (set.texts.empty()) continue;
    const eval::Retrieval r = eval::retrieval(pictures.rows, eval::embed_texts(encoder, set.texts), set.matches);
    scores.push_back({name_of(options.columns.split) + "/" + language, r.i2t, r.t2i});
  }
  FOVEA_CHECK(!scores.empty(), "[evaluate] no text of a picture is in one of the languages ",
              joined(options.languages));
  return scores;
}

Outcome score_retrieval(const models::ClipFolder& clip, Options options) {
  data::DatasetOptions& columns = options.columns;
  if (options.splits.empty()) {
    options.splits = columns.split_column.empty() ? std::vector<std::string>{""}
                                                  : data::split_names(options.data, columns.split_column);
  }
  eval::PairOptions pairs;
  pairs.every_caption = options.every_caption;
  pairs.merge_equal = !options.keep_equal;
  std::vector<train::SplitScores> scores;
  for (const std::string& split : options.splits) {
    columns.split = split;
    if (!options.languages.empty() || !columns.language_column.empty()) {
      for (const train::SplitScores& s : score_languages(clip, options)) scores.push_back(s);
      continue;
    }
    const data::ImageTextDataset dataset(options.data, columns);
    const eval::Retrieval r = eval::clip_retrieval({clip.model, clip.tokenizer, clip.transform}, dataset, pairs);
    scores.push_back({name_of(split), r.i2t, r.t2i});
  }
  Outcome outcome;
  eval::ScoreTable table{
      "Retrieval",
      {"split", "direction", "R@1", "R@5", "R@10", "median rank", "mean rank", "queries", "candidates"},
      {},
      "R@K: percent of the queries with a right answer among the first K. Ranks are those of the best right answer, "
      "counted from 1."};
  for (const train::SplitScores& s : scores) {
    outcome.text += s.split + "\n" + direction_line("image to text", s.i2t) + direction_line("text to image", s.t2i);
    table.rows.push_back(direction_row(s.split, "image to text", s.i2t));
    table.rows.push_back(direction_row(s.split, "text to image", s.t2i));
  }
  outcome.page.tables = {table};
  outcome.line = train::evaluation_line(0, scores);
  return outcome;
}

// Classification

// Pictures as rows of features, each with its class.
struct LabelledRows {
  Tensor rows;
  Labels labels;

  std::int64_t size() const { return std::ssize(labels); }
};

Tensor gather(const Tensor& rows, std::span<const std::int64_t> chosen) {
  Tensor out({std::ssize(chosen), rows.dim(1)});
  for (std::int64_t i = 0; i < std::ssize(chosen); ++i) {
    const std::int64_t from = chosen[static_cast<std::size_t>(i)];
    out.rows(i, i + 1).copy_from(rows.rows(from, from + 1));
  }
  return out;
}

LabelledRows select(const LabelledRows& all, std::span<const std::int64_t> chosen) {
  LabelledRows some{gather(all.rows, chosen), {}};
  for (const std::int64_t i : chosen) some.labels.push_back(all.labels[static_cast<std::size_t>(i)]);
  return some;
}

void append(LabelledRows& rows, const LabelledRows& more) {
  if (more.labels.empty()) return;
  if (rows.labels.empty()) return void(rows = more);
  const std::int64_t count = rows.size();
  Tensor all({count + more.size(), rows.rows.dim(1)});
  all.rows(0, count).copy_from(rows.rows);
  all.rows(count, all.dim(0)).copy_from(more.rows);
  rows.rows = all;
  rows.labels.insert(rows.labels.end(), more.labels.begin(), more.labels.end());
}

// The rows of the pictures that could be read; warns about the others.
template <class Embed>
LabelledRows rows_of(const data::LabelledPictures& labelled, const models::ClipFolder& clip, Embed&& embed) {
  const eval::EmbeddedPictures pictures =
      embed(eval::ClipEncoder{clip.model, clip.tokenizer, clip.transform}, labelled.size(),
            [&](std::int64_t i) { return labelled.picture(i, clip.transform.alpha); });
  FOVEA_CHECK(!pictures.kept.empty(), "[evaluate] none of the ", labelled.size(),
              " pictures could be read; the first: ", pictures.left_out.front().reason);
  if (!pictures.left_out.empty()) log::warning(eval::left_out_message(pictures));
  LabelledRows rows{pictures.rows, {}};
  for (const std::int64_t i : pictures.kept) rows.labels.push_back(labelled.labels()[static_cast<std::size_t>(i)]);
  return rows;
}

std::vector<std::string> read_templates(const std::string& name) {
  if (name == "one") return eval::simple_template();
  return name == "seven" ? eval::seven_templates() : eval::load_templates(name);
}

std::vector<std::string> given_classes(const Options& options) {
  return options.classes.empty() ? std::vector<std::string>() : data::read_lines(options.classes);
}

void show_classes(const std::string& split, const eval::ClassificationScores& scores,
                  const std::vector<std::string>& classes, eval::EvaluationPage& page) {
  eval::ScoreTable table = eval::class_table(scores, classes);
  table.title = split + ": " + first_words(scores, classes.size());
  page.tables.push_back(table);
  page.confusions.push_back({split + ": confusion", classes, scores.confusion});
}

Outcome score_zero_shot(const models::ClipFolder& clip, Options options) {
  std::vector<std::string> classes = given_classes(options);
  if (options.splits.empty()) options.splits = {""};
  const std::vector<std::string> templates = read_templates(options.templates);
  std::vector<eval::ZeroShotSplit> scores;
  Outcome outcome;
  for (const std::string& split : options.splits) {
    options.columns.split = split;
    const data::LabelledPictures labelled(options.data, options.columns, classes);
    FOVEA_CHECK(scores.empty() || classes == labelled.classes(), "[evaluate] split ", split,
                " has other classes than the split before\nhint: name all classes with --classes FILE");
    classes = labelled.classes();
    const Tensor classifier =
        eval::zero_shot_classifier({clip.model, clip.tokenizer, clip.transform}, classes, templates);
    const LabelledRows pictures = rows_of(labelled, clip, eval::embed_pictures);
    scores.push_back({name_of(split), eval::zero_shot_scores(pictures.rows, classifier, pictures.labels)});
    const eval::ClassificationScores& s = scores.back().scores;
    outcome.text += concat(name_of(split), "\n  ", first_words(s, classes.size()), "\n\n",
                           eval::to_text(eval::class_table(s, classes)));
    show_classes(name_of(split), s, classes, outcome.page);
  }
  outcome.page.facts = {{"Templates", concat(options.templates, " (", templates.size(), ")")}};
  outcome.line = eval::zero_shot_line(scores, classes);
  return outcome;
}

// Probes

// What is learned from, and what is scored.
struct ProbeData {
  std::vector<std::string> classes;
  LabelledRows train, validation, test;
  std::string scored;  // the name of what is scored
};

// The names of the classes of several splits: as the files order them where all agree, otherwise by the alphabet.
std::vector<std::string> classes_of(const Options& options, const std::vector<std::string>& splits) {
  std::set<std::string> names;
  std::vector<std::vector<std::string>> lists;
  data::DatasetOptions columns = options.columns;
  for (const std::string& split : splits) {
    columns.split = split;
    lists.push_back(data::LabelledPictures(options.data, columns).classes());
    names.insert(lists.back().begin(), lists.back().end());
  }
  const bool agree = std::all_of(lists.begin(), lists.end(), [&](const auto& list) { return list == lists.front(); });
  return agree ? lists.front() : std::vector<std::string>(names.begin(), names.end());
}

LabelledRows features_of(const models::ClipFolder& clip, Options options, const std::vector<std::string>& splits,
                         const std::vector<std::string>& classes) {
  LabelledRows rows;
  for (const std::string& split : splits) {
    options.columns.split = split;
    append(rows, rows_of(data::LabelledPictures(options.data, options.columns, classes), clip, eval::picture_features));
  }
  return rows;
}

// Two parts of some rows, chosen by the seed: `share` of them, and the rest.
std::pair<LabelledRows, LabelledRows> divide(const LabelledRows& all, double share, std::int64_t seed) {
  Labels order(static_cast<std::size_t>(all.size()));
  std::iota(order.begin(), order.end(), 0);
  Rng(static_cast<std::uint64_t>(seed)).shuffle(order);
  const auto first = static_cast<std::ptrdiff_t>(share * static_cast<double>(all.size()) + 0.5);
  FOVEA_CHECK(first > 0 && first < std::ssize(order), "[evaluate] ", all.size(),
              " pictures are too few to be divided into those that are learned from and those that are scored");
  std::sort(order.begin(), order.begin() + first);
  std::sort(order.begin() + first, order.end());
  return {select(all, {order.begin(), order.begin() + first}), select(all, {order.begin() + first, order.end()})};
}

ProbeData probe_data(const models::ClipFolder& clip, const Options& options) {
  std::vector<std::string> scored = options.splits;
  if (scored.empty()) scored = {""};
  std::vector<std::string> splits = scored;
  splits.insert(splits.end(), options.train_splits.begin(), options.train_splits.end());
  splits.insert(splits.end(), options.validation_splits.begin(), options.validation_splits.end());
  ProbeData probe;
  probe.classes = given_classes(options);
  if (probe.classes.empty()) probe.classes = classes_of(options, splits);
  probe.test = features_of(clip, options, scored, probe.classes);
  probe.scored = scored == std::vector<std::string>{""} ? "all" : joined(scored);
  if (options.train_splits.empty()) {
    std::tie(probe.train, probe.test) = divide(probe.test, 0.5, options.seed);
    probe.scored += ", a half";
  } else {
    probe.train = features_of(clip, options, options.train_splits, probe.classes);
  }
  probe.validation = features_of(clip, options, options.validation_splits, probe.classes);
  return probe;
}

eval::ClassificationScores classify(const eval::LogisticRegression& model, const LabelledRows& rows) {
  return eval::classification_scores(eval::top_k(eval::with_ones(rows.rows), eval::with_bias(model), 5), rows.labels,
                                     model.bias.dim(0));
}

// The regularisation: given, or found on a validation set, which is a fifth of the training rows unless it is given.
eval::RegularisationSweep find_c(const LabelledRows& train, const LabelledRows& validation, std::int64_t classes,
                                 const Options& options) {
  if (options.c > 0) return {{}, options.c};
  if (validation.size() > 0)
    return eval::sweep_regularisation(train.rows, train.labels, validation.rows, validation.labels, classes);
  const auto [held, learned] = divide(train, 0.2, options.seed + 1);
  return eval::sweep_regularisation(learned.rows, learned.labels, held.rows, held.labels, classes);
}

eval::ScoreTable sweep_table(const eval::RegularisationSweep& sweep) {
  eval::ScoreTable table{"Sweep of the regularisation", {"C", "validation accuracy %"}, {}};
  for (const eval::SweepPoint& point : sweep.points)
    table.rows.push_back({format("%.3g", point.c), percent(point.accuracy)});
  return table;
}

Outcome score_linear_probe(const models::ClipFolder& clip, Options options) {
  ProbeData probe = probe_data(clip, options);
  const std::int64_t classes = std::ssize(probe.classes);
  const eval::RegularisationSweep sweep = find_c(probe.train, probe.validation, classes, options);
  append(probe.train, probe.validation);
  eval::LogisticOptions fit;
  fit.c = sweep.best;
  const auto model = eval::fit_logistic_regression(probe.train.rows, probe.train.labels, classes, fit);
  if (!model.converged)
    log::warning("the logistic regression has not converged after ", model.iterations, " iterations");
  const eval::ClassificationScores scores = classify(model, probe.test);
  Outcome outcome;
  outcome.text =
      concat(probe.scored, "\n  ", first_words(scores, probe.classes.size()), "\n  ",
             format("C %.3g, %lld pictures learned from, features of %lld numbers", sweep.best,
                    static_cast<long long>(probe.train.size()), static_cast<long long>(probe.train.rows.dim(1))),
             "\n\n", eval::to_text(eval::class_table(scores, probe.classes)));
  Json json = Json::parse(eval::to_json(scores, probe.classes));
  json["c"] = sweep.best;
  json["learned_from"] = probe.train.size();
  json["sweep"] = Json::array();
  for (const eval::SweepPoint& point : sweep.points)
    json["sweep"].push_back({{"c", point.c}, {"accuracy", point.accuracy}});
  outcome.line = line_of(probe.scored, "linear_probe", json);
  outcome.page.facts = {{"C", format("%.3g", sweep.best)},
                        {"Pictures learned from", std::to_string(probe.train.size())}};
  show_classes(probe.scored, scores, probe.classes, outcome.page);
  if (!sweep.points.empty()) {
    outcome.page.tables.push_back(sweep_table(sweep));
    outcome.page.sweeps.push_back({"Regularisation", sweep.points});
  }
  return outcome;
}

Outcome score_knn(const models::ClipFolder& clip, Options options) {
  ProbeData probe = probe_data(clip, options);
  append(probe.train, probe.validation);
  if (options.ks.empty()) {  // DINO's, as far as there are so many neighbours
    for (const std::int64_t k : {10, 20, 100, 200}) {
      if (k <= probe.train.size()) options.ks.push_back(k);
    }
    if (options.ks.empty()) options.ks = {1};
  }
  const auto scores = eval::knn_scores(probe.train.rows, probe.train.labels, probe.test.rows, probe.test.labels,
                                       std::ssize(probe.classes), options.ks, options.temperature);
  eval::ScoreTable table{
      "Nearest neighbours",
      {"k", "weighted top-1", "top-5", "majority top-1", "top-5"},
      {},
      concat("Percent of the pictures. Weighted: a neighbour of cosine s counts exp(s / ", options.temperature, ").")};
  Json json{{"temperature", options.temperature}, {"learned_from", probe.train.size()}};
  for (const eval::KnnScores& s : scores) {
    table.rows.push_back({std::to_string(s.k), percent(s.weighted.top1), percent(s.weighted.top5),
                          percent(s.majority.top1), percent(s.majority.top5)});
    json[std::to_string(s.k)] = {{"weighted", Json::parse(eval::to_json(s.weighted, probe.classes))},
                                 {"majority", Json::parse(eval::to_json(s.majority, probe.classes))}};
  }
  Outcome outcome;
  outcome.text = concat(probe.scored, " (", probe.test.size(), " pictures, ", probe.train.size(), " neighbours, ",
                        probe.classes.size(), " classes)\n", eval::to_text(table));
  outcome.line = line_of(probe.scored, "knn", json);
  outcome.page.facts = {{"Neighbours", std::to_string(probe.train.size())}};
  outcome.page.tables = {table};
  const auto best = std::max_element(scores.begin(), scores.end(),
                                     [](const auto& a, const auto& b) { return a.weighted.top1 < b.weighted.top1; });
  show_classes(concat(probe.scored, ", k = ", best->k), best->weighted, probe.classes, outcome.page);
  return outcome;
}

// Robustness

// A column of the rows that are evaluated, in their order.
std::vector<std::string> column_of(const Options& options, const std::string& split, const std::string& column) {
  data::DatasetOptions columns = options.columns;
  columns.split = split;
  columns.text_columns = {{column}};
  const data::ImageTextDataset dataset(options.data, columns);
  std::vector<std::string> values;
  for (std::int64_t i = 0; i < dataset.size(); ++i) values.push_back(dataset.eval_text(i));
  return values;
}

// The rows of some splits, one after another.
struct SourcedRows {
  std::vector<std::string> paths, captions, sources, classes;
};

SourcedRows read_rows(const Options& options) {
  SourcedRows rows;
  const auto add = [](std::vector<std::string>& to, const std::vector<std::string>& more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  for (const std::string& split : options.splits) {
    data::DatasetOptions columns = options.columns;
    columns.split = split;
    const data::ImageTextDataset dataset(options.data, columns);
    for (std::int64_t i = 0; i < dataset.size(); ++i) {
      rows.paths.push_back(dataset[i].image_path);
      rows.captions.push_back(text::clean(dataset.eval_text(i)));
    }
    add(rows.sources, column_of(options, split, options.source_column));
    if (!options.class_column.empty()) add(rows.classes, column_of(options, split, options.class_column));
  }
  return rows;
}

// Sources that have no row in the training split.
std::vector<std::string> unseen_sources(const Options& options, const SourcedRows& rows) {
  std::set<std::string> unseen(rows.sources.begin(), rows.sources.end());
  std::vector<std::string> trained = options.train_splits;
  if (trained.empty()) trained = {"train"};
  for (const std::string& split : trained) {
    for (const std::string& source : column_of(options, split, options.source_column)) unseen.erase(source);
  }
  FOVEA_CHECK(!unseen.empty(), "[evaluate] every source has pictures of split ", joined(trained),
              "\nhint: --split chooses pictures of other sources, --held-out names those that were not trained on");
  return {unseen.begin(), unseen.end()};
}

// One held-out source against those that were trained on, over the captions that both have pictures for.
struct Comparison {
  std::vector<std::int64_t> pictures;      // of both sides: rows
  std::vector<std::string> captions;       // the shared ones
  std::vector<eval::SourcedAnswer> asked;  // of each picture, not yet answered; its group is its caption
};

Comparison compare(const SourcedRows& rows, const std::string& held_out, const std::set<std::string>& unseen) {
  std::map<std::string, std::pair<bool, bool>> sides;
  const auto takes_part = [&](std::size_t i) {
    return rows.sources[i] == held_out || !unseen.contains(rows.sources[i]);
  };
  for (std::size_t i = 0; i < rows.paths.size(); ++i) {
    if (!takes_part(i)) continue;
    auto& [seen, out] = sides[rows.captions[i]];
    (rows.sources[i] == held_out ? out : seen) = true;
  }
  std::map<std::string, std::int64_t> shared;
  Comparison comparison;
  for (const auto& [caption, side] : sides) {
    if (!side.first || !side.second) continue;
    shared.emplace(caption, std::ssize(shared));
    comparison.captions.push_back(caption);
  }
  for (std::size_t i = 0; i < rows.paths.size(); ++i) {
    const auto caption = shared.find(rows.captions[i]);
    if (!takes_part(i) || caption == shared.end()) continue;
    comparison.pictures.push_back(static_cast<std::int64_t>(i));
    comparison.asked.push_back({caption->second, rows.sources[i] == held_out, false});
  }
  return comparison;
}

// Which pictures find their caption first among all captions of the comparison.
std::vector<eval::SourcedAnswer> answer_zero_shot(const Comparison& comparison, const eval::ClipEncoder& encoder,
                                                  const Tensor& embedded) {
  std::vector<eval::SourcedAnswer> answers = comparison.asked;
  const auto found =
      eval::top_k(gather(embedded, comparison.pictures), eval::embed_texts(encoder, comparison.captions), 1);
  for (std::size_t i = 0; i < answers.size(); ++i) answers[i].right = found[i].front().candidate == answers[i].group;
  return answers;
}

// Which pictures a linear probe classifies right that has learned from the seen sources' pictures of other captions:
// the captions are divided in two by their hash, and each half is scored by a probe that learned from the other.
std::vector<eval::SourcedAnswer> answer_probe(const Comparison& comparison, const LabelledRows& all,
                                              const SourcedRows& rows, const std::set<std::string>& unseen,
                                              std::int64_t classes, const Options& options) {
  const auto half = [&](std::size_t row) { return mix(hash_name(rows.captions[row]), 0) % 2; };
  std::vector<eval::SourcedAnswer> answers;
  for (const std::uint64_t scored : {0u, 1u}) {
    std::vector<std::int64_t> learned, asked;
    std::vector<eval::SourcedAnswer> part;
    for (std::size_t i = 0; i < rows.paths.size(); ++i) {
      if (!unseen.contains(rows.sources[i]) && half(i) != scored) learned.push_back(static_cast<std::int64_t>(i));
    }
    for (std::size_t i = 0; i < comparison.pictures.size(); ++i) {
      if (half(static_cast<std::size_t>(comparison.pictures[i])) != scored) continue;
      asked.push_back(comparison.pictures[i]);
      part.push_back(comparison.asked[i]);
    }
    if (asked.empty()) continue;
    const LabelledRows train = select(all, learned), test = select(all, asked);
    eval::LogisticOptions fit;
    fit.c = find_c(train, {}, classes, options).best;
    const auto model = eval::fit_logistic_regression(train.rows, train.labels, classes, fit);
    const auto found = eval::top_k(eval::with_ones(test.rows), eval::with_bias(model), 1);
    for (std::size_t i = 0; i < part.size(); ++i) part[i].right = found[i].front().candidate == test.labels[i];
    answers.insert(answers.end(), part.begin(), part.end());
  }
  return answers;
}

// All pictures of the rows, none left out: answers are told by their rows.
template <class Embed>
Tensor embed_rows(const SourcedRows& rows, const models::ClipFolder& clip, Embed&& embed) {
  const eval::EmbeddedPictures pictures =
      embed(eval::ClipEncoder{clip.model, clip.tokenizer, clip.transform}, std::ssize(rows.paths), [&](std::int64_t i) {
        return image::read_image(rows.paths[static_cast<std::size_t>(i)], {.alpha = clip.transform.alpha});
      });
  FOVEA_CHECK(pictures.left_out.empty(), "[evaluate] a picture cannot be read: ", pictures.left_out.front().reason);
  return pictures.rows;
}

Outcome score_robustness(const models::ClipFolder& clip, Options options) {
  if (options.splits.empty()) options.splits = {""};
  const SourcedRows rows = read_rows(options);
  if (options.held_out.empty()) options.held_out = unseen_sources(options, rows);
  const std::set<std::string> unseen(options.held_out.begin(), options.held_out.end());
  const eval::ClipEncoder encoder{clip.model, clip.tokenizer, clip.transform};
  const Tensor embedded = embed_rows(rows, clip, eval::embed_pictures);
  LabelledRows features;
  std::map<std::string, std::int64_t> classes;
  if (!rows.classes.empty()) {
    for (const std::string& name : rows.classes) classes.emplace(name, std::ssize(classes));
    features.rows = embed_rows(rows, clip, eval::picture_features);
    for (const std::string& name : rows.classes) features.labels.push_back(classes.at(name));
  }
  eval::ScoreTable table{
      "Sources never trained on",
      {"held out", "measure", "seen sources %", "held out %", "gap", "95 % ±", "captions", "pictures"},
      {},
      "Means over the captions for which both sides have pictures. Zero-shot: the picture's caption "
      "is the first of all these captions. Gap: percentage points; its interval is over captions."};
  Json json = Json::object();
  const auto add = [&](const std::string& source, const char* measure, const eval::SourceGap& gap) {
    table.rows.push_back({source, measure, percent(gap.seen), percent(gap.held_out), percent(gap.gap),
                          percent(gap.interval), std::to_string(gap.groups),
                          concat(gap.seen_pictures, " + ", gap.held_out_pictures)});
    json[source][measure] = {{"seen", gap.seen},
                             {"held_out", gap.held_out},
                             {"gap", gap.gap},
                             {"interval", gap.interval},
                             {"captions", gap.groups},
                             {"seen_pictures", gap.seen_pictures},
                             {"held_out_pictures", gap.held_out_pictures}};
  };
  for (const std::string& source : options.held_out) {
    const Comparison comparison = compare(rows, source, unseen);
    FOVEA_CHECK(!comparison.captions.empty(), "[evaluate] no caption has pictures both of ", source,
                " and of a source that was trained on");
    add(source, "zero_shot", eval::source_gap(answer_zero_shot(comparison, encoder, embedded)));
    if (classes.empty()) continue;
    const auto answers = answer_probe(comparison, features, rows, unseen, std::ssize(classes), options);
    add(source, "linear_probe", eval::source_gap(answers));
  }
  const std::string scored = options.splits == std::vector<std::string>{""} ? "all" : joined(options.splits);
  Outcome outcome;
  outcome.text = concat(scored, "\n", eval::to_text(table), "\n  ", table.note, "\n");
  outcome.line = line_of(scored, "robustness", json);
  outcome.page.tables = {table};
  return outcome;
}

struct Task {
  const char* name;
  const char* title;
  Outcome (*score)(const models::ClipFolder& clip, Options options);
};
constexpr Task tasks[]{{"retrieval", "Retrieval", score_retrieval},
                       {"zero_shot", "Zero-shot classification", score_zero_shot},
                       {"linear_probe", "Linear probe", score_linear_probe},
                       {"knn", "Nearest neighbours", score_knn},
                       {"robustness", "Robustness to other sources", score_robustness}};

void add_options(CLI::App& app, Options& options) {
  std::vector<std::string> names;
  for (const Task& task : tasks) names.emplace_back(task.name);
  app.add_option("--model", options.model, "model folder")->required()->type_name("DIR");
  app.add_option("--task", options.task, "what to score")->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--data", options.data,
                 "data set: a table, a folder with one, or a folder of pictures; for classes also a folder with a "
                 "folder for each class, or one with idx files")
      ->required()
      ->type_name("PATH");
  app.add_option("--split", options.splits,
                 "splits to score; default: every one by itself (retrieval), or all rows together")
      ->type_name("NAME");
  app.add_option("--image-column", options.columns.image_column, "column of picture files, from the table's folder")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--caption-column", options.captions, "columns of captions; the column of class names for classes")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--split-column", options.columns.split_column,
                 "column of splits; '' for a table without: all rows are scored")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_flag("--every-caption", options.every_caption,
               "retrieval: all captions of a picture instead of the first; the best counts");
  app.add_flag("--keep-equal", options.keep_equal,
               "retrieval: equal captions of other pictures are wrong answers, as in COCO's published scores");
  app.add_option("--languages", options.languages,
                 "retrieval: scores for each language; names of columns with its texts, or values of --language-column")
      ->type_name("NAME");
  app.add_option("--language-column", options.columns.language_column,
                 "column of the language of a row's texts; without --languages, each that occurs is scored")
      ->type_name("NAME");
  app.add_option("--join", options.columns.join, "second table, from the first one's folder, with more columns")
      ->type_name("FILE");
  app.add_option("--join-column", options.columns.join_column, "column by which both tables belong together")
      ->type_name("NAME");
  app.add_option("--templates", options.templates,
                 "zero_shot: one (\"a photo of a {}.\"), seven (CLIP's subset), or a file with one a line")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--classes", options.classes,
                 "file with the names of the classes, one a line; default: those of the data")
      ->type_name("FILE");
  app.add_option("--train-split", options.train_splits,
                 "linear_probe, knn: splits to learn from; default: half of the pictures. robustness: splits that the "
                 "model was trained on; default: train")
      ->type_name("NAME");
  app.add_option("--val-split", options.validation_splits,
                 "linear_probe: splits that C is chosen on; default: a fifth of the pictures to learn from")
      ->type_name("NAME");
  app.add_option("--seed", options.seed, "divides pictures where splits do not")->capture_default_str()->type_name("N");
  app.add_option("--c", options.c, "linear_probe: inverse regularisation; default: found by a sweep")
      ->check(CLI::PositiveNumber)
      ->type_name("C");
  app.add_option("--k", options.ks, "knn: numbers of neighbours; default: 10 20 100 200")
      ->check(CLI::PositiveNumber)
      ->type_name("K");
  app.add_option("--temperature", options.temperature, "knn: of the weights of neighbours")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("T");
  app.add_option("--source-column", options.source_column, "robustness: column of the pictures' sources")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--held-out", options.held_out,
                 "robustness: sources that were not trained on; default: those without pictures in --train-split")
      ->type_name("NAME");
  app.add_option("--class-column", options.class_column,
                 "robustness: column of classes, for a linear probe that learns from the other sources")
      ->type_name("NAME");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Scores a trained model on a data set.");
  Options options;
  int threads = 0;
  add_options(app, options);
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  CLI::Option* json =
      app.add_option("--json", options.json, "one line of metrics.jsonl's kind: into a file, or printed instead")
          ->expected(0, 1)
          ->type_name("FILE");
  app.add_option("--html", options.html, "write a page")->type_name("FILE");
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) set_num_threads(threads);
    options.columns.text_columns.clear();
    const bool by_column = !options.languages.empty() && options.columns.language_column.empty();
    for (const std::string& name : by_column ? options.languages : options.captions)
      options.columns.text_columns.push_back({name});
    const Task& task =
        *std::find_if(std::begin(tasks), std::end(tasks), [&](const Task& t) { return options.task == t.name; });
    Outcome outcome = task.score(models::load_clip(options.model), options);
    const bool print_json = json->count() > 0 && options.json.empty();
    std::fputs(print_json ? (outcome.line + "\n").c_str() : outcome.text.c_str(), stdout);
    if (!options.json.empty()) io::write_file(options.json, outcome.line + "\n");
    if (!options.html.empty()) {
      outcome.page.title = concat(task.title, ": ", options.model);
      outcome.page.facts.insert(outcome.page.facts.begin(), {{"Model", options.model}, {"Data", options.data}});
      eval::write_evaluation_page(options.html, outcome.page);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
