// docs/errors.md is true as long as it names every place, and every message of the parts that users meet.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path root = FOVEA_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> sources(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& file : fs::recursive_directory_iterator(root / folder)) {
    const std::string type = file.path().extension();
    if (type == ".h" || type == ".cc" || type == ".cpp") found.push_back(file.path());
  }
  return found;
}

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Reads the literal that begins at `at`, and leaves `at` behind its end.
std::string read_literal(std::string_view code, std::size_t& at, char quote) {
  std::string text;
  for (++at; at < code.size() && code[at] != quote; ++at) {
    if (code[at] != '\\') {
      text += code[at];
    } else if (++at < code.size()) {
      text += code[at] == 'n' ? '\n' : code[at];
    }
  }
  ++at;
  return text;
}

bool begins_raw_literal(std::string_view code, std::size_t at) {
  return code.substr(at).starts_with("R\"(") && (at == 0 || !is_name(code[at - 1]));
}

// The constant pieces of a call's message, in order; literals that stand side by side are one piece. `at` is behind the
// call's opening parenthesis. The first argument of a check is its condition.
std::vector<std::string> message_pieces(std::string_view code, std::size_t at, bool is_check) {
  std::vector<std::string> pieces;
  bool joined = false, in_message = !is_check;
  for (int depth = 1; at < code.size() && depth > 0;) {
    const char c = code[at];
    std::string text;
    if (c == '"') {
      text = read_literal(code, at, '"');
    } else if (begins_raw_literal(code, at)) {
      const std::size_t end = code.find(")\"", at);
      text = code.substr(at + 3, end - at - 3);
      at = end + 2;
    } else {
      if (c == '\'') {
        read_literal(code, at, '\'');
        continue;
      }
      depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
      if (c == ',' && depth == 1) in_message = true;
      if (!std::isspace(static_cast<unsigned char>(c))) joined = false;
      ++at;
      continue;
    }
    if (in_message && joined) pieces.back() += text;
    if (in_message && !joined) pieces.push_back(text);
    joined = in_message;
  }
  return pieces;
}

int count_words(std::string_view text) {
  int words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool letter = std::isalpha(static_cast<unsigned char>(c));
    words += letter && !inside;
    inside = (inside || letter) && !std::isspace(static_cast<unsigned char>(c));
  }
  return words;
}

// Without the punctuation that joins it to what stands beside it.
std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \n,:\"");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \n,:") - begin + 1));
}

// The first constant piece, of at least three words, of what stands before the hint; empty when there is none.
std::string telling_piece(const std::vector<std::string>& pieces) {
  for (const std::string& piece : pieces) {
    std::string_view text = piece;
    const std::size_t line_end = text.find('\n', text.find_first_not_of('\n'));
    const bool hint = trimmed(text).starts_with("hint:");
    text = text.substr(0, line_end);
    if (text.starts_with('[')) text.remove_prefix(std::min(text.find(']'), text.size() - 1) + 1);
    if (hint) break;
    if (count_words(text) >= 3) return trimmed(text);
    if (line_end != std::string_view::npos) break;
  }
  return "";
}

std::vector<std::string> messages(const std::string& code) {
  std::vector<std::string> found;
  for (const std::string_view name : {"FOVEA_CHECK(", "fail(", "warning("}) {
    for (std::size_t at = code.find(name); at != std::string::npos; at = code.find(name, at + 1)) {
      if (at > 0 && is_name(code[at - 1])) continue;
      std::string piece = telling_piece(message_pieces(code, at + name.size(), name.front() == 'F'));
      if (!piece.empty()) found.push_back(std::move(piece));
    }
  }
  return found;
}

// Names in brackets that open a string.
std::vector<std::string> places(const std::string& code) {
  std::vector<std::string> found;
  for (std::size_t at = code.find("\"["); at != std::string::npos; at = code.find("\"[", at + 1)) {
    std::size_t end = at + 2;
    while (end < code.size() && (std::islower(static_cast<unsigned char>(code[end])) || code[end] == '_' ||
                                 std::isdigit(static_cast<unsigned char>(code[end]))))
      ++end;
    if (end > at + 2 && end < code.size() && code[end] == ']') found.push_back(code.substr(at + 1, end - at));
  }
  return found;
}

// A heading, or a row of a table.
bool has_section(const std::string& page, const std::string& place) {
  for (std::size_t at = page.find(place); at != std::string::npos; at = page.find(place, at + 1)) {
    const char first = page[page.rfind('\n', at) + 1];
    if (first == '#' || first == '|') return true;
  }
  return false;
}

TEST(ErrorsPage, HasEveryPlace) {
  const std::string page = read(root / "docs/errors.md");
  int count = 0;
  for (const char* folder : {"include", "src", "examples"}) {
    for (const fs::path& file : sources(folder)) {
      for (const std::string& place : places(read(file))) {
        ++count;
        EXPECT_TRUE(has_section(page, place)) << "docs/errors.md has no section or row for " << place << " of " << file;
      }
    }
  }
  EXPECT_GT(count, 200);
}

TEST(ErrorsPage, HasEveryMessageThatUsersMeet) {
  const std::string page = read(root / "docs/errors.md");
  int count = 0;
  for (const char* folder :
       {"src/data", "src/eval", "src/image", "src/io", "src/models", "src/nn", "src/text", "src/train", "examples"}) {
    for (const fs::path& file : sources(folder)) {
      for (const std::string& message : messages(read(file))) {
        ++count;
        EXPECT_NE(page.find(message), std::string::npos)
            << "docs/errors.md does not have the words\n  " << message << "\nof " << file;
      }
    }
  }
  EXPECT_GT(count, 150);
}

}  // namespace
