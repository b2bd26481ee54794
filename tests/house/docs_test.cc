// The pages lead somewhere: links between them, and the index of docs/.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path root = FOVEA_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> pages() {
  std::vector<fs::path> found{root / "README.md", root / "data/README.md"};
  for (const auto& file : fs::directory_iterator(root / "docs")) {
    if (file.path().extension() == ".md") found.push_back(file.path());
  }
  return found;
}

TEST(Docs, LinksLeadToFiles) {
  const std::regex link(R"(\]\(([^)#\s]+)(#[^)]*)?\))");
  int count = 0;
  for (const fs::path& page : pages()) {
    const std::string text = read(page);
    for (std::sregex_iterator match(text.begin(), text.end(), link), end; match != end; ++match) {
      const std::string target = (*match)[1];
      if (target.find("://") != std::string::npos) continue;
      ++count;
      EXPECT_TRUE(fs::exists(page.parent_path() / target)) << page << " links to " << target;
    }
  }
  EXPECT_GT(count, 20);
}

TEST(Docs, IndexListsEveryPage) {
  const std::string index = read(root / "docs/README.md");
  for (const fs::path& page : pages()) {
    const std::string name = page.filename();
    if (name == "README.md") continue;
    EXPECT_NE(index.find("](" + name + ")"), std::string::npos) << "docs/README.md does not list " << name;
  }
}

}  // namespace
