// Pictures and texts as the unit vectors of a CLIP: what every evaluation and search begins with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/image/image.h"
#include "fovea/image/transform.h"
#include "fovea/models/clip.h"
#include "fovea/text/tokenizer.h"

namespace fovea::eval {

// A model with what its inputs go through. It refers to its parts, which must outlive it.
struct ClipEncoder {
  const models::ClipModel& model;
  const text::Tokenizer& tokenizer;
  const image::TransformConfig& transform;
  std::int64_t batch_size = 256;
};

// (texts, E) f32, rows of unit length. Texts longer than the model's context are cut. Throws Error when there are none.
FOVEA_API Tensor embed_texts(const ClipEncoder& encoder, std::span<const std::string> texts);

// A picture that could not be decoded.
struct LeftOut {
  std::int64_t index = 0;
  std::string reason;
};

struct EmbeddedPictures {
  Tensor rows;                     // (pictures that could be decoded, E) f32, of unit length, in the order given
  std::vector<std::int64_t> kept;  // the picture of each row
  std::vector<LeftOut> left_out;
};

// Embeds the pictures read(0), ..., read(count - 1), one batch in memory at a time; `read` is called on several threads
// and throws Error for a picture that cannot be used, which is then left out.
FOVEA_API EmbeddedPictures embed_pictures(const ClipEncoder& encoder, std::int64_t count,
                                          FunctionRef<image::Image(std::int64_t)> read);

// As embed_pictures, but rows (N, D) of the image tower's features as they are: of any length, and before the
// projection into the joint space where the tower itself does not end there. What linear probes of CLIP are trained on
// (Radford et al. 2021, appendix A.3).
FOVEA_API EmbeddedPictures picture_features(const ClipEncoder& encoder, std::int64_t count,
                                            FunctionRef<image::Image(std::int64_t)> read);

// "3 of 200 pictures left out; the first: REASON".
FOVEA_API std::string left_out_message(const EmbeddedPictures& pictures);

}  // namespace fovea::eval
