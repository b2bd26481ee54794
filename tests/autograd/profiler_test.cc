#include "fovea/autograd/profiler.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/checkpoint.h"
#include "fovea/core/profile.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/linear.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

std::vector<Json> events_of(const Profiler& profiler) {
  std::vector<Json> events;
  const Json trace = Json::parse(profiler.trace_json());
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "X") events.push_back(event);
  }
  return events;
}

Json find(const std::vector<Json>& events, const std::string& name, const std::string& category) {
  for (const Json& event : events) {
    if (event["name"] == name && event["cat"] == category) return event;
  }
  ADD_FAILURE() << "no event " << name << ", " << category;
  return {};
}

double end_of(const Json& event) { return event["ts"].get<double>() + event["dur"].get<double>(); }

Var random(const Shape& shape, std::uint64_t seed) { return Var(random_normal(shape, RngKey{seed}), true); }

// Two layers and a loss, with their backward pass.
struct Net {
  Var x = Var(random_normal({256, 192}, RngKey{1})), first = random({320, 192}, 2), second = random({64, 320}, 3);
  NodeNames names{{first.node().get(), "net.layers.0"}, {second.node().get(), "net.layers.1"}};

  void step() const {
    const profile::Span span("step");
    const Var hidden = ops::linear(x, first, {}, Activation::gelu);
    backward(ops::mean(ops::square(ops::linear(hidden, second))));
  }
};

TEST(ProfilerTest, TimesOperationsOfBothPassesAndNamesTheirModules) {
  const Net net;
  const Profiler profiler(net.names);
  net.step();
  const std::vector<Json> events = events_of(profiler);
  const Json linear = find(events, "linear", "forward"), square = find(events, "square", "forward");
  EXPECT_EQ(linear["args"]["module"], "net.layers.0");
  EXPECT_EQ(square["args"]["module"], "net.layers.1");  // the last that was seen
  EXPECT_EQ(linear["args"]["flops"], 2.0 * 256 * 192 * 320);
  EXPECT_EQ(linear["args"]["bytes"], 4.0 * (256 * 192 + 192 * 320 + 256 * 320));
  EXPECT_EQ(square["args"]["bytes"], 2 * 4.0 * 256 * 64);
  // The last layer comes first, and needs the gradients of its input and of its weight.
  const Json gradient = find(events, "linear", "backward");
  EXPECT_EQ(gradient["args"]["module"], "net.layers.1");
  EXPECT_EQ(gradient["args"]["flops"], 2 * 2.0 * 256 * 320 * 64);
  EXPECT_EQ(find(events, "activation_grad", "backward")["args"]["module"], "net.layers.0");
  EXPECT_FALSE(find(events, "step", "span")["args"].contains("flops"));
}

TEST(ProfilerTest, EventsAreNestedAndOperationsFillTheStep) {
  const Net net;
  net.step();
  const Profiler profiler;
  for (int i = 0; i < 5; ++i) net.step();
  const std::vector<Json> events = events_of(profiler);
  for (const Json& a : events) {
    EXPECT_GE(a["dur"].get<double>(), 0);
    for (const Json& b : events) {
      const bool apart = end_of(a) <= b["ts"].get<double>() + 1e-3 || end_of(b) <= a["ts"].get<double>() + 1e-3;
      const bool a_in_b = a["ts"] >= b["ts"] && end_of(a) <= end_of(b) + 1e-3;
      const bool b_in_a = b["ts"] >= a["ts"] && end_of(b) <= end_of(a) + 1e-3;
      EXPECT_TRUE(apart || a_in_b || b_in_a) << a << b;
    }
  }
  double steps = 0, operations = 0, within = 0;
  for (const Json& e : events) {
    if (e["name"] == "step") steps += e["dur"].get<double>();
    if (e["cat"] == "span") continue;
    (e["name"] == "activation_grad" ? within : operations) += e["dur"].get<double>();
  }
  EXPECT_LE(operations, steps + 1e-3);
  EXPECT_LT(within, operations);
  EXPECT_GT(operations, 0.9 * steps);
}

TEST(ProfilerTest, TellsWhatACheckpointComputesAgain) {
  const Net net;
  const Profiler profiler(net.names);
  const Var x(net.x.value(), true);
  const Var y = checkpoint([w = net.first](std::span<const Var> in) { return ops::linear(in[0], w); }, {x});
  backward(ops::mean(y));
  const std::vector<Json> events = events_of(profiler);
  const Json outer = find(events, "checkpoint", "backward"), again = find(events, "linear", "recomputed");
  EXPECT_EQ(again["args"]["module"], "net.layers.0");
  EXPECT_GE(again["ts"], outer["ts"]);
  EXPECT_LE(end_of(again), end_of(outer) + 1e-3);
  EXPECT_FALSE(outer["args"].contains("flops"));
}

TEST(ProfilerTest, TablesSumUpModulesAndLeaveOutWhatIsInAWholeSpan) {
  const Net net;
  Profiler profiler(net.names);
  net.step();
  {
    const profile::Span evaluation("evaluate", true);
    const profile::Span span("inside");
    ops::exp(net.x);
  }
  const std::string report = profiler.report({1e12, 1e11}, 1);
  EXPECT_NE(report.find("net.layers.*"), std::string::npos);
  EXPECT_EQ(report.find("net.layers.0"), std::string::npos);
  EXPECT_NE(report.find("evaluate"), std::string::npos);
  EXPECT_EQ(report.find("inside"), std::string::npos);
  EXPECT_EQ(report.find("exp "), std::string::npos);
  EXPECT_EQ(find(events_of(profiler), "exp", "forward")["args"]["bytes"], 2 * 4.0 * 256 * 192);
}

TEST(ProfilerTest, ViewsAndGradientsThatAreHandedOnMoveNothing) {
  const Var a = random({64, 64}, 1), b = random({64, 64}, 2);
  const Profiler profiler;
  backward(ops::sum(ops::add(a, b)));
  const std::vector<Json> events = events_of(profiler);
  EXPECT_EQ(find(events, "add", "forward")["args"]["bytes"], 3 * 4.0 * 64 * 64);
  EXPECT_FALSE(find(events, "add", "backward")["args"].contains("bytes"));
}

TEST(ProfilerTest, ChangesNoBitAndRecordsNothingOnceItIsGone) {
  const Net net, same;
  net.step();
  {
    const Profiler profiler(same.names);
    same.step();
  }
  EXPECT_FALSE(profile::on());
  EXPECT_EQ(
      std::memcmp(net.first.grad().raw(), same.first.grad().raw(), static_cast<std::size_t>(net.first.grad().bytes())),
      0);
  EXPECT_EQ(std::memcmp(net.second.grad().raw(), same.second.grad().raw(),
                        static_cast<std::size_t>(net.second.grad().bytes())),
            0);
  const Profiler profiler;
  EXPECT_TRUE(events_of(profiler).empty());
}

}  // namespace
}  // namespace fovea
