#include "fovea/eval/evaluation_page.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"

namespace fovea::eval {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(EvaluationPage, TablesAlignFiguresToTheRight) {
  const ScoreTable table{
      "", {"name", "figure", "words"}, {{"é", "9.5", "b"}, {"longer", "10.25", "3 c"}, {"x", "–", ""}}};
  EXPECT_EQ(to_text(table),
            "  name     figure   words\n"
            "  é           9.5   b\n"
            "  longer    10.25   3 c\n"
            "  x             –\n");
}

TEST(EvaluationPage, ClassesNameTheirWorstConfusion) {
  ClassificationScores scores;
  scores.confusion = {3, 1, 0, 0, 0, 0, 2, 2, 4};
  const ScoreTable table = class_table(scores, {"a", "b", "c"});
  ASSERT_EQ(table.rows.size(), 2u);  // b has no pictures
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"a", "4", "75.0", "b (1)"}));
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"c", "8", "50.0", "a (2)"}));
}

TEST(EvaluationPage, HoldsTablesSweepsAndConfusion) {
  const tests::TempFolder folder;
  EvaluationPage page{"A <b> model", {{"Data", "x & y"}}, {}, {}, {}};
  page.tables.push_back({"Scores", {"class", "right %"}, {{"<cat>", "50.0"}}, "a note"});
  page.sweeps.push_back({"Sweep", {{0.01, 50}, {1, 75}, {100, 60}}});
  page.confusions.push_back({"Confusion", {"<cat>", "dog"}, {3, 1, 0, 2}});
  std::vector<std::string> many(60, "c");
  page.confusions.push_back({"Large", many, std::vector<std::int64_t>(3600, 1)});
  write_evaluation_page(folder / "page.html", page);
  const std::string html = io::read_file(folder / "page.html");
  EXPECT_TRUE(contains(html, "<h1>A &lt;b&gt; model</h1>"));
  EXPECT_TRUE(contains(html, "x &amp; y"));
  EXPECT_TRUE(contains(html, "<th scope=\"row\">&lt;cat&gt;</th><td>50.0</td>"));
  EXPECT_TRUE(contains(html, "a note"));
  EXPECT_TRUE(contains(html, "Best: 75.0."));
  EXPECT_TRUE(contains(html, "<title>&lt;cat&gt; is right: 3 of 4</title>"));
  EXPECT_TRUE(contains(html, "<title>&lt;cat&gt; taken for dog: 1 of 4</title>"));
  EXPECT_FALSE(contains(html, "dog taken for"));  // nothing is drawn where the count is 0
  EXPECT_FALSE(contains(html, "<cat>"));
  EXPECT_NE(tests::error_of([&] { write_evaluation_page(folder / "missing/page.html", page); }), "");
}

}  // namespace
}  // namespace fovea::eval
