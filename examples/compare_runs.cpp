// Sets runs beside each other: a table, JSON, and a figure.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/train/comparison.h"

int main(int argc, char** argv) {
  using namespace fovea;
  CLI::App app("Compares what finished runs score, by keys of their configurations, with intervals over their seeds.");
  std::vector<std::string> runs;
  std::string from, json, svg, title = "Comparison of runs";
  train::ComparisonOptions options;
  app.add_option("runs", runs, "run folders, as trainers write them")->type_name("DIR");
  app.add_option("--from", from, "read what --json has written instead of run folders")->type_name("FILE");
  app.add_option("--series", options.series, "keys that tell curves apart, such as objective.name")->type_name("KEY");
  app.add_option("--x", options.x, "\"samples\" for the pairs seen at each evaluation, or a key with a number")
      ->capture_default_str()
      ->type_name("KEY");
  app.add_option("--split", options.split, "split whose scores are compared")->type_name("NAME");
  app.add_option("--direction", options.direction)->check(CLI::IsMember({"i2t", "t2i"}))->capture_default_str();
  app.add_option("--figure", options.figure)
      ->check(CLI::IsMember({"r1", "r5", "r10", "median_rank", "mean_rank"}))
      ->capture_default_str();
  app.add_option("--json", json, "write the comparison with every run's figures")->type_name("FILE");
  app.add_option("--svg", svg, "write a figure")->type_name("FILE");
  app.add_option("--title", title, "of the figure")->capture_default_str()->type_name("TEXT");
  CLI11_PARSE(app, argc, argv);
  try {
    FOVEA_CHECK(from.empty() != runs.empty(), "[compare_runs] expected run folders, or --from FILE");
    FOVEA_CHECK(!from.empty() || !options.split.empty(), "[compare_runs] no split to compare, expected --split NAME");
    const train::Comparison comparison =
        from.empty() ? train::compare_runs(runs, options) : train::parse_comparison(io::read_file(from), from);
    const eval::ScoreTable table = train::to_table(comparison);
    std::printf("%s\n%s", table.title.c_str(), eval::to_text(table).c_str());
    if (!json.empty()) io::write_file(json, train::to_json(comparison));
    if (!svg.empty()) io::write_file(svg, train::to_svg(comparison, title));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
