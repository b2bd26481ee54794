// Errors, shapes, bf16, random numbers, parallel_for, the allocator.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "fovea/core/allocator.h"
#include "fovea/core/cpu.h"
#include "fovea/core/dtype.h"
#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/core/shape.h"

namespace fovea {
namespace {

TEST(Error, JoinsNumbersShapesAndText) {
  try {
    FOVEA_CHECK(false, "[linear] input ", Shape{2, 3}, " has ", 3, " features, scale ", 0.5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[linear] input (2, 3) has 3 features, scale 0.5");
  }
}

TEST(Shape, BroadcastsLikeNumPy) {
  EXPECT_EQ(broadcast_shapes({4, 1, 3}, {5, 1}, "test"), (Shape{4, 5, 3}));
  EXPECT_EQ(broadcast_shapes({}, {2}, "test"), (Shape{2}));
  EXPECT_THROW(broadcast_shapes({2}, {3}, "test"), Error);
  EXPECT_THROW((Shape{1, 2}[2]), Error);
}

TEST(Bfloat16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(bfloat16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80);  // a tie goes to the even mantissa
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3f808001u)).bits, 0x3f81);
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::bit_cast<float>(0x7f800001u)))));
}

// Known answers of Philox4x32-10 (Random123's kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox(RngKey{0}, 0, 0), (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(RngKey{~0ull}, ~0ull, ~0ull),
            (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(RngKey{0x299f31d0a4093822ull}, 0x85a308d3243f6a88ull, 0x0370734413198a2eull),
            (std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, MomentsAndShuffle) {
  Rng rng(7);
  double sum = 0, square = 0;
  constexpr int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double z = rng.normal();
    sum += z;
    square += z * z;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(square / n, 1, 0.02);
  std::vector<int> order{0, 1, 2, 3, 4, 5, 6, 7};
  rng.shuffle(order);
  EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 8u);
}

TEST(ParallelFor, CoversEveryIndexOnceInFixedChunks) {
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    std::vector<std::atomic<int>> hits(1003);
    parallel_for(1003, 100, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 100, 0);
      EXPECT_EQ(end, std::min<std::int64_t>(begin + 100, 1003));
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const auto& hit : hits) EXPECT_EQ(hit, 1);
  }
  set_num_threads(2);
}

TEST(ParallelFor, ThrowsOnTheCallingThread) {
  EXPECT_THROW(parallel_for(64, 1, [](std::int64_t begin, std::int64_t) { FOVEA_CHECK(begin != 40, "no"); }), Error);
}

TEST(Allocator, ReusesAndCounts) {
  allocator::release_cached();
  const auto before = allocator::stats();
  void* a = allocator::allocate(1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % allocator::alignment, 0u);
  EXPECT_GE(allocator::stats().live_bytes, before.live_bytes + 1000);
  allocator::deallocate(a, 1000);
  void* b = allocator::allocate(990);
  EXPECT_EQ(a, b);
  allocator::deallocate(b, 990);
  EXPECT_EQ(allocator::stats().live_bytes, before.live_bytes);
  EXPECT_THROW(allocator::allocate(std::size_t{1} << 60), Error);
  EXPECT_EQ(allocator::stats().live_bytes, before.live_bytes);
}

TEST(Allocator, LargeBlocksServeOtherSizes) {
  constexpr std::size_t mib = std::size_t{1} << 20;
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(allocator::allocate(5 * mib + 100));
  for (const int i : {3, 1, 2, 7, 0, 5, 6, 4})
    allocator::deallocate(blocks[static_cast<std::size_t>(i)], 5 * mib + 100);
  const auto before = allocator::stats();
  EXPECT_GE(before.cached_bytes, static_cast<std::int64_t>(40 * mib));
  void* one = allocator::allocate(30 * mib);
  void* another = allocator::allocate(7 * mib);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(one) % allocator::alignment, 0u);
  EXPECT_EQ(allocator::stats().cache_misses, before.cache_misses);
  EXPECT_EQ(allocator::stats().live_bytes, before.live_bytes + static_cast<std::int64_t>(37 * mib));
  allocator::deallocate(one, 30 * mib);
  allocator::deallocate(another, 7 * mib);
  EXPECT_EQ(allocator::stats().cached_bytes, before.cached_bytes);
  allocator::release_cached();
  EXPECT_EQ(allocator::stats().cached_bytes, 0);
}

// Random sizes in a random order: no two blocks overlap, and all of them come back.
TEST(Allocator, BlocksAreApart) {
  Rng rng(7);
  struct Block {
    unsigned char* data;
    std::size_t size;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  const auto before = allocator::stats().live_bytes;
  for (int i = 0; i < 2000; ++i) {
    if (blocks.size() < 40 && rng.uniform() < 0.6) {
      const auto size = static_cast<std::size_t>(rng.uniform() * (rng.uniform() < 0.5 ? 3e3 : 3e5)) + 1;
      const auto mark = static_cast<unsigned char>(i);
      auto* data = static_cast<unsigned char*>(allocator::allocate(size));
      std::memset(data, mark, size);
      blocks.push_back({data, size, mark});
    } else if (!blocks.empty()) {
      const auto at = static_cast<std::size_t>(rng.uniform() * static_cast<double>(blocks.size()));
      const Block block = blocks[at];
      ASSERT_EQ(std::count(block.data, block.data + block.size, block.mark), static_cast<std::ptrdiff_t>(block.size));
      allocator::deallocate(block.data, block.size);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  for (const Block& block : blocks) allocator::deallocate(block.data, block.size);
  EXPECT_EQ(allocator::stats().live_bytes, before);
}

TEST(Cpu, CapsTheInstructionSet) {
  const auto isas = cpu::available_isas();
  ASSERT_FALSE(isas.empty());
  for (cpu::Isa isa : isas) {
    cpu::set_max_isa(isa);
    EXPECT_EQ(cpu::active_isa(), isa);
  }
  EXPECT_THROW(cpu::parse_isa("avx1024"), Error);
}

}  // namespace
}  // namespace fovea
