#include "fovea/train/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/train/config.h"

namespace fovea::train {
namespace {

using tests::error_of;

class ComparisonOfRuns : public ::testing::Test {
 protected:
  // A run folder with two evaluations; the second one's R@1 is `last`.
  std::string run(const std::string& name, const std::string& objective, int batch, int seed, double last) {
    Config config;
    for (const std::string& set : {"objective.name=" + objective, concat("data.batch_size=", batch),
                                   concat("train.seed=", seed), std::string("train.accum_freq=2")})
      apply_set(config, set);
    std::filesystem::create_directories(folder_ / name);
    folder_.write(name + "/config.json", dump_config(config));
    folder_.write(name + "/metrics.jsonl",
                  concat(R"({"step":5,"loss":3})", "\n", R"({"step":5,"eval":{"test":{"i2t":{"r1":10}}}})", "\n",
                         R"({"step":10,"eval":{"test":{"i2t":{"r1":)", last, R"(}},"other":{}}})", "\n"));
    return folder_ / name;
  }

  const tests::TempFolder folder_;
};

TEST_F(ComparisonOfRuns, GroupsByKeysAndAveragesSeeds) {
  const std::vector<std::string> runs{run("a", "sigmoid", 32, 1, 30), run("b", "sigmoid", 32, 0, 20),
                                      run("c", "sigmoid", 8, 0, 5), run("d", "info_nce", 32, 0, 40)};
  const Comparison result = compare_runs(runs, {{"objective.name"}, "data.batch_size", "test"});
  ASSERT_EQ(result.series.size(), 2u);
  EXPECT_EQ(result.series[0].name, "sigmoid");
  ASSERT_EQ(result.series[0].points.size(), 2u);
  EXPECT_EQ(result.series[0].points[0].x, 8);
  EXPECT_EQ(result.series[0].points[0].interval, 0);
  const Comparison::Point& two = result.series[0].points[1];
  EXPECT_EQ(two.mean, 25);
  EXPECT_NEAR(two.interval, 12.706 * std::sqrt(50.0 / 2), 1e-9);  // t of one degree of freedom
  EXPECT_EQ(two.runs.front().seed, 0u);
  EXPECT_EQ(two.runs.front().value, 20);

  const Comparison again = parse_comparison(to_json(result), "text");
  EXPECT_EQ(to_json(again), to_json(result));
  EXPECT_EQ(to_table(again).rows.size(), 3u);
  const std::string svg = to_svg(result, "A & B");
  EXPECT_NE(svg.find("<svg xmlns"), std::string::npos);
  EXPECT_NE(svg.find("A &amp; B"), std::string::npos);
  EXPECT_NE(svg.find("class=\"curve bar c0\""), std::string::npos);
  EXPECT_NE(svg.find(">32</text>"), std::string::npos);
  EXPECT_NE(svg.find("95 %"), std::string::npos);
}

TEST_F(ComparisonOfRuns, SamplesAreAnAxis) {
  const std::vector<std::string> runs{run("a", "sigmoid", 32, 0, 30)};
  const Comparison result = compare_runs(runs, {{}, "samples", "test"});
  ASSERT_EQ(result.series.size(), 1u);
  ASSERT_EQ(result.series[0].points.size(), 2u);
  EXPECT_EQ(result.series[0].points[0].x, 5 * 32 * 2);
  EXPECT_EQ(result.series[0].points[0].mean, 10);
  EXPECT_EQ(result.series[0].points[1].mean, 30);
}

TEST_F(ComparisonOfRuns, RefusesWhatCannotBeCompared) {
  const std::vector<std::string> runs{run("a", "sigmoid", 32, 0, 30), run("b", "info_nce", 32, 0, 20)};
  const auto error = [&](const ComparisonOptions& options) { return error_of([&] { compare_runs(runs, options); }); };
  EXPECT_NE(error({{}, "samples", "test"}).find("b has the seed 0 of another run"), std::string::npos);
  EXPECT_NE(error({{}, "samples", "tset"}).find("has no eval.tset.i2t.r1"), std::string::npos);
  EXPECT_NE(error({{"objective.nam"}, "samples", "test"}).find("config.json has no objective.nam"), std::string::npos);
  EXPECT_NE(error({{"objective.name"}, "data.path", "test"}).find("expected a number above 0"), std::string::npos);
  EXPECT_NE(error_of([] { parse_comparison("{}", "x.json"); }).find("x.json is no comparison of runs"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::train
