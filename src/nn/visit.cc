#include "fovea/nn/visit.h"

#include <unordered_map>

namespace fovea::nn {

void name_parameters(const std::vector<ParamEntry>& entries) {
  for (const ParamEntry& entry : entries) {
    if (entry.begin == 0) entry.leaf->path = entry.path;
  }
}

bool glob_matches(std::string_view glob, std::string_view text) {
  std::size_t g = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && glob[g] == text[t]) {
      ++g, ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

void freeze(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs) {
  for (const std::string& glob : globs) {
    bool matched = false;
    for (const ParamEntry& entry : entries) {
      if (entry.leaf->is_buffer() || !glob_matches(glob, entry.path)) continue;
      entry.leaf->frozen = true;
      matched = true;
    }
    FOVEA_CHECK(matched, "[freeze] \"", glob, "\" matches no parameter; the first is ",
                entries.empty() ? std::string("(none)") : entries.front().path);
  }
}

std::int64_t count_parameters(const std::vector<ParamEntry>& entries) {
  std::int64_t total = 0;
  for (const ParamEntry& entry : entries) {
    if (!entry.leaf->is_buffer() && !entry.leaf->frozen) total += entry.value().numel();
  }
  return total;
}

void copy_parameters(const std::vector<ParamEntry>& from, const std::vector<ParamEntry>& to) {
  std::unordered_map<std::string_view, const ParamEntry*> sources;
  for (const ParamEntry& entry : from) sources.emplace(entry.path, &entry);
  for (const ParamEntry& entry : to) {
    const auto found = sources.find(entry.path);
    FOVEA_CHECK(found != sources.end(), "[copy_parameters] the source has no ", entry.path);
    entry.value().copy_from(found->second->value());
  }
}

}  // namespace fovea::nn
