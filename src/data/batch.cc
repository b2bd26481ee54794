#include "fovea/data/batch.h"

namespace fovea::data {

Tensor Batch::normalized_images(DType dtype) const {
  return images.dtype() == DType::u8 ? image::normalized(images, normalization).to(dtype) : images.to(dtype);
}

}  // namespace fovea::data
