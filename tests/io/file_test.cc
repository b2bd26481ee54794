// Files that are whole or not there, also when the disk or the system refuses.
#include "fovea/io/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/npy.h"
#include "fovea/io/safetensors.h"
#include "fovea/tensor/factory.h"

namespace fovea::io {
namespace {

using tests::error_of;

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks \"" << part << "\"";
}

std::ptrdiff_t files_in(const tests::TempFolder& folder) {
  const auto files = std::filesystem::directory_iterator(folder.path());
  return std::distance(begin(files), end(files));
}

// No file may grow beyond this many bytes while it exists: what a full disk looks like to a writer.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

// A folder that this process may not write to while it exists. The superuser may always: it becomes another user.
class ReadOnly {
 public:
  explicit ReadOnly(const std::string& folder) : folder_(folder) {
    ::chmod(folder.c_str(), 0555);
    if (::geteuid() == 0) became_other_ = ::seteuid(65534) == 0;
  }
  ~ReadOnly() {
    if (became_other_ && ::seteuid(0) != 0) std::abort();
    ::chmod(folder_.c_str(), 0755);
  }

 private:
  std::string folder_;
  bool became_other_ = false;
};

TEST(File, AppearsOnlyWhenCommitted) {
  const tests::TempFolder folder;
  write_file(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("half of a n");
  }
  EXPECT_EQ(read_file(folder / "x"), "old");
  write_file(folder / "x", "new");
  EXPECT_EQ(read_file(folder / "x"), "new");
  EXPECT_EQ(files_in(folder), 1);  // no temporary file is left
}

TEST(File, AFullDiskLosesNothing) {
  const tests::TempFolder folder;
  const std::string x = folder / "x";
  save_safetensors(x, {{"kept", scalar(1)}});
  const std::string before = read_file(x), large(100'000, 'x');
  {
    const SmallDisk disk(10'000);
    expect_contains(error_of([&] { write_file(x, large); }), "[file] cannot write " + x + ": File too large");
    expect_contains(error_of([&] { save_safetensors(x, {{"a", zeros({10'000})}}); }), "cannot write " + x);
    expect_contains(error_of([&] { save_npy(x, zeros({10'000})); }), "cannot write " + x);
  }
  EXPECT_EQ(read_file(x), before);
  EXPECT_EQ(files_in(folder), 1);
}

TEST(File, AReadOnlyFolderLosesNothing) {
  const tests::TempFolder folder;
  const std::string x = folder / "x";
  write_file(x, "old");
  {
    const ReadOnly folder_is(folder.path());
    expect_contains(error_of([&] { write_file(x, "new"); }), "[file] cannot write " + x + ": Permission denied");
    expect_contains(error_of([&] { write_file(folder / "y", "new"); }), "Permission denied");
  }
  EXPECT_EQ(read_file(x), "old");
  EXPECT_EQ(files_in(folder), 1);
}

TEST(File, NamesWhatCannotBeReadOrReplaced) {
  const tests::TempFolder folder;
  expect_contains(error_of([&] { read_file(folder / "none"); }), "cannot open " + (folder / "none") + ": No such file");
  expect_contains(error_of([&] { read_file(folder.path()); }), "cannot read " + folder.path() + ": Is a directory");
  expect_contains(error_of([&] { write_file(folder / "no/x", ""); }),
                  "cannot write " + (folder / "no/x") + ": No such");
  std::filesystem::create_directory(folder / "taken");
  expect_contains(error_of([&] { write_file(folder / "taken", ""); }), "cannot replace " + (folder / "taken"));
  EXPECT_EQ(files_in(folder), 1);
}

}  // namespace
}  // namespace fovea::io
