#include "io/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fovea/core/error.h"

namespace fovea::io::detail {

Input::Input(std::string_view kind, const std::string& path) : name_(path), place_(concat("[", kind, "] ", path)) {
  const auto check = [&](bool good, const auto&... reason) {
    if (good) return;
    if (descriptor_ >= 0) ::close(descriptor_);
    fail(reason...);
  };
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(descriptor_ >= 0, "[", kind, "] cannot open ", path, ": ", std::strerror(errno));
  struct stat status {};
  check(::fstat(descriptor_, &status) == 0, "[", kind, "] cannot read ", path, ": ", std::strerror(errno));
  check(S_ISREG(status.st_mode), place_, " is not a regular file");
  size_ = status.st_size;
}

Input::Input(std::string_view kind, std::string_view name, std::string_view bytes)
    : name_(name),
      place_(concat("[", kind, "] ", name)),
      memory_(bytes.data()),
      size_(static_cast<std::int64_t>(bytes.size())) {}

Input::~Input() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Input::read(std::int64_t begin, void* to, std::int64_t bytes) const {
  FOVEA_CHECK(begin >= 0 && bytes >= 0 && begin <= size_ && bytes <= size_ - begin, place_, ": ", bytes,
              " bytes at byte ", begin, " are needed, the file ends at ", size_, "\nhint: the file is cut short");
  if (bytes == 0) return;
  if (descriptor_ < 0) {
    std::memcpy(to, memory_ + begin, static_cast<std::size_t>(bytes));
    return;
  }
  char* next = static_cast<char*>(to);
  for (std::int64_t done = 0; done < bytes;) {
    const ssize_t count = ::pread(descriptor_, next + done, static_cast<std::size_t>(bytes - done), begin + done);
    if (count < 0 && errno == EINTR) continue;
    FOVEA_CHECK(count > 0, place_, ": cannot read ", bytes, " bytes at byte ", begin, ": ",
                count < 0 ? std::strerror(errno) : "the file became shorter");
    done += count;
  }
}

std::string Input::read(std::int64_t begin, std::int64_t bytes) const {
  FOVEA_CHECK(bytes <= size_, place_, ": ", bytes, " bytes at byte ", begin, " are needed, the file ends at ", size_,
              "\nhint: the file is cut short");
  std::string text(static_cast<std::size_t>(bytes), '\0');
  read(begin, text.data(), bytes);
  return text;
}

}  // namespace fovea::io::detail
