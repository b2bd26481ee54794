// A published model on given inputs, as its original class computes it: what one compares with.
#pragma once

#include <optional>
#include <string>

#include "fovea/io/safetensors.h"
#include "fovea/models/clip_layouts.h"

namespace fovea::models {

struct RunOptions {
  DType precision = DType::f32;       // or f64
  bool gradients = false;             // of the loss, for every parameter
  std::optional<ModelLayout> layout;  // of the folder; by default as folder_kind sees it
};

// Runs the model of a folder in evaluation mode. For "clip" (CLIPModel, open_clip's CLIP) and "siglip" (SiglipModel):
//
//   inputs   pixel_values (N, 3, S, S) of a floating type; input_ids (B, L) i64 or i32; attention_mask (B, L), 1 for
//            tokens and 0 for pads, by default all ones. Pictures or texts may be left out.
//   outputs  image_embeds (N, E) and text_embeds (B, E) of unit length; with both, logits_per_image (N, B) and
//            logits_per_text (B, N), and of "siglip" probs_per_image, the sigmoid of the former; if N = B, also loss
//            (), InfoNCE or the pairwise sigmoid loss. vision_model_output.* and text_model_output.*:
//            last_hidden_state (N or B, tokens, D), zero where attention_mask is 0, and pooler_output, the embeddings
//            before they are scaled (what CLIPModel of transformers 5 calls so). Towers other than the transformers
//            have none of the latter.
//   grad.NAME  with `gradients`: of the loss, NAME and layout being those of the folder's file.
//
// For "bert", BertModel and BertForMaskedLM:
//
//   inputs   input_ids and attention_mask as above; token_type_ids (B, L), by default all 0. Of BertForMaskedLM labels
//            (B, L): what is to be predicted, -100 for nothing. Of BertModel cotangent.NAME, of an output's shape: the
//            loss is the sum of these outputs, each number times the one there.
//   outputs  last_hidden_state (B, L, D) and, with a pooler, pooler_output (B, D); or logits (B, L, V). Zero where
//            attention_mask is 0, unless pooled. loss () where the inputs give one, grad.NAME as above.
//
// Throws Error when the folder cannot be read, for inputs that do not fit the model, and when gradients are asked for
// where there is no loss.
FOVEA_API io::TensorMap run_hf(const std::string& folder, const io::TensorMap& inputs, const RunOptions& options = {});

}  // namespace fovea::models
