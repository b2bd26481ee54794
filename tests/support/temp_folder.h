// A folder for the files of one test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fovea/core/error.h"

namespace fovea::tests {

// Empty, with a name that no other process uses; gone with the object.
class TempFolder {
 public:
  TempFolder() : path_((std::filesystem::temp_directory_path() / "fovea_XXXXXX").string()) {
    FOVEA_CHECK(::mkdtemp(path_.data()) != nullptr, "[test] no temporary folder can be made at ", path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Makes or replaces a file, and returns its path.
  std::string write(const std::string& name, const std::string& contents) const {
    std::string path = *this / name;
    std::ofstream out(path, std::ios::binary);
    out << contents;
    out.close();
    FOVEA_CHECK(out, "[test] cannot write ", path);
    return path;
  }

 private:
  std::string path_;
};

}  // namespace fovea::tests
