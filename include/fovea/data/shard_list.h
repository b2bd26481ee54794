// Names of webdataset shards, as open_clip's users write them.
#pragma once

#include <string>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::data {

struct Shard {
  std::string path;
  double weight = 1;  // how often it is drawn, relative to the others, when shards are drawn with replacement
};

// The texts that a pattern of braces stands for, in order, as Bash expands them: numbers ("{000..031}", which keep
// their width, "{0..30..10}"), letters ("{a..c}") and alternatives ("{train,val}"), one inside the other as well.
// Braces that hold neither stay as they are. Throws Error for more than a million.
FOVEA_API std::vector<std::string> expand_braces(const std::string& pattern);

// The shards of one or several sources, which "::" separates: each a pattern of braces, or a folder, whose tar files
// are taken in alphabetical order. `factors`, when not empty, holds a weight above 0 for each source ("1::2.5"). Throws
// Error when a source has no shard or files are missing (naming the first), and for factors of another number.
FOVEA_API std::vector<Shard> list_shards(const std::string& sources, const std::string& factors = "");

// Whether a path names shards: by "::", or because it ends like a tar archive or is a folder with one.
FOVEA_API bool names_shards(const std::string& path);

}  // namespace fovea::data
