#include "fovea/models/model_folder.h"

#include "models/model_kinds.h"

namespace fovea::models {

std::vector<std::string> rewrite_model(const std::string& from, const std::string& to, ModelLayout layout,
                                       io::FloatFormat floats) {
  return detail::model_kind(from, folder_kind(from)).rewrite(from, to, layout, floats);
}

}  // namespace fovea::models
