// The tokenizers whose vocabularies were published as lists of merges or words, as pipelines.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fovea/text/tokenizer.h"
#include "text/pipeline.h"

namespace fovea::text::detail {

struct ClipKind {
  const char *cleaning, *start, *end;  // see NormalizerSequence
  bool specials_start_words;           // see AddedToken
  std::string_view pattern;
};
// openai/CLIP's special tokens, found wherever they stand: ours and Hugging Face's.
inline constexpr ClipKind clip_kind{"clip", "<|startoftext|>", "<|endoftext|>", false, clip_pattern};
// open_clip's own names for them.
inline constexpr ClipKind open_clip_kind{"open_clip", "<start_of_text>", "<end_of_text>", true, open_clip_pattern};

// 256 bytes, 256 bytes that end a word, the merged pieces, start, end. Throws Error when a merge does not fit.
Pipeline clip_pipeline(std::span<const BpeMerge> merges, const ClipKind& kind);

// GPT-2's: byte-level BPE that keeps spaces, "<|endoftext|>" last. The merges as merges.txt lists them; without a
// vocabulary the ids are those of the published one, which follow from the merges. Throws Error naming source and line.
Pipeline gpt2_pipeline(std::string_view merges, std::optional<Vocabulary> vocabulary, const std::string& source);

// BERT's: one entry per line of vocab.txt. Throws Error naming source and line.
Pipeline bert_pipeline(std::string_view words, bool lower_case, const std::string& source);

}  // namespace fovea::text::detail
