// curate as a user runs it: killed again and again, it ends with the output of a run that was not.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/io/file.h"

namespace fovea {
namespace {

// Exit code, or 128 + signal as the shell has it.
int run(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string random_list(std::int64_t rows) {
  Rng rng(1);
  std::string text = "image\tcaption\n";
  for (std::int64_t row = 0; row < rows; ++row) {
    text += concat(FOVEA_SOURCE_DIR "/data/emoji_clipart/images/noto/00", 30 + rng.below(10), "-20e3.png\t");
    const std::int64_t words = rng.below(12);
    for (std::int64_t i = 0; i < words; ++i)
      text += concat(i > 0 ? " " : "", "w", static_cast<std::int64_t>(std::exp(rng.uniform() * 9)));
    text += "\n";
  }
  return text;
}

TEST(CurateProgram, KilledAndStartedAgainGivesTheSame) {
  const tests::TempFolder folder;
  folder.write("pairs.tsv", random_list(40'000));
  folder.write("queries.txt", "w1\nw2\nw3\nw4\nw30\nw1 w2\n");
  const std::string program = concat("'", FOVEA_PROGRAMS_DIR "/curate' '", folder / "pairs.tsv",
                                     "' --memory 2M --min-side 0 --max-captions 0 --top-ngrams 4000 --deduplicate "
                                     "--queries '",
                                     folder / "queries.txt", "' --max-pairs 500 --threads 2 ");
  const auto output = [&](const char* name) { return concat("--output '", folder / name, "' >/dev/null 2>&1"); };
  ASSERT_EQ(run(program + output("whole.tsv")), 0);
  int kills = 0;
  double seconds = 0.02;
  for (int code = -1; code != 0 && kills < 100; seconds *= 1.15) {
    code = run(concat("timeout -s KILL ", seconds, " ", program, output("killed.tsv")));
    if (code == 0) break;
    ASSERT_EQ(code, 128 + 9);
    EXPECT_FALSE(std::filesystem::exists(folder / "killed.tsv"));
    ++kills;
  }
  EXPECT_GT(kills, 3);
  EXPECT_EQ(io::read_file(folder / "killed.tsv"), io::read_file(folder / "whole.tsv"));
  EXPECT_FALSE(std::filesystem::exists(folder / "killed.tsv.work"));
}

TEST(CurateProgram, MistakesAreNamed) {
  const tests::TempFolder folder;
  const auto message = [&](const std::string& arguments) {
    run(concat("'", FOVEA_PROGRAMS_DIR "/curate' ", arguments, " >/dev/null 2>'", folder / "errors", "'"));
    return io::read_file(folder / "errors");
  };
  EXPECT_EQ(message("a.tsv"), "[curate] no output is named, expected --output FILE\n");
  EXPECT_EQ(message("a.tsv --output b.tsv --memory 3X"),
            "[curate] memory is \"3X\", expected a number of bytes, or one with K, M or G\n");
  EXPECT_NE(message("a.tsv --output b.tsv --unsafe-model m").find("needs --unsafe-prompts"), std::string::npos);
}

}  // namespace
}  // namespace fovea
