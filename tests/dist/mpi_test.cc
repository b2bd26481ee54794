// Processes that mpirun starts; rank_program.cc is what they do.
#include "fovea/dist/mpi.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "../support/mpirun.h"
#include "fovea/core/cpu.h"

namespace fovea::dist {
namespace {

using tests::Finished;

#ifdef FOVEA_MPIRUN

Finished run(int ranks, const std::string& name, const std::string& environment = "") {
  return tests::run_command(
      concat("FOVEA_NUM_THREADS=1 ", environment, " ", tests::mpirun(ranks), FOVEA_RANK_PROGRAM, " ", name));
}

TEST(Mpi, CollectivesOnRealProcesses) {
  for (const int ranks : {2, 3, 4}) {
    const Finished done = run(ranks, "collectives");
    EXPECT_EQ(done.status, 0) << done.output;
  }
}

TEST(Mpi, LossesGiveTheGradientsOfOneRank) {
  for (const int ranks : {2, 3, 4}) {
    const Finished done = run(ranks, "losses");
    EXPECT_EQ(done.status, 0) << done.output;
  }
}

TEST(Mpi, TheRingHoldsNoMatrixAndMovesTheBytesOfTheModel) {
  const Finished done = run(4, "memory");
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_TRUE(done.says("info_nce: ") && done.says("pair_sigmoid: ")) << done.output;
}

TEST(Mpi, ARankThatIsKilledEndsTheJobAndIsNamed) {
  const Finished done = run(3, "dies");
  EXPECT_NE(done.status, 0);
  EXPECT_TRUE(done.says("process rank 1") && done.says("signal 9")) << done.output;
  EXPECT_LT(done.seconds, 60);
}

TEST(Mpi, ARankThatFailsEndsTheJobAndSaysWhy) {
  const Finished done = run(3, "fails");
  EXPECT_NE(done.status, 0);
  EXPECT_TRUE(done.says("rank 1 (process ") && done.says("[test] only here")) << done.output;
  EXPECT_LT(done.seconds, 60);
}

TEST(Mpi, WhatAllRanksSayIsSaidOnce) {
  const Finished done = run(3, "all_fail");
  EXPECT_NE(done.status, 0);
  EXPECT_EQ(done.count("[test] the same on every rank"), 1) << done.output;
}

TEST(Mpi, ARankThatDoesNotAnswerIsNamed) {
  const Finished done = run(3, "hangs", "FOVEA_RANK_TIMEOUT=2");
  EXPECT_NE(done.status, 0);
  EXPECT_TRUE(done.says(" s in a sum for rank 1 (process ")) << done.output;
  EXPECT_LT(done.seconds, 60);
}

TEST(Mpi, WarningsNameTheirRank) {
  const Finished done = run(2, "warns");
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_EQ(done.count("): warning: be careful"), 2) << done.output;
}

TEST(Mpi, RanksShareTheProcessors) {
  const std::string command = tests::mpirun(2) + FOVEA_RANK_PROGRAM " threads";
  const Finished done = tests::run_command("env -u FOVEA_NUM_THREADS " + command);
  EXPECT_EQ(done.status, 0) << done.output;
  const int share = std::max(1, cpu::processors() / 2);
  for (int rank = 0; rank < 2; ++rank)
    EXPECT_TRUE(done.says(concat("rank ", rank, " of 2 has ", share, " threads"))) << done.output;
}

TEST(Mpi, AnotherMpisLauncherIsRefused) {
  const Finished done = tests::run_command("PMI_SIZE=4 " FOVEA_RANK_PROGRAM " collectives");
  EXPECT_EQ(done.status, 1);
  EXPECT_TRUE(
      done.says("[dist] this process was started as one of 4 (PMI_SIZE), but the MPI library that fovea was "
                "built with sees 1"))
      << done.output;
}

TEST(Mpi, WithoutALauncherThereIsOneRank) {
  const Finished done = tests::run_command(FOVEA_RANK_PROGRAM " threads");
  EXPECT_TRUE(done.says("rank 0 of 1 has ")) << done.output;
}

#else

TEST(Mpi, SaysHowToBuildWithIt) {
  EXPECT_FALSE(has_mpi());
  const Finished done = tests::run_command("OMPI_COMM_WORLD_SIZE=2 " FOVEA_RANK_PROGRAM " threads");
  EXPECT_EQ(done.status, 1);
  EXPECT_TRUE(
      done.says("[dist] this process was started as one of 2 (OMPI_COMM_WORLD_SIZE), but fovea was built "
                "without MPI\nhint: apt-get install libopenmpi-dev openmpi-bin"))
      << done.output;
  GTEST_SKIP() << "MPI was not found: what needs it is not tested (Debian: libopenmpi-dev openmpi-bin)";
}

#endif

}  // namespace
}  // namespace fovea::dist
