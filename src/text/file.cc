#include "text/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "fovea/core/error.h"

namespace fovea::text::detail {

std::string read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  FOVEA_CHECK(file, "[file] cannot open ", path, ": ", std::strerror(errno));
  std::string contents;
  char buffer[1 << 16];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) contents.append(buffer, count);
  FOVEA_CHECK(!std::ferror(file.get()), "[file] cannot read ", path, ": ", std::strerror(errno));
  return contents;
}

void write_file(const std::string& path, std::string_view contents) {
  std::ofstream out(path, std::ios::binary);
  out << contents;
  out.close();
  FOVEA_CHECK(out, "[file] cannot write ", path, ": ", std::strerror(errno));
}

}  // namespace fovea::text::detail
