#include "fovea/io/tensor_tree.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../support/error_of.h"
#include "fovea/tensor/factory.h"

namespace fovea::io {
namespace {

TensorMap tensors() {
  TensorMap map{{"scale", zeros({})}, {"tower.norm.weight", zeros({7})}, {"tower.norm.bias", zeros({7}, DType::f64)}};
  for (int i = 0; i < 11; ++i) map.emplace(concat("tower.layers.", i, ".fc.weight"), zeros({300, 4}));
  return map;
}

TEST(TensorTree, SumsUpBelowTheDepth) {
  EXPECT_EQ(tensor_tree(tensors(), 1),
            "       elements      bytes\n"
            "         13,215    52.9 kB  (whole)\n"
            "              1        4 B    scale  f32 ()\n"
            "         13,214    52.9 kB    tower  (13 tensors)\n");
  EXPECT_EQ(tensor_tree(tensors(), 0),
            "       elements      bytes\n"
            "         13,215    52.9 kB  (whole)  (14 tensors)\n");
}

TEST(TensorTree, NumbersComeInOrderAndSingleEntriesInOneLine) {
  const std::string tree = tensor_tree(tensors(), 9);
  EXPECT_NE(tree.find("        0.fc.weight  f32 (300, 4)\n"), std::string::npos) << tree;
  EXPECT_LT(tree.find(" 2.fc"), tree.find(" 10.fc"));
  EXPECT_NE(tree.find("56 B        bias  f64 (7"), std::string::npos) << tree;
}

TEST(TensorTree, JsonHoldsTheSame) {
  const auto json = nlohmann::json::parse(tensor_tree_json(tensors(), 9));
  EXPECT_EQ(json["elements"], 13215);
  EXPECT_EQ(json["children"]["tower"]["children"]["layers"]["children"]["10"]["bytes"], 4800);
  EXPECT_EQ(json["children"]["tower"]["children"]["norm"]["children"]["bias"]["dtype"], "f64");
  EXPECT_EQ(json["children"]["scale"]["shape"], nlohmann::json::array());
  EXPECT_FALSE(nlohmann::json::parse(tensor_tree_json(tensors(), 1))["children"]["tower"].contains("children"));
  EXPECT_NE(tests::error_of([] { tensor_tree_json({}, -1); }), "");
}

TEST(TensorTree, NamesThatAreAlsoModulesAreBoth) {
  const std::string tree = tensor_tree({{"a", zeros({2})}, {"a.b", zeros({3})}, {"", zeros({1})}}, 5);
  EXPECT_NE(tree.find("5       20 B    a  f32 (2"), std::string::npos) << tree;
  EXPECT_NE(tree.find("3       12 B      b  f32 (3"), std::string::npos) << tree;
}

}  // namespace
}  // namespace fovea::io
