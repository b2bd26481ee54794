// SentencePiece models as pipelines.
#pragma once

#include <string>

#include "fovea/text/tokenizer.h"
#include "text/pipeline.h"

namespace fovea::text::detail {

// The pipeline of a .model file's bytes. Its parts are what Hugging Face's tokenizers need for the same tokens. Throws
// Error naming `source`.
Pipeline sentence_piece_pipeline(std::string bytes, const SentencePieceOptions& options, const std::string& source);

}  // namespace fovea::text::detail
