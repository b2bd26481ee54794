// Inputs of published models as their classes take them: by name, texts padded. Private to the sources.
#pragma once

#include <string>
#include <vector>

#include "fovea/io/safetensors.h"
#include "fovea/models/run_hf.h"
#include "fovea/models/text_transformer.h"

namespace fovea::models::detail {

// The named inputs of one run. Throws Error for a name that is not among the known ones.
class RunInputs {
 public:
  RunInputs(const io::TensorMap& tensors, const std::vector<std::string>& known);

  const Tensor* find(const std::string& name) const;
  // The input "cotangent.NAME", which weighs the numbers of an output of that shape; null where there is none. Throws
  // Error when it has another shape.
  const Tensor* cotangent(const std::string& name, const Shape& shape) const;

 private:
  const io::TensorMap& tensors_;
};

// loss + the sum of an output's numbers times weights; the loss may be undefined.
Var plus_weighted(const Var& loss, const Var& output, const Tensor& weights);

// Adds the loss and, where they are asked for, its gradients to what a run gives.
void add_loss(const Var& loss, const std::vector<nn::ParamEntry>& entries, const RunOptions& options,
              io::TensorMap& outputs);

// Pictures (N, 3, S, S) -> (N, S, S, 3) of the model's type. Throws Error when they are not of side `size`.
Tensor run_images(const Tensor& pixels, std::int64_t size, DType dtype);

// Padded texts, and the same without pads.
struct PaddedTexts {
  Tensor padded;                     // (B * L) i32
  std::int64_t count, length;        // B, L
  Tensor tokens;                     // (T) i32
  PackedLayout layout;               // positions count pads
  std::vector<std::int64_t> places;  // (T) where in `padded` each token stands

  // input_ids (B, L) and attention_mask (B, L), null for all ones. Throws Error when they do not fit each other or a
  // model of that vocabulary and that many positions.
  PaddedTexts(const Tensor& ids, const Tensor* mask, std::int64_t vocabulary, std::int64_t context);

  // Whole numbers (B, L), one for each token, without pads: (T) i32. Throws Error, naming the input, unless each lies
  // in [0, classes) or is `other`.
  Tensor packed(const char* name, const Tensor& values, std::int64_t classes, std::int64_t other) const;

  // The packed rows of tokens `rows` (B) of `padded`. Throws Error where one is a pad.
  Tensor packed_rows(Tensor rows) const;

  // Packed rows (T, D) at their places in (B, L, D), zeros elsewhere; and the other way round.
  Tensor unpacked(const Tensor& rows) const;
  Tensor packed(const Tensor& values) const;
};

}  // namespace fovea::models::detail
