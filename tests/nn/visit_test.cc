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

struct Twice {
  Param qkv;
  static void visit(auto& self, auto&& f) {
    f({"q", "k", "v"}, self.qkv);
    f({"q_again", "k_again", "v_again"}, self.qkv);
  }
};

TEST(Visit, PartsOfATiedParameterAreListedOnce) {
  Init init(3);
  const Twice twice{Param(init.normal({6, 2}, 1))};
  EXPECT_EQ(paths(collect(twice)), (std::vector<std::string>{"q", "k", "v"}));
}

TEST(Visit, RefusesPartsThatDoNotDivideTheRows) {
  Init init(3);
  const Twice twice{Param(init.normal({7, 2}, 1))};
  EXPECT_THROW(collect(twice), Error);
}

TEST(Visit, GradientsOfPartsAreRows) {
  Model model = make_model();
  EXPECT_FALSE(collect(model)[5].grad().defined());
  const auto node = model.qkv.leaf()->node;
  node->grad_slot();
  for (std::int64_t i = 0; i < 12; ++i) node->grad.mutable_data<float>()[i] = static_cast<float>(i);
  node->has_grad = true;
  EXPECT_EQ(collect(model)[5].path, "k");
  EXPECT_EQ(collect(model)[5].grad().at(0), 4);
}

TEST(Visit, NamesAreWrittenIntoTheLeaves) {
  Model model = make_model();
  name_parameters(collect(model));
  EXPECT_EQ(model.layers[1].bias->leaf()->path, "layers.1.bias");
  EXPECT_EQ(model.qkv.leaf()->path, "q");
  EXPECT_EQ(model.running.leaf()->path, "running");
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

TEST(Freeze, ChangesNothingWhenAGlobMatchesNothing) {
  Model model = make_model();
  EXPECT_THROW(freeze(collect(model), {"tied", "decoder.*"}), Error);
  EXPECT_TRUE(model.tied().requires_grad());
}

TEST(Freeze, TakesAllPartsOfAParameterOrNone) {
  Model model = make_model();
  try {
    freeze(collect(model), {"scale", "k"});
    ADD_FAILURE() << "one part of three was frozen";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("of q and k"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(model.qkv().requires_grad());
  EXPECT_TRUE(std::get<Other>(model.head).scale().requires_grad());
  freeze(collect(model), {"q", "k", "v"});
  EXPECT_FALSE(model.qkv().requires_grad());
  EXPECT_EQ(count_parameters(collect(model)), 4 + 4 + 2 + 4 + 9);
}

TEST(Freeze, LeavesBuffersAlone) {
  Model model = make_model();
  EXPECT_THROW(freeze(collect(model), {"running"}), Error);
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

TEST(CopyParameters, ChangesNothingWhenAShapeDiffers) {
  Model a = make_model(), b = make_model();
  a.layers[0].weight.value().fill(5);
  a.running.value() = zeros({3});
  try {
    copy_parameters(collect(a), collect(b));
    ADD_FAILURE() << "shapes differ";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("running is (3,) in the source, (2,) in the destination"),
              std::string::npos)
        << error.what();
  }
  EXPECT_NE(b.layers[0].weight.value().at(0), 5);
}

TEST(CopyParameters, ConvertsTheElementType) {
  Model a = make_model(), b = make_model();
  a.tied.value() = full({3, 3}, 0.1, DType::f64);
  copy_parameters(collect(a), collect(b));
  EXPECT_EQ(b.tied.value().dtype(), DType::f32);
  EXPECT_EQ(b.tied.value().at(8), static_cast<double>(0.1f));
}

}  // namespace
}  // namespace fovea::nn
