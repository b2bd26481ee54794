// Learns a vocabulary from the captions and labels of a data set, and writes it as tokenizer.json, as C++ source, or
// both.
//   train_tokenizer --output tokenizer.json
//   train_tokenizer --source src/text/default_vocabulary.cc      the vocabulary compiled into the library
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/text/bpe_trainer.h"
#include "fovea/text/tokenizer.h"

namespace {

using fovea::text::WordCounts;

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, '\t');) out.push_back(cell);
  return out;
}

// Counts the words in the given columns of a table, in the rows whose split is "train".
void count_table(const std::string& path, const std::vector<std::string>& columns, WordCounts& counts) {
  std::ifstream in(path);
  std::string line;
  FOVEA_CHECK(std::getline(in, line), "[train_tokenizer] cannot read ", path);
  const std::vector<std::string> header = cells(line);
  const auto index_of = [&](const std::string& column) {
    const auto found = std::find(header.begin(), header.end(), column);
    FOVEA_CHECK(found != header.end(), "[train_tokenizer] ", path, " has no column ", column);
    return static_cast<std::size_t>(found - header.begin());
  };
  const std::size_t split = index_of("split");
  std::vector<std::size_t> indices;
  for (const std::string& column : columns) indices.push_back(index_of(column));
  while (std::getline(in, line)) {
    std::vector<std::string> row = cells(line);
    row.resize(header.size());
    if (row[split] != "train") continue;
    for (const std::size_t index : indices) fovea::text::count_words(row[index], counts);
  }
}

void write_source(const std::string& path, const fovea::text::Tokenizer& tokenizer) {
  std::ofstream out(path);
  out << "// Written by examples/train_tokenizer.cpp: do not edit.\n"
         "#include \"text/default_vocabulary.h\"\n\n"
         "namespace fovea::text::detail {\n\n"
         "// clang-format off\n"
         "std::string_view default_merges() {\n"
         "  return R\"merges("
      << tokenizer.merges_text()
      << ")merges\";\n"
         "}\n"
         "// clang-format on\n\n"
         "}  // namespace fovea::text::detail\n";
  out.close();
  FOVEA_CHECK(out, "[train_tokenizer] cannot write ", path);
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Learns a byte-pair vocabulary from the training rows of captions.tsv and labels.tsv.");
  std::string data = "data/emoji_clipart", output, source;
  std::int64_t vocabulary_size = 4096;
  app.add_option("--data", data, "Folder with captions.tsv and labels.tsv")->capture_default_str();
  app.add_option("--vocabulary-size", vocabulary_size, "Entries, with bytes and special tokens")->capture_default_str();
  app.add_option("--output", output, "tokenizer.json to write");
  app.add_option("--source", source, "C++ source of the default vocabulary to write");
  CLI11_PARSE(app, argc, argv);
  FOVEA_CHECK(!output.empty() || !source.empty(), "[train_tokenizer] nothing to write, expected --output or --source");

  WordCounts counts;
  count_table(data + "/captions.tsv", {"caption", "alt_caption", "keywords"}, counts);
  count_table(data + "/labels.tsv",
              {"en", "de", "es", "fr", "it", "pt", "nl", "pl", "sv", "ru", "uk", "hi", "zh", "ja", "ko", "th", "vi"},
              counts);
  const fovea::text::Tokenizer tokenizer(fovea::text::train_bpe(counts, vocabulary_size));
  if (!output.empty()) tokenizer.save(output);
  if (!source.empty()) write_source(source, tokenizer);
  std::cout << counts.size() << " distinct words, " << tokenizer.vocabulary_size() << " entries\n";
  return 0;
} catch (const fovea::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
