#include "fovea/data/text_encoder.h"

namespace fovea::data {

TextEncoder::~TextEncoder() = default;  // here, so that the class has one home for its type information

}  // namespace fovea::data
