// fovea/image: pictures.
#pragma once

#include "fovea/image/augment.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/image.h"
#include "fovea/image/normalize.h"
#include "fovea/image/perceptual_hash.h"
#include "fovea/image/preprocessor.h"
#include "fovea/image/rand_augment.h"
#include "fovea/image/resize.h"
#include "fovea/image/transform.h"
