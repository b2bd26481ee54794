// Bytes to read at known places: of a file, or of memory. Private to the sources.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::io::detail {

// Errors open with "[kind] name"; `name` is the file's path, or what stands for it.
class Input {
 public:
  // Opens a regular file. Throws Error with the system's reason.
  Input(std::string_view kind, const std::string& path);
  // The bytes must outlive this object.
  Input(std::string_view kind, std::string_view name, std::string_view bytes);
  ~Input();
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  const std::string& place() const { return place_; }
  const std::string& name() const { return name_; }
  std::int64_t size() const { return size_; }

  // Throws Error when the range is not inside, or cannot be read.
  void read(std::int64_t begin, void* to, std::int64_t bytes) const;
  std::string read(std::int64_t begin, std::int64_t bytes) const;

 private:
  std::string name_, place_;
  int descriptor_ = -1;
  const char* memory_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace fovea::io::detail
