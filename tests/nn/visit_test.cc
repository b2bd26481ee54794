// Names, parts, ties, freezing.
#include "fovea/nn/visit.h"

#include <gtest/gtest.h>

#include "fovea/nn/init.h"
#include "fovea/optim/param_store.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::nn {
namespace {

struct Leafy {
  Param weight;
  std::optional<Param> bias;
  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

struct Other {
  Param scale;
  static void visit(auto& self, auto&& f) { f("scale", self.scale); }
};

struct Model {
  std::vector<Leafy> layers;
  std::variant<Leafy, Other> head;
  Param qkv;
  Param tied;
  Buffer running;
  static void visit(auto& self, auto&& f) {
    f("layers", self.layers);
    f("", self.head);
    f({"q", "k", "v"}, self.qkv);
    f("tied", self.tied);
    f("tied_again", self.tied);
    f("running", self.running);
  }
};

Model make_model() {
  Init init(3);
  Model model{{},
              Other{Param(init.constant({4}, 1))},
              Param(init.normal({6, 2}, 1)),
              Param(init.normal({3, 3}, 1)),
              Buffer(init.constant({2}, 0))};
  model.layers.push_back({Param(init.normal({2, 2}, 1)), std::nullopt});
  model.layers.push_back({Param(init.normal({2, 2}, 1)), Param(init.constant({2}, 0))});
  return model;
}

std::vector<std::string> paths(const std::vector<ParamEntry>& entries) {
  std::vector<std::string> names;
  for (const ParamEntry& entry : entries) names.push_back(entry.path);
  return names;
}

TEST(Visit, NamesFieldsListsVariantsPartsAndTiedWeightsOnce) {
  Model model = make_model();
  EXPECT_EQ(paths(collect(model)), (std::vector<std::string>{"layers.0.weight", "layers.1.weight", "layers.1.bias",
                                                             "scale", "q", "k", "v", "tied", "running"}));
  EXPECT_EQ(count_parameters(collect(model)), 4 + 4 + 2 + 4 + 12 + 9);
}

TEST(Visit, PartsAreRowsOfTheirParameter) {
  Model model = make_model();
  for (const ParamEntry& entry : collect(model)) {
    if (entry.path == "k") {
      EXPECT_EQ(entry.value().at(0), model.qkv.value().at(4));
      EXPECT_EQ(entry.value().shape(), (Shape{2, 2}));
    }
  }
}

TEST(Visit, EntriesSurviveAMoveOfTheModel) {
  Model model = make_model();
  const auto entries = collect(model);
  const Model moved = std::move(model);
  EXPECT_EQ(entries[0].leaf.get(), moved.layers[0].weight.leaf().get());
}

TEST(Freeze, MatchesGlobsAndRefusesOnesThatMatchNothing) {
  Model model = make_model();
  const auto entries = collect(model);
  freeze(entries, {"layers.*.weight"});
  EXPECT_FALSE(model.layers[0].weight().requires_grad());
  EXPECT_TRUE(model.tied().requires_grad());
  EXPECT_THROW(freeze(entries, {"decoder.*"}), Error);
  EXPECT_TRUE(glob_matches("a*c*", "abcd"));
  EXPECT_FALSE(glob_matches("a*c", "abcd"));
}

TEST(ParamStore, HoldsValuesAndGradientsInTwoBlocks) {
  Model model = make_model();
  freeze(collect(model), {"scale"});
  const Tensor before = model.tied.value().clone();
  optim::ParamStore store(collect(model));
  EXPECT_EQ(max_abs_difference(model.tied.value(), before), 0);
  EXPECT_TRUE(model.tied.value().shares_storage(store.weights()));
  EXPECT_FALSE(std::get<Other>(model.head).scale.value().shares_storage(store.weights()));
  const auto node = model.tied.leaf()->node;
  EXPECT_FALSE(node->grad_slot().second);
  EXPECT_TRUE(node->grad.shares_storage(store.gradients()));
  EXPECT_TRUE(node->grad_slot().second);
  store.clear_gradients();
  store.complete_gradients();
  EXPECT_EQ(max_abs(store.gradients()), 0);
}

TEST(CopyParameters, NamesWhatIsMissing) {
  Model a = make_model(), b = make_model();
  a.tied.value().fill(5);
  copy_parameters(collect(a), collect(b));
  EXPECT_EQ(b.tied.value().at(3), 5);
  auto shorter = collect(a);
  shorter.pop_back();
  EXPECT_THROW(copy_parameters(shorter, collect(b)), Error);
}

}  // namespace
}  // namespace fovea::nn
