// Learns a vocabulary from the captions and labels of a data set, and writes it as tokenizer.json, as C++ source, or
// both.
//   train_tokenizer --output tokenizer.json
//   train_tokenizer --source src/text/default_vocabulary.cc      the vocabulary compiled into the library
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/data/table.h"
#include "fovea/io/file.h"
#include "fovea/text/bpe_trainer.h"
#include "fovea/text/tokenizer.h"

namespace {

using fovea::text::WordCounts;

// Counts the words in the given columns of a table, in the rows whose split is "train".
void count_table(const std::string& path, const std::vector<std::string>& columns, WordCounts& counts) {
  const auto table = fovea::data::Table::read(path);
  const std::int64_t split = table.column("split");
  for (const std::string& name : columns) {
    const std::int64_t column = table.column(name);
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      if (table.cell(row, split) == "train") fovea::text::count_words(table.cell(row, column), counts);
    }
  }
}

void write_source(const std::string& path, const fovea::text::Tokenizer& tokenizer) {
  fovea::io::write_file(path, fovea::concat("// Written by examples/train_tokenizer.cpp: do not edit.\n"
                                            "#include \"text/default_vocabulary.h\"\n\n"
                                            "namespace fovea::text::detail {\n\n"
                                            "// clang-format off\n"
                                            "std::string_view default_merges() {\n"
                                            "  return R\"merges(",
                                            tokenizer.merges_text(),
                                            ")merges\";\n"
                                            "}\n"
                                            "// clang-format on\n\n"
                                            "}  // namespace fovea::text::detail\n"));
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
  std::printf("%zu distinct words, %lld entries\n", counts.size(), static_cast<long long>(tokenizer.vocabulary_size()));
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
