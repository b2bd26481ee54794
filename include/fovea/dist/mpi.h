// Processes that mpirun started.
#pragma once

#include "fovea/dist/group.h"

namespace fovea::dist {

// The processes that mpirun (or srun with PMI) started together with this one, or a group of one when there are none.
// The first call joins them: it starts MPI (funneled through the calling thread), lets rank 0 alone log information,
// puts the rank before the others' warnings, and shares the processors among ranks of one machine that may use the same
// ones, unless FOVEA_NUM_THREADS is set. When a process ends with another status than 0, all of them are ended.
//
// Waiting for other ranks is bounded: after FOVEA_RANK_TIMEOUT seconds (1800 unless set) the ranks that do not answer
// are named in an Error. Throws Error when this process was started as one of several but was built without MPI or with
// the MPI of another mpirun, and when the ranks compute with different instruction sets.
FOVEA_API Group& world();

// What a program does with an error that ends it: prints the message, behind the rank where there are several (once,
// when all of them fail in the same way), and returns 1, the status to end with.
FOVEA_API int report_failure(const std::string& message);

// Whether the library was built with MPI.
FOVEA_API bool has_mpi();

}  // namespace fovea::dist
