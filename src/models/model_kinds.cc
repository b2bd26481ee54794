#include "models/model_kinds.h"

namespace fovea::models::detail {
namespace {

constexpr ModelKind kinds[]{
    {"clip", run_clip, rewrite_clip},
    {"siglip", run_clip, rewrite_clip},
    {"bert", run_bert, rewrite_bert},
    {"efficientnet", run_efficientnet, rewrite_efficientnet},
};

}  // namespace

const ModelKind& model_kind(const std::string& folder, const FolderKind& kind) {
  std::string known;
  for (const ModelKind& candidate : kinds) {
    if (kind.model_type == candidate.type) return candidate;
    known += concat(known.empty() ? "" : ", ", candidate.type);
  }
  fail("[model] ", folder, "/config.json describes a \"", kind.model_type, "\", expected one of ", known);
}

}  // namespace fovea::models::detail
