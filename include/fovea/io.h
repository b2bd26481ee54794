// fovea/io: files of tensors.
#pragma once

#include "fovea/io/file.h"
#include "fovea/io/gzip.h"
#include "fovea/io/npy.h"
#include "fovea/io/safetensors.h"
#include "fovea/io/tar.h"
#include "fovea/io/tensor_tree.h"
#include "fovea/io/torch_file.h"
