#include "fovea/data/table.h"

#include <gtest/gtest.h>

#include "fovea/core/rng.h"
#include "test_files.h"

namespace fovea::data {
namespace {

TEST(Table, ReadsCells) {
  const TempFolder folder;
  const Table table = Table::read(folder.write("a.tsv", "image\tcaption\tnote\na.png\tein Bär\t\nb.png\t\"x\"\t2\n"));
  EXPECT_EQ(table.columns(), (std::vector<std::string>{"image", "caption", "note"}));
  ASSERT_EQ(table.rows(), 2);
  EXPECT_EQ(table.cell(0, table.column("caption")), "ein Bär");
  EXPECT_EQ(table.cell(0, table.column("note")), "");
  EXPECT_EQ(table.cell(1, table.column("caption")), "\"x\"");
}

TEST(Table, ToleratesWindowsFilesAndAMissingLastNewline) {
  const TempFolder folder;
  const Table table = Table::read(folder.write("a.tsv", "\xEF\xBB\xBFimage\tcaption\r\na\tb\r\nc\td"));
  ASSERT_EQ(table.rows(), 2);
  EXPECT_EQ(table.cell(0, table.column("image")), "a");
  EXPECT_EQ(table.cell(0, 1), "b");
  EXPECT_EQ(table.cell(1, 1), "d");
}

TEST(Table, HeaderAlone) {
  const TempFolder folder;
  EXPECT_EQ(Table::read(folder.write("a.tsv", "image\tcaption\n")).rows(), 0);
}

TEST(Table, SurvivesBeingMoved) {
  const TempFolder folder;
  Table table = Table::read(folder.write("a.tsv", "i\nx\n"));
  const Table moved = std::move(table);
  EXPECT_EQ(moved.cell(0, 0), "x");
}

TEST(Table, ErrorsNameFileAndPlace) {
  const TempFolder folder;
  const auto error_for = [&](const std::string& content) {
    return error_of([&] { Table::read(folder.write("bad.tsv", content)); });
  };
  EXPECT_NE(error_for("a\tb\n1\t2\n1\n").find("bad.tsv:3 has 1 cell, expected 2"), std::string::npos);
  EXPECT_NE(error_for("a\tb\n1\t2\t3\n").find("bad.tsv:2 has 3 cells, expected 2"), std::string::npos);
  EXPECT_NE(error_for("a\tb\n1\t2\n\n1\t2\n").find("bad.tsv:3 has 1 cell,"), std::string::npos);
  EXPECT_NE(error_for("\xFF\xFE"
                      "a")
                .find("bad.tsv is UTF-16, expected UTF-8"),
            std::string::npos);
  EXPECT_NE(error_for("").find("bad.tsv is empty"), std::string::npos);
  EXPECT_NE(error_of([] { Table::read("no/such.tsv"); }).find("cannot open no/such.tsv: No such file"),
            std::string::npos);
  EXPECT_NE(error_of([&] { Table::read(folder.path()); }).find(folder.path()), std::string::npos);
}

TEST(Table, MissingColumnsNameThoseThereAre) {
  const TempFolder folder;
  const Table table = Table::read(folder.write("a.tsv", "image\tcaption\nx\ty\n"));
  const std::string error = error_of([&] { table.column("captoin"); });
  EXPECT_NE(
      error.find("a.tsv has no column \"captoin\", its columns are image, caption\nhint: did you mean \"caption\"?"),
      std::string::npos)
      << error;
  EXPECT_THROW(table.cell(1, 0), Error);
  EXPECT_THROW(table.cell(0, 2), Error);
}

using Row = std::vector<std::string_view>;

Row row_of(const Table& table, std::int64_t row) {
  Row cells;
  for (std::int64_t c = 0; c < static_cast<std::int64_t>(table.columns().size()); ++c)
    cells.push_back(table.cell(row, c));
  return cells;
}

TEST(Table, HintsAtTheLikelyCause) {
  const auto error_for = [](const char* text, const char* column) {
    return error_of([&] { Table::parse(text, "a.tsv").column(column); });
  };
  EXPECT_NE(error_for("image,caption\nx,y\n", "image")
                .find("hint: the first line is taken for one column, though it holds a \",\": name the file .csv"),
            std::string::npos);
  EXPECT_NE(error_for("filepath\ttitle\nx\ty\n", "image").find("hint: did you mean \"filepath\"?"), std::string::npos);
  EXPECT_NE(error_for("filepath\ttitle\nx\ty\n", "caption").find("hint: did you mean \"title\"?"), std::string::npos);
  EXPECT_EQ(error_for("a\tb\nx\ty\n", "caption").find("hint"), std::string::npos);
  std::string many = "c0";
  for (int i = 1; i < 1000; ++i) many += "\tc" + std::to_string(i);
  const std::string error = error_for(many.c_str(), "caption");
  EXPECT_NE(error.find("c29, ... (1000 in all)"), std::string::npos) << error;
}

TEST(Table, CellsAreBytes) {
  const Table table = Table::parse("a\n\xE4\n", "latin1.tsv");
  EXPECT_EQ(table.cell(0, 0), "\xE4");
  EXPECT_TRUE(table.repaired_rows().empty());
}

TEST(TableCsv, QuotesFollowRfc4180) {
  const Table table = Table::parse(
      "\xEF\xBB\xBFimage,\"the, caption\"\r\n"
      "a.png,\"says \"\"hi\"\", twice\"\r\n"
      "\r\n"
      "b.png,\"two\nlines\"\n"
      "\"c.png\",\n"
      ",5\" disk",
      "a.csv");
  EXPECT_EQ(table.columns(), (std::vector<std::string>{"image", "the, caption"}));
  ASSERT_EQ(table.rows(), 4);
  EXPECT_EQ(row_of(table, 0), (Row{"a.png", "says \"hi\", twice"}));
  EXPECT_EQ(row_of(table, 1), (Row{"b.png", "two\nlines"}));
  EXPECT_EQ(row_of(table, 2), (Row{"c.png", ""}));
  EXPECT_EQ(row_of(table, 3), (Row{"", "5\" disk"}));
  EXPECT_EQ(table.place(0), "a.csv:2");
  EXPECT_EQ(table.place(2), "a.csv:6");
}

TEST(TableCsv, FindsItsSeparator) {
  const std::pair<const char*, const char*> same[] = {
      {"x,y\n1,2 3", ","}, {"x\ty\n1\t2 3", "tab"}, {"x;y\n1;2 3", ";"}};
  for (const auto& [text, separator] : same) {
    EXPECT_EQ(row_of(Table::parse(text, "a.csv"), 0), (Row{"1", "2 3"})) << separator;
    TableOptions options;
    options.separator = parse_separator(separator);
    EXPECT_EQ(row_of(Table::parse(text, "a.csv", options), 0), (Row{"1", "2 3"})) << separator;
  }
  // A header with several: the comma counts, unless told otherwise.
  EXPECT_EQ(Table::parse("x;y,z\n", "a.csv").columns().size(), 2u);
  EXPECT_EQ(Table::parse("x|y,z\n", "a.txt", {.separator = '|'}).columns(), (std::vector<std::string>{"x", "y,z"}));
  // Without an extension that says otherwise, a tab means TSV, which has no quotes.
  EXPECT_EQ(Table::parse("x\ty\n\"1\t2\n", "a.tsv", {.separator = '\t'}).cell(0, 0), "\"1");
}

TEST(TableCsv, ReadsTheSeparatorsName) {
  EXPECT_EQ(parse_separator(""), 0);
  EXPECT_EQ(parse_separator("\\t"), '\t');
  EXPECT_EQ(parse_separator("\t"), '\t');
  EXPECT_EQ(parse_separator(";"), ';');
  EXPECT_NE(error_of([] { parse_separator("comma"); }).find("separator is \"comma\", expected one character, or tab"),
            std::string::npos);
  EXPECT_THROW(parse_separator("\n"), Error);
}

TEST(TableCsv, ErrorsNameTheLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"a,b\n1,2\n\"1\n2\",\"3\n", "a.csv:4: a double quote is opened and never closed"},
      {"a,b\n\"1\n2\"x,3\n", "a.csv:3: text behind a closing quote, expected \",\" or the end of the line"},
      {"a,b\n\n1,2\n1,2,3\n", "a.csv:4 has 3 cells, expected 2\nhint: cells that hold the separator"},
      {"a,b\n1\n", "a.csv:2 has 1 cell, expected 2"},
      {"\n\n", "a.csv has no line with the columns' names"},
      {"", "a.csv is empty"}};
  for (const auto& [text, expected] : cases) {
    const std::string error = error_of([&] { Table::parse(text, "a.csv"); });
    EXPECT_NE(error.find(expected), std::string::npos) << text << " gave: " << error;
  }
}

TEST(TableJsonl, KeysWithTextAreColumns) {
  const Table table = Table::parse(
      "\xEF\xBB\xBF{\"image\": \"a \\u00e4\\n.png\", \"caption\": [\"one\", \"two\", 3], \"id\": 7}\r\n"
      "\n"
      "{\"split\": \"val\", \"image\": \"b.png\", \"caption\": []}\n"
      "{}",
      "a.jsonl");
  EXPECT_EQ(table.columns(), (std::vector<std::string>{"caption", "image", "split"}));
  ASSERT_EQ(table.rows(), 3);
  const std::int64_t caption = table.column("caption");
  EXPECT_EQ(table.values(0, caption), (Row{"one", "two"}));
  EXPECT_EQ(table.cell(0, caption), "one");
  EXPECT_EQ(table.cell(0, table.column("image")), "a \xC3\xA4\n.png");
  EXPECT_EQ(table.cell(0, table.column("split")), "");
  EXPECT_EQ(table.values(1, caption), Row{});
  EXPECT_EQ(table.cell(1, table.column("split")), "val");
  EXPECT_EQ(table.values(2, caption), Row{});
  EXPECT_EQ(table.place(1), "a.jsonl:3");
}

TEST(TableJsonl, ErrorsNameTheLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"a\": \"b\"}\n{\"a\": ", "a.jsonl:2: not valid JSON at byte 6"},
      {"{}\n[1]\n", "a.jsonl:2 is JSON of type array, expected an object such as"},
      {"[{\"a\": 1}]", "a.jsonl:1: the file is one JSON list, expected one object a line\nhint: "},
      {"{\"a\": \"b\", \"a\": \"c\"}", "a.jsonl:1: key \"a\" appears twice"}};
  for (const auto& [text, expected] : cases) {
    const std::string error = error_of([&] { Table::parse(text, "a.jsonl"); });
    EXPECT_NE(error.find(expected), std::string::npos) << text << " gave: " << error;
  }
}

TEST(TableJsonl, RepairsUtf8) {
  const Table table = Table::parse("{\"a\": \"x\"}\n{\"a\": \"\xFFy\"}\n", "a.jsonl");
  EXPECT_EQ(table.cell(1, 0), "\xEF\xBF\xBDy");
  EXPECT_EQ(table.repaired_rows(), std::vector<std::int64_t>{1});
}

// Every row has keys of its own: memory and time must follow the text's length, not rows times columns.
TEST(TableJsonl, ManyKeysStayCheap) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "{\"k" + std::to_string(i) + "\": \"v\"}\n";
  const Table table = Table::parse(text, "a.jsonl");
  EXPECT_EQ(table.columns().size(), 30000u);
  EXPECT_EQ(table.cell(29999, 29999), "v");
  EXPECT_EQ(table.cell(29999, 0), "");
}

TEST(Table, LongCellsAreCheap) {
  const std::string megabyte(1 << 20, 'x');
  for (const char* name : {"a.tsv", "a.csv"}) {
    const char separator = name[2] == 't' ? '\t' : ',';
    const Table table = Table::parse(concat("i", separator, "c\na.png", separator, megabyte, "\n"), name);
    EXPECT_EQ(table.cell(0, 1), megabyte);
  }
  EXPECT_EQ(Table::parse("{\"c\": \"" + megabyte + "\"}", "a.jsonl").cell(0, 0), megabyte);
}

TEST(Table, RowsAddedByHand) {
  Table table("folder", {"image", "caption"});
  table.add_row(std::vector<std::vector<std::string>>{{"a.png"}, {"one", "two"}});
  table.add_row(std::vector<std::vector<std::string>>{{"b.png"}, {}});
  ASSERT_EQ(table.rows(), 2);
  EXPECT_EQ(table.values(0, 1), (Row{"one", "two"}));
  EXPECT_EQ(table.cell(1, 0), "b.png");
  EXPECT_EQ(table.cell(1, 1), "");
  EXPECT_EQ(table.place(1), "folder");
  EXPECT_THROW(table.add_row(std::vector<std::vector<std::string>>{{"a.png"}}), Error);
}

// Whatever the bytes, there is a table or an Error, and every cell can be asked for.
TEST(Table, SurvivesAnything) {
  Rng rng(8);
  const std::string pieces[] = {"\"",      "\"\"", ",", "\t", "\n",   "\r\n",         "\r", "a",
                                "{\"a\":", "}",    "[", "]",  "\xFF", "\xEF\xBB\xBF", " ",  ";"};
  for (int i = 0; i < 6000; ++i) {
    std::string text;
    for (std::int64_t n = rng.below(12); n >= 0; --n) text += pieces[rng.below(std::size(pieces))];
    for (const char* name : {"a.tsv", "a.csv", "a.jsonl"}) {
      try {
        const Table table = Table::parse(text, name);
        for (std::int64_t row = 0; row < table.rows(); ++row) row_of(table, row);
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace fovea::data
