// fovea/dist: many processes that train one model.
#pragma once

#include "fovea/dist/group.h"
#include "fovea/dist/mpi.h"
#include "fovea/dist/serial.h"
