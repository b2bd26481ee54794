// The bar's text, plain lines in a file, and a pseudo-terminal.
#include "fovea/train/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

namespace fovea::train {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string contents_of(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  return text;
}

std::size_t count_lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// What arrives at a pseudo-terminal up to the end of a line, or within ten seconds.
std::string line_from(int master) {
  std::string text;
  pollfd waiting{master, POLLIN, 0};
  while (!text.ends_with('\n') && ::poll(&waiting, 1, 10'000) == 1) {
    char buffer[1024];
    const ssize_t count = ::read(master, buffer, sizeof buffer);
    if (count <= 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  return text;
}

TEST(Progress, TextHoldsTheFigures) {
  EXPECT_EQ(progress_text({120, 480, 3.21449, 412.3, 3.4, 610.5, 252}),
            "step 120/480  loss 3.214  412 pairs/s  wait 3 ms  step 610 ms  ETA 4:12 min");
  EXPECT_EQ(progress_text({1, 9, 12, 4.25, 0, 0, NAN}), "step 1/9  loss 12  4.2 pairs/s  wait 0 ms  step 0 ms");
  EXPECT_EQ(progress_text({1, 9, NAN, 0, 0, 0, 0}), "step 1/9  loss nan  0.0 pairs/s  wait 0 ms  step 0 ms  ETA 0 s");
}

TEST(Progress, BarFillsTheWidthInProportion) {
  const ProgressState half{5, 10, 1, 100, 1, 2, 60};
  const std::string text = progress_text(half);
  const int width = static_cast<int>(text.size()) + 23;
  EXPECT_EQ(progress_bar(half, width), "[##########..........] " + text);
  EXPECT_EQ(progress_bar(half, width).size(), static_cast<std::size_t>(width));
  EXPECT_EQ(progress_bar({10, 10, 1, 100, 1, 2, 60}, 400).substr(0, 22), "[" + std::string(20, '#') + "]");
  EXPECT_EQ(progress_bar({0, 0, 1, 100, 1, 2, 60}, 400).substr(0, 22), "[" + std::string(20, '.') + "]");
}

TEST(Progress, NeverExceedsTheWidth) {
  const ProgressState state{123456, 999999, 1.234e-5, 123456, 1234, 5678, 99999};
  for (int width = 0; width < 150; ++width)
    EXPECT_LE(progress_bar(state, width).size(), static_cast<std::size_t>(width));
  EXPECT_EQ(progress_bar(state, 11), "step 123456");
}

TEST(Progress, PlainLinesAreSparseButEndWithTheLastStep) {
  const File file(std::tmpfile(), &std::fclose);
  {
    Progress progress(100, file.get(), 3600);
    for (int step = 1; step <= 100; ++step) progress.update({step, 0, 1.0 / step, 50, 1, 2});
    progress.clear();
  }
  const std::string text = contents_of(file.get());
  EXPECT_EQ(count_lines(text), 2u) << text;
  EXPECT_EQ(text.substr(0, 10), "step 1/100");
  EXPECT_NE(text.find("\nstep 100/100  loss 0.01  50 pairs/s  wait 1 ms  step 2 ms  ETA 0 s\n"), std::string::npos)
      << text;
}

TEST(Progress, PlainLinesComeAtTheInterval) {
  const File file(std::tmpfile(), &std::fclose);
  Progress progress(3, file.get(), 0);
  for (int step = 1; step <= 3; ++step) progress.update({step, 0, 1, 1, 1, 1});
  progress.finish();
  EXPECT_EQ(count_lines(contents_of(file.get())), 3u);
}

TEST(Progress, SaysNothingWhenNothingHappened) {
  const File file(std::tmpfile(), &std::fclose);
  { const Progress progress(3, file.get()); }
  EXPECT_EQ(contents_of(file.get()), "");
}

TEST(Progress, ATerminalsLineIsWrittenOverAndFitsIt) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) GTEST_SKIP() << "no pseudo-terminals here";
  const File terminal(::fopen(::ptsname(master), "w"), &std::fclose);
  ASSERT_NE(terminal, nullptr);
  winsize size{};
  size.ws_col = 90;
  ASSERT_EQ(::ioctl(master, TIOCSWINSZ, &size), 0);
  {
    Progress progress(2, terminal.get(), 3600);
    progress.update({1, 0, 1, 1});
    progress.update({2, 0, 1, 1});
  }
  const std::string text = line_from(master);
  ::close(master);
  ASSERT_FALSE(text.empty());
  const std::string first = "\r\x1b[K" + progress_bar({1, 2, 1, 1, 0, 0, NAN}, 89);
  EXPECT_EQ(text.substr(0, first.size()), first);
  EXPECT_EQ(count_lines(text), 1u);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_NE(text.find("step 2/2"), std::string::npos);
}

}  // namespace
}  // namespace fovea::train
