#include "fovea/dist/group.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "../support/thread_ranks.h"
#include "fovea/dist/serial.h"
#include "fovea/tensor/factory.h"

namespace fovea::dist {
namespace {

TEST(Serial, IsAGroupOfOne) {
  Serial group;
  EXPECT_EQ(group.rank(), 0);
  EXPECT_EQ(group.size(), 1);
  Tensor x = from_values<float>({2, 2}, {1, 2, 3, 4});
  group.sum(x);
  EXPECT_EQ(x.at(3), 4);
  EXPECT_EQ(group.all_gather(x).at(1), 2);
  EXPECT_EQ(group.reduce_scatter(x).at(2), 3);
  EXPECT_EQ(group.broadcast("text"), "text");
  Tensor y({2, 2});
  group.exchange(x.raw(), 0, y.mutable_raw(), 0, x.bytes())->wait();
  EXPECT_EQ(y.at(0), 1);
  group.barrier();
  EXPECT_EQ(group.traffic().sent, 0);
  int ran = 0;
  group.on_one([&] { ++ran; });
  EXPECT_EQ(ran, 1);
}

TEST(Group, GathersAndScatters) {
  for (const int ranks : {1, 2, 3, 5}) {
    tests::on_ranks(ranks, [&](Group& group) {
      const Tensor x = full({2, 3}, group.rank() + 1, DType::f64);
      const Tensor all = group.all_gather(x);
      ASSERT_EQ(all.shape(), (Shape{2 * ranks, 3}));
      for (std::int64_t i = 0; i < all.numel(); ++i) EXPECT_EQ(all.at(i), static_cast<double>(i / 6 + 1));
      const Tensor sum = group.reduce_scatter(all);
      ASSERT_EQ(sum.shape(), x.shape());
      for (std::int64_t i = 0; i < sum.numel(); ++i)
        EXPECT_EQ(sum.at(i), static_cast<double>(ranks * (group.rank() + 1)));
      EXPECT_EQ(group.traffic().sent, 2 * (ranks - 1) * x.bytes());
      EXPECT_EQ(group.traffic().received, group.traffic().sent);
    });
  }
}

TEST(Group, OneRanksErrorReachesAll) {
  std::vector<std::string> texts(3);
  tests::on_ranks(3, [&](Group& group) {
    const auto action = [&] { fail("[somewhere] only rank ", group.rank(), " knows"); };
    texts[static_cast<std::size_t>(group.rank())] = tests::error_of([&] { group.on_one(action, 1); });
    group.on_one([] {});
  });
  for (const std::string& text : texts) EXPECT_EQ(text, "[somewhere] only rank 1 knows");
}

TEST(Group, SaysWhatDoesNotFit) {
  Serial group;
  Tensor tokens({2}, DType::i32), odd({3, 2});
  EXPECT_EQ(tests::error_of([&] { group.sum(tokens); }), "[dist] cannot sum i32, expected f32, f64 or i64");
  EXPECT_EQ(tests::error_of([&] { group.exchange(nullptr, 1, nullptr, 0, 0); }),
            "[dist] no exchange with ranks 1 and 0, there are 1");
  tests::on_ranks(2, [&](Group& two) {
    EXPECT_EQ(tests::error_of([&] { two.reduce_scatter(odd); }), "[dist] (3, 2) cannot be scattered to 2 ranks");
  });
}

}  // namespace
}  // namespace fovea::dist
