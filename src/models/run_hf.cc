#include "fovea/models/run_hf.h"

#include "models/model_kinds.h"

namespace fovea::models {

io::TensorMap run_hf(const std::string& folder, const io::TensorMap& inputs, const RunOptions& options) {
  FOVEA_CHECK(options.precision == DType::f32 || options.precision == DType::f64, "[run_hf] precision is ",
              to_string(options.precision), ", expected f32 or f64");
  const FolderKind kind = folder_kind(folder, options.layout);
  return detail::model_kind(folder, kind).run(folder, kind.layout, inputs, options);
}

}  // namespace fovea::models
