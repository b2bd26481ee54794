#include "text/post_processor.h"

#include "fovea/core/error.h"

namespace fovea::text::detail {
namespace {

using Ids = std::vector<std::int32_t>;

void check_count(const Ids& ids) {
  constexpr std::size_t most = 4096;
  FOVEA_CHECK(ids.size() <= most, "[tokenizer] the post_processor adds more than ", most, " tokens");
}

struct Surround {
  const Ids& inner;

  Ids between(std::int32_t first, std::int32_t last) const {
    Ids ids{first};
    ids.insert(ids.end(), inner.begin(), inner.end());
    ids.push_back(last);
    return ids;
  }
  Ids operator()(const BertProcessing& bert) const { return between(bert.cls.id, bert.sep.id); }
  Ids operator()(const RobertaProcessing& roberta) const { return between(roberta.cls.id, roberta.sep.id); }
  Ids operator()(const ByteLevel&) const { return inner; }
  Ids operator()(const TemplateProcessing& processing) const {
    Ids ids;
    for (const TemplatePiece& piece : processing.single) {
      const Ids& added = piece.is_text ? inner : processing.special_tokens.at(piece.id).ids;
      ids.insert(ids.end(), added.begin(), added.end());
      check_count(ids);
    }
    return ids;
  }
  Ids operator()(const PostProcessorSequence& sequence) const {
    Ids ids = inner;
    for (const PostProcessor& processor : sequence.processors) {
      ids = processor.around(ids);
      check_count(ids);
    }
    return ids;
  }
};

}  // namespace

std::vector<std::int32_t> PostProcessor::around(const std::vector<std::int32_t>& inner) const {
  return std::visit(Surround{inner}, part);
}

}  // namespace fovea::text::detail
