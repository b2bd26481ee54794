#include "fovea/nn/visit.h"

#include <unordered_map>

#include "nn/differences.h"

namespace fovea::nn {
namespace {

// The parameters whose paths match one of the globs.
std::vector<ParamLeaf*> matching(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs,
                                 const char* place) {
  std::vector<bool> matched(entries.size(), false);
  for (const std::string& glob : globs) {
    bool found = false;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].leaf->is_buffer() || !glob_matches(glob, entries[i].path)) continue;
      matched[i] = found = true;
    }
    FOVEA_CHECK(found, "[", place, "] \"", glob, "\" matches no parameter; the first is ",
                entries.empty() ? std::string("(none)") : entries.front().path);
  }
  // The parts of one parameter stand next to each other.
  for (std::size_t i = 1; i < entries.size(); ++i) {
    FOVEA_CHECK(entries[i].leaf != entries[i - 1].leaf || matched[i] == matched[i - 1], "[", place, "] of ",
                entries[i - 1].path, " and ", entries[i].path,
                " one matches and one does not; they are one matrix\nhint: name all its parts");
  }
  std::vector<ParamLeaf*> leaves;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (matched[i]) leaves.push_back(entries[i].leaf.get());
  }
  return leaves;
}

}  // namespace

void name_parameters(const std::vector<ParamEntry>& entries) {
  for (const ParamEntry& entry : entries) {
    if (entry.begin == 0) entry.leaf->path = entry.path;
  }
}

NodeNames parameter_names(const std::vector<ParamEntry>& entries) {
  NodeNames names;
  for (const ParamEntry& entry : entries) {
    if (!entry.leaf->is_buffer() && entry.begin == 0) names.emplace_back(entry.leaf->node.get(), entry.path);
  }
  return names;
}

// The name of a part has a level of its own: "self_attn.q_proj.weight" belongs to self_attn.
NodeNames module_names(const std::vector<ParamEntry>& entries) {
  NodeNames names;
  for (const ParamEntry& entry : entries) {
    if (entry.leaf->is_buffer() || entry.begin > 0) continue;
    std::string path = entry.path;
    for (int level = entry.is_part ? 2 : 1; level > 0 && path.find('.') != std::string::npos; --level) {
      path.resize(path.rfind('.'));
    }
    names.emplace_back(entry.leaf->node.get(), path);
  }
  return names;
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
  for (ParamLeaf* leaf : matching(entries, globs, "freeze")) leaf->frozen = true;
}

void include_in_decay(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs) {
  for (ParamLeaf* leaf : matching(entries, globs, "include_in_decay")) leaf->decay = true;
}
void exclude_from_decay(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs) {
  for (ParamLeaf* leaf : matching(entries, globs, "exclude_from_decay")) leaf->decay = false;
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
  std::vector<std::string> problems;
  for (const ParamEntry& entry : to) {
    const auto found = sources.find(entry.path);
    if (found == sources.end()) {
      problems.push_back("missing: " + entry.path);
    } else if (!(found->second->value().shape() == entry.value().shape())) {
      problems.push_back(concat(entry.path, " is ", found->second->value().shape(), " in the source, ",
                                entry.value().shape(), " in the destination"));
    }
  }
  refuse_differences("[copy_parameters] the source does not fit the destination", problems);
  for (const ParamEntry& entry : to) entry.value().copy_from(sources.at(entry.path)->value());
}

}  // namespace fovea::nn
