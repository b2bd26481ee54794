#include "text/file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "fovea/core/error.h"

namespace fovea::text::detail {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  FOVEA_CHECK(in, "[file] cannot open ", path, ": ", std::strerror(errno));
  std::string contents(std::istreambuf_iterator<char>(in), {});
  FOVEA_CHECK(in.good() || in.eof(), "[file] cannot read ", path, ": ", std::strerror(errno));
  return contents;
}

void write_file(const std::string& path, std::string_view contents) {
  std::ofstream out(path, std::ios::binary);
  out << contents;
  out.close();
  FOVEA_CHECK(out, "[file] cannot write ", path, ": ", std::strerror(errno));
}

}  // namespace fovea::text::detail
