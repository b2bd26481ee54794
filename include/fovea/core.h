// fovea/core: errors, shapes, memory, threads, random numbers.
#pragma once

#include "fovea/core/allocator.h"
#include "fovea/core/cpu.h"
#include "fovea/core/dtype.h"
#include "fovea/core/error.h"
#include "fovea/core/export.h"
#include "fovea/core/hash.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
#include "fovea/core/rng.h"
#include "fovea/core/shape.h"
#include "fovea/core/storage.h"
#include "fovea/core/suggest.h"
