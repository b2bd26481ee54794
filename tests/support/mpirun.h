// Programs run by mpirun.
#pragma once

#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "fovea/core/error.h"

namespace fovea::tests {

struct Finished {
  int status = 0;  // the exit code
  std::string output;
  double seconds = 0;

  bool says(const std::string& part) const { return output.find(part) != std::string::npos; }
  int count(const std::string& part) const {
    int found = 0;
    for (std::size_t at = output.find(part); at != std::string::npos; at = output.find(part, at + 1)) ++found;
    return found;
  }
};

inline Finished run_command(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  Finished finished;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  FOVEA_CHECK(pipe != nullptr, "[test] cannot run ", command);
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) finished.output.append(buffer, n);
  const int status = ::pclose(pipe);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  finished.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return finished;
}

#ifdef FOVEA_MPIRUN

// The start of a command that runs `ranks` processes, also as root and on fewer processors.
inline std::string mpirun(int ranks) {
  return concat("timeout 100 ", FOVEA_MPIRUN, " --allow-run-as-root --oversubscribe --bind-to none -n ", ranks, " ");
}

#endif

}  // namespace fovea::tests
