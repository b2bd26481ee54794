#include "fovea/data/table.h"

#include <gtest/gtest.h>

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
  EXPECT_NE(error_for("a\n\xE4\n").find("bad.tsv:2 is not UTF-8"), std::string::npos);
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

}  // namespace
}  // namespace fovea::data
