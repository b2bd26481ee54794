// The report is well-formed, holds the numbers of the run, and survives odd ones.
#include "fovea/train/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/image/encode.h"
#include "fovea/io/file.h"
#include "fovea/train/metrics_log.h"

namespace fovea::train {
namespace {

class Report : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& title = "Run", const Facts& facts = {},
                    const eval::RetrievalExamples& examples = {}) const {
    write_report(folder_.path(), title, facts, examples);
    return io::read_file(path("report.html"));
  }
  std::string error_for(const std::string& metrics) const {
    io::write_file(path("metrics.jsonl"), metrics);
    try {
      write();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  const tests::TempFolder folder_;
};

// What is wrong with the nesting of the tags; empty when every element is closed where it should be.
std::string nesting_error(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string::npos) return "unterminated tag";
    const std::string tag = html.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return "< inside <" + tag;
    if (tag[0] == '!' || tag.back() == '/') continue;
    if (tag[0] != '/') {
      open.push_back(tag.substr(0, tag.find_first_of(" \n")));
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return "</" + tag.substr(1) + " closes nothing";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back() + " stays open";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::string curve_of(const std::string& html) {
  const std::string start = "class=\"curve c0\" d=\"";
  const std::size_t begin = html.find(start) + start.size();
  return html.substr(begin, html.find('"', begin) - begin);
}

TEST(ReportChecker, FindsBadNesting) {
  EXPECT_EQ(nesting_error("<!DOCTYPE html><p>a<br/></p>"), "");
  EXPECT_NE(nesting_error("<p><b></p></b>"), "");
  EXPECT_NE(nesting_error("<p>"), "");
  EXPECT_NE(nesting_error("</p>"), "");
}

TEST_F(Report, HoldsFactsScoresAndConfiguration) {
  MetricsLog metrics(path("metrics.jsonl"));
  for (int step = 10; step <= 100; step += 10) metrics.write_training(step, {{"loss", 6.0 - step * 0.03}});
  const SplitScores early{"val_style", {1, 2, 3, 99, 503, 400}, {1, 2, 3, 98, 400, 503}};
  metrics.write_evaluation(50, std::vector{early});
  const SplitScores style{"val_style", {36.84, 67.02, 75.11, 3, 503, 400}, {30.5, 60.25, 70.75, 4, 400, 503}};
  const SplitScores test{"test_both", {10.4, 24, 35.5, 21, 183, 150}, {11.5, 25, 36.5, 22, 150, 183}};
  metrics.write_evaluation(100, std::vector{style, test});
  io::write_file(path("config.json"), R"({"model": "a<b"})");

  const std::string html = write("Emoji & clip art", {{"Parameters", "4,120,321"}, {"Time", "9:58 min"}});
  EXPECT_EQ(nesting_error(html), "");
  EXPECT_TRUE(contains(html, "<title>Emoji &amp; clip art</title>"));
  EXPECT_TRUE(contains(html, "<dt>Parameters</dt><dd>4,120,321</dd>"));
  EXPECT_TRUE(contains(html, "<dt>Time</dt><dd>9:58 min</dd>"));
  EXPECT_TRUE(contains(html,
                       "<tr><th scope=\"row\">val_style</th>"
                       "<td>36.8</td><td>67.0</td><td>75.1</td><td>3</td>"
                       "<td>30.5</td><td>60.2</td><td>70.8</td><td>4</td><td>503</td><td>400</td></tr>"));
  EXPECT_TRUE(contains(html, "<th scope=\"row\">test_both</th><td>10.4</td>"));
  EXPECT_FALSE(contains(html, "<td>99</td>"));  // an earlier evaluation of the same split
  EXPECT_TRUE(contains(html, "{&quot;model&quot;: &quot;a&lt;b&quot;}"));
  EXPECT_TRUE(contains(html, "From 5.700 to 3.000 over 100 steps."));
}

TEST_F(Report, IsSelfContainedAndNeedsNoScript) {
  MetricsLog(path("metrics.jsonl")).write_training(1, {{"loss", 1}});
  const std::string html = write();
  for (const char* outside : {"<script", "<link", "http:", "https:", "src=", "href=", "@import", "url("}) {
    EXPECT_FALSE(contains(html, outside)) << outside;
  }
  EXPECT_TRUE(contains(html, "prefers-color-scheme: dark"));
}

TEST_F(Report, EscapesWhatItIsGiven) {
  const SplitScores nasty{"<script>alert('x')</script>", {}, {}};
  MetricsLog(path("metrics.jsonl")).write_evaluation(1, std::vector{nasty});
  const std::string html = write("\"<i>\"", {{"<b>", "</dd>&"}});
  EXPECT_EQ(nesting_error(html), "");
  EXPECT_FALSE(contains(html, "<script"));
  EXPECT_TRUE(contains(html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
  EXPECT_TRUE(contains(html, "<dt>&lt;b&gt;</dt><dd>&lt;/dd&gt;&amp;</dd>"));
}

TEST_F(Report, CurveGoesFromTopLeftToBottomRightOnRoundAxes) {
  MetricsLog metrics(path("metrics.jsonl"));
  metrics.write_training(0, {{"loss", 4}});
  metrics.write_training(50, {{"loss", 2}});
  metrics.write_training(80, {{"loss", 0}});
  const std::string html = write();
  // The plot spans x 54..408 and y 10..204; steps run from 0 to 80, losses from 0 to 4.
  EXPECT_EQ(curve_of(html), "M54.0 10.0h0L275.2 107.0L408.0 204.0");
  EXPECT_TRUE(contains(html, ">80</text>"));
  EXPECT_TRUE(contains(html, ">4</text>"));
}

TEST_F(Report, CurveBreaksWhereTheLossWasNotFinite) {
  MetricsLog metrics(path("metrics.jsonl"));
  for (int step = 0; step < 6; ++step)
    metrics.write_training(step, {{"loss", step == 2 || step == 4 ? NAN : 1.0 + step}});
  const std::string curve = curve_of(write());
  EXPECT_EQ(occurrences(curve, "M"), 3u) << curve;
  EXPECT_EQ(occurrences(curve, "L"), 1u) << curve;
}

TEST_F(Report, StepsThatARunRepeatsAfterAResumeCountOnce) {
  MetricsLog metrics(path("metrics.jsonl"));
  for (const auto& [step, loss] : {std::pair{0, 4.0}, {20, 3.0}, {40, 3.0}, {20, 2.0}, {40, 0.0}})
    metrics.write_training(step, {{"loss", loss}});
  metrics.write_evaluation(40, std::vector{SplitScores{"test", {1, 2, 3, 4, 5, 6}, {}}});
  metrics.write_evaluation(40, std::vector{SplitScores{"test", {7, 8, 9, 4, 5, 6}, {}}});
  const std::string html = write();
  EXPECT_EQ(curve_of(html), "M54.0 10.0h0L231.0 107.0L408.0 204.0");
  EXPECT_FALSE(contains(html, "R@1 image → text, percent"));  // one evaluation is no curve
}

TEST_F(Report, DrawsWhatTheRunLogged) {
  MetricsLog metrics(path("metrics.jsonl"));
  EXPECT_FALSE(contains(write(), "<figure"));
  for (int step = 1; step <= 100; ++step)
    metrics.write_training(step, {{"loss", 9.0 - step % 2}, {"lr", 3e-6 * step}, {"step_ms", 30}, {"data_wait_ms", 0}});
  for (int step : {50, 100}) metrics.write_evaluation(step, std::vector{SplitScores{"val", {step / 5.0}, {}}});
  const std::string html = write();
  EXPECT_EQ(nesting_error(html), "");
  EXPECT_EQ(occurrences(html, "<figure"), 4u);
  for (const char* title : {"Loss", "Learning rate", "R@1 image → text, percent", "Time of a step, ms"})
    EXPECT_TRUE(contains(html, concat("<figcaption>", title, "</figcaption>"))) << title;
  EXPECT_EQ(occurrences(html, "waiting for data"), 1u);
  EXPECT_EQ(occurrences(html, "curve c0 faint"), 1u);  // the loss as logged, behind its mean
  EXPECT_TRUE(contains(html, ">0.0001</text>"));
}

TEST_F(Report, LongRunsStaySmall) {
  std::string lines;
  for (int step = 1; step <= 20000; ++step) lines += training_line(step, {{"loss", 1 + 1.0 / step}}) + "\n";
  io::write_file(path("metrics.jsonl"), lines);
  EXPECT_LT(write().size(), 40000u);
}

TEST_F(Report, SurvivesOddRuns) {
  for (const char* metrics :
       {"", "{\"step\":1}\n", "{\"step\":1,\"loss\":null}\n", "{\"step\":5,\"loss\":2}\n",
        "{\"step\":1e300,\"loss\":1e308}\n", "{\"step\":1,\"loss\":-1e308}\n{\"step\":2,\"loss\":1e308}\n",
        "{\"step\":1,\"loss\":1e17}\n{\"step\":2,\"loss\":1.00000000000000016e17}\n",
        "{\"step\":9,\"eval\":{\"s\":3,\"t\":{\"i2t\":[],\"t2i\":{\"r1\":\"x\"}}}}"}) {
    EXPECT_EQ(error_for(metrics), "");
    EXPECT_EQ(nesting_error(io::read_file(path("report.html"))), "") << metrics;
  }
}

// Two pictures, of which one cannot be read, and two captions.
class ReportExamples : public Report {
 protected:
  ReportExamples() {
    io::write_file(path("metrics.jsonl"), "");
    io::write_file(path("red.png"), image::encode_png(image::Image(8, 8)));
    examples_.split = "test_<style>";
    examples_.pictures = {path("red.png"), path("gone <b>.png")};
    examples_.texts = {"red & round", "a \"gone\" one"};
    examples_.t2i = {{0, {{0, 0.5f, true}, {1, 0.25f, false}}, 1}};
    examples_.i2t = {{1, {{0, 0.75f, false}, {1, -0.125f, true}}, 2}};
    examples_.pairs = {{0, 0}, {1, 1}};
    examples_.similarity = {0.5f, 0.25f, 0.75f, -0.125f};
  }
  eval::RetrievalExamples examples_;
};

TEST_F(ReportExamples, AreMarkedRightOrWrong) {
  const std::string html = write("Run", {}, examples_);
  EXPECT_EQ(nesting_error(html), "");
  EXPECT_TRUE(contains(html, "“red &amp; round”"));
  EXPECT_TRUE(contains(html, "Queries of split test_&lt;style&gt;"));
  EXPECT_TRUE(contains(html, "best right answer: rank 2 of 2"));
  const std::size_t right = html.find("✓ right <span>0.50"), wrong = html.find("✗ wrong <span>0.25");
  EXPECT_LT(right, wrong);
  EXPECT_LT(wrong, html.size());
  EXPECT_EQ(occurrences(html, "✓ right"), 2u);
  EXPECT_EQ(occurrences(html, "✗ wrong"), 2u);
  EXPECT_EQ(occurrences(html, "<li class=\"yes\">"), 2u);
}

TEST_F(ReportExamples, PicturesAreInsideThePage) {
  const std::string html = write("Run", {}, examples_);
  EXPECT_EQ(occurrences(html, "src=\""), occurrences(html, "src=\"data:image/png;base64,"));
  EXPECT_EQ(occurrences(html, "href=\""), occurrences(html, "href=\"data:image/png;base64,"));
  EXPECT_EQ(occurrences(html, "src=\""), 1u);
  EXPECT_EQ(occurrences(html, "<img"), occurrences(html, " alt=\""));
  EXPECT_EQ(occurrences(html, "gone &lt;b&gt;.png cannot be read"), 2u);  // an answer and a query
}

TEST_F(ReportExamples, LargePicturesShrink) {
  image::Image noise(900, 600);
  Rng rng(RngKey{1});
  for (auto& channel : noise.pixels) channel = static_cast<std::uint8_t>(rng.below(256));
  io::write_file(path("red.png"), image::encode_png(noise));
  const std::string html = write("Run", {}, examples_);
  EXPECT_TRUE(contains(html, "src=\"data:image/jpeg;base64,"));
  EXPECT_LT(html.size(), 60000u);
}

TEST_F(ReportExamples, MatrixTellsTheMeansAndTheBestOfEachCaption) {
  const std::string html = write("Run", {}, examples_);
  EXPECT_TRUE(contains(html, "Mean similarity of the 2 right pairs 0.19, of all others 0.50."));
  EXPECT_EQ(occurrences(html, "class=\"right-pair\""), 2u);
  // Both captions are most similar to the first picture: cells are 60 wide, the first begins at x 172.
  EXPECT_EQ(occurrences(html, "class=\"best\" cx=\"202.0\""), 2u);
}

TEST_F(ReportExamples, SurviveScoresThatAreNotNumbers) {
  examples_.similarity.assign(4, NAN);
  examples_.t2i[0].answers[0].score = NAN;
  EXPECT_EQ(nesting_error(write("Run", {}, examples_)), "");
  examples_.similarity = {NAN, 0.5f, 0.5f, 0.5f};
  EXPECT_EQ(nesting_error(write("Run", {}, examples_)), "");
}

TEST_F(Report, NamesTheLineItCannotRead) {
  EXPECT_TRUE(contains(error_for("{\"step\":1}\n{\"step\":\n"), "metrics.jsonl: line 2: not valid JSON at byte 8"));
  EXPECT_TRUE(contains(error_for("[]\n"), "line 1: expected an object with a number \"step\""));
  EXPECT_TRUE(contains(error_for("{\"step\":1,\"eval\":3}\n"), "line 1: \"eval\" is not an object"));
  std::filesystem::remove(path("metrics.jsonl"));
  EXPECT_THROW(write(), Error);
}

TEST(ReportCount, GroupsDigits) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(4120321), "4,120,321");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
}

}  // namespace
}  // namespace fovea::train
