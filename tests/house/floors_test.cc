// The house rules that a compiler does not check: headers include only lower floors, and stay light.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, int> floors{{"core", 0},   {"kernels", 1}, {"tensor", 2},   {"autograd", 3},
                                        {"ops", 4},    {"nn", 5},      {"optim", 6},    {"objectives", 7},
                                        {"models", 8}, {"eval", 9},    {"generate", 9}, {"train", 10}};
// Wings: the highest floor they may use, and the lowest that may use them.
const std::map<std::string, std::pair<int, int>> wings{
    {"text", {2, 3}}, {"image", {2, 3}}, {"data", {2, 3}}, {"io", {2, 3}}, {"dist", {3, 4}}};

bool may_include(const std::string& from, const std::string& to) {
  if (from == to || from == "testing" || from == "interop") return true;
  const bool from_wing = wings.contains(from), to_wing = wings.contains(to);
  if (from_wing && to_wing) return true;
  if (from_wing) return floors.contains(to) && floors.at(to) <= wings.at(from).first;
  if (to_wing) return floors.contains(from) && floors.at(from) >= wings.at(to).second;
  return floors.contains(from) && floors.contains(to) && floors.at(to) <= floors.at(from);
}

TEST(House, HeadersIncludeLowerFloorsOnly) {
  const fs::path root = fs::path(FOVEA_SOURCE_DIR) / "include" / "fovea";
  const std::regex include("#include \"fovea/([a-z_]+)/[^\"]*\"");
  int headers = 0;
  for (const auto& file : fs::recursive_directory_iterator(root)) {
    if (file.path().extension() != ".h" || file.path().parent_path() == root) continue;
    ++headers;
    const std::string folder = fs::relative(file.path(), root).begin()->string();
    std::ifstream in(file.path());
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (std::regex_search(line, match, include)) {
        EXPECT_TRUE(may_include(folder, match[1])) << file.path() << " includes " << match[0];
      }
    }
  }
  EXPECT_GT(headers, 30);
}

TEST(House, PublicHeadersAvoidHeavyOnes) {
  const std::regex heavy("#include <(functional|thread|filesystem|iostream|regex|Eigen.*|nlohmann.*|hwy.*|gtest.*)>");
  for (const auto& file : fs::recursive_directory_iterator(fs::path(FOVEA_SOURCE_DIR) / "include" / "fovea")) {
    if (file.path().extension() != ".h" || file.path().parent_path().filename() == "interop") continue;
    std::ifstream in(file.path());
    for (std::string line; std::getline(in, line);)
      EXPECT_FALSE(std::regex_search(line, heavy)) << file.path() << ": " << line;
  }
}

std::set<std::string> included(const fs::path& header) {
  const std::regex include("#include \"(fovea/[^\"]*)\"");
  std::set<std::string> names;
  std::ifstream in(header);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_search(line, match, include)) names.insert(match[1]);
  }
  return names;
}

TEST(House, UmbrellasListTheirFolders) {
  const fs::path include = fs::path(FOVEA_SOURCE_DIR) / "include", root = include / "fovea";
  std::set<std::string> umbrellas;
  for (const auto& folder : fs::directory_iterator(root)) {
    const std::string name = folder.path().filename().string();
    if (!folder.is_directory() || name == "interop") continue;
    std::set<std::string> headers;  // not those of subfolders, which are private
    for (const auto& file : fs::directory_iterator(folder)) {
      if (file.path().extension() == ".h") headers.insert(fs::relative(file.path(), include).string());
    }
    EXPECT_EQ(included(root / (name + ".h")), headers) << "fovea/" << name << ".h";
    if (name != "testing") umbrellas.insert("fovea/" + name + ".h");
  }
  EXPECT_EQ(included(root / "fovea.h"), umbrellas);
}

// What everybody who includes fovea.h compiles, counted as `c++ -E -P` does.
TEST(House, UmbrellaStaysSmall) {
  const std::string header = std::string(FOVEA_SOURCE_DIR) + "/include/fovea/fovea.h";
  const std::string command = "\"" FOVEA_CXX_COMPILER "\" -std=c++20 -E -P -x c++ \"-I" FOVEA_SOURCE_DIR
                              "/include\" \"" +
                              header + "\" 2>/dev/null";
  FILE* lines = popen(command.c_str(), "r");
  if (lines == nullptr) GTEST_SKIP() << "no process for " << command;
  int count = 0;
  for (int c = std::fgetc(lines); c != EOF; c = std::fgetc(lines)) count += c == '\n';
  if (pclose(lines) != 0) GTEST_SKIP() << "cannot run " << command;
  EXPECT_GT(count, 10000);
  EXPECT_LE(count, 60000)
      << "fovea.h is too heavy\nhint: <algorithm> and <unordered_map> alone are 9,000 and 2,000 lines";
}

}  // namespace
