// Every file of the fuzzers' corpora, those that once failed among them.
#include <gtest/gtest.h>

#include <filesystem>

#include "fovea/io/file.h"
#include "targets.h"

namespace fovea::fuzz {
namespace {

// Feeds the target every file of a folder, and counts them.
int run_folder(const Target& target, const std::filesystem::path& folder) {
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(file.path());
    const std::string bytes = io::read_file(file.path());
    EXPECT_LE(bytes.size(), 200'000u);
    target.run(bytes);
    ++files;
  }
  return files;
}

TEST(FuzzCorpus, EveryFileIsReadOrRefused) {
  const std::filesystem::path tests = FOVEA_SOURCE_DIR "/tests";
  for (const Target& target : targets) {
    const int files = run_folder(target, tests / "fuzz" / "corpus" / target.name);
    EXPECT_GE(files, 3) << target.name;
    EXPECT_LE(files, 50) << target.name;
    if (*target.seeds) {
      EXPECT_GE(run_folder(target, tests / "golden" / target.seeds), 3) << target.name;
    }
  }
}

}  // namespace
}  // namespace fovea::fuzz
