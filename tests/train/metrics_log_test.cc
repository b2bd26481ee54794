// Lines of metrics.jsonl, and the file they are appended to.
#include "fovea/train/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/io/file.h"

namespace fovea::train {
namespace {

SplitScores sample_scores(const std::string& name) {
  return {name, {12.5, 50, 75, 4, 16, 20, 6.5}, {10, 20, 30, 5, 20, 16, 7}};
}

class MetricsLogFile : public ::testing::Test {
 protected:
  const tests::TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
};

TEST(MetricsLog, TrainingLinesKeepOrderAndPrecision) {
  EXPECT_EQ(training_line(10, {{"loss", 0.1}, {"lr", 2e-3}, {"pairs_per_s", 400}}),
            R"({"step":10,"loss":0.1,"lr":0.002,"pairs_per_s":400.0})");
}

TEST(MetricsLog, NumbersThatAreNotFiniteBecomeNull) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(training_line(1, {{"loss", NAN}, {"a", infinity}, {"b", -infinity}}),
            R"({"step":1,"loss":null,"a":null,"b":null})");
}

TEST(MetricsLog, EvaluationLinesNestSplitDirectionAndFigure) {
  const std::vector<SplitScores> scores{sample_scores("val_style"), sample_scores("a \"b\"")};
  EXPECT_EQ(
      evaluation_line(20, std::span(scores).first(1)),
      R"({"step":20,"eval":{"val_style":{)"
      R"("i2t":{"r1":12.5,"r5":50.0,"r10":75.0,"median_rank":4,"mean_rank":6.5,"queries":16,"candidates":20},)"
      R"("t2i":{"r1":10.0,"r5":20.0,"r10":30.0,"median_rank":5,"mean_rank":7.0,"queries":20,"candidates":16}}}})");
  EXPECT_NE(evaluation_line(20, scores).find(R"("a \"b\"":{)"), std::string::npos);
  EXPECT_EQ(evaluation_line(0, {}), R"({"step":0,"eval":{}})");
}

TEST_F(MetricsLogFile, EachLineIsOnDiskAtOnceAndALaterRunContinues) {
  {
    MetricsLog log(path);
    log.write_training(1, {{"loss", 2}});
    EXPECT_EQ(io::read_file(path), training_line(1, {{"loss", 2}}) + "\n");
    log.write_evaluation(1, std::vector{sample_scores("v")});
  }
  MetricsLog log(path);
  log.write_training(2, {});
  EXPECT_EQ(io::read_file(path), training_line(1, {{"loss", 2}}) + "\n" +
                                     evaluation_line(1, std::vector{sample_scores("v")}) + "\n{\"step\":2}\n");
}

TEST_F(MetricsLogFile, DropsALineThatWasCutShort) {
  io::write_file(path, "{\"step\":1}\n{\"st");
  MetricsLog(path).write_training(2, {});
  EXPECT_EQ(io::read_file(path), "{\"step\":1}\n{\"step\":2}\n");
  io::write_file(path, "{\"st");
  MetricsLog(path).write_training(2, {});
  EXPECT_EQ(io::read_file(path), "{\"step\":2}\n");
}

TEST(MetricsLog, NamesTheFileItCannotWrite) {
  try {
    MetricsLog log("/no/such/folder/metrics.jsonl");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/folder/metrics.jsonl"), std::string::npos);
  }
}

}  // namespace
}  // namespace fovea::train
