// Files and encoders for the tests of this folder.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fovea/core/error.h"
#include "fovea/data/text_encoder.h"

namespace fovea::data {

// A folder that disappears with the object.
class TempFolder {
 public:
  TempFolder() : path_(testing::TempDir() + "fovea_" + std::to_string(::getpid()) + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string write(const std::string& name, const std::string& content) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }

 private:
  std::string path_;
};

// One token per byte, after a token 256.
struct ByteEncoder : TextEncoder {
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids{256};
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
};

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace fovea::data
