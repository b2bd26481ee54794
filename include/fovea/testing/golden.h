// Golden files: numbers that an independent implementation computed, as safetensors. tests/golden/golden_dump.py makes
// one of any PyTorch module and inputs, and says which names it holds. To compare a module of one's own with it:
//
//   const testing::Golden golden("block.safetensors");
//   nn::Init init = nn::Init::none(DType::f64);
//   MyBlock block(config, init);
//   const auto entries = nn::collect(block);
//   golden.load_parameters(entries);
//   const Var x(golden["input.x"], true);  // true: wants a gradient
//   const Var y = block(x, nn::Ctx{});
//   EXPECT_LE(testing::relative_error(y.value(), golden["out.0"], 1e-6), 1e-9);
//   backward(y, golden["cotangent.0"]);
//   const auto result = testing::compare_gradients(testing::gradients_of(entries), golden.with_prefix("grad."), 1e-9);
//   EXPECT_TRUE(result) << result.message;
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/io/safetensors.h"
#include "fovea/nn/visit.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::testing {

// The tensors of one golden file, by name.
class FOVEA_API Golden {
 public:
  // Throws Error when the file cannot be read.
  explicit Golden(const std::string& path);

  // Throws Error naming the nearest name when there is no such tensor.
  const Tensor& operator[](const std::string& name) const;
  // Throws Error when the file's metadata lack the key.
  const std::string& metadata(const std::string& key) const;

  // All tensors whose names begin with `prefix` ("grad."), by what follows it.
  io::TensorMap with_prefix(std::string_view prefix) const;

  // Sets a module's parameters and buffers from the tensors `param.` and `buffer.` of their names, in the layouts of
  // published files, converting the element type. Throws Error naming what is missing, left over or of another shape;
  // PyTorch's counter `num_batches_tracked` is passed over.
  void load_parameters(const std::vector<nn::ParamEntry>& entries) const;

 private:
  std::string path_;
  io::TensorMap tensors_;
  io::Metadata metadata_;
};

// The gradients of a module's parameters by name, in the layouts of published files; zeros where none has arrived.
FOVEA_API io::TensorMap gradients_of(const std::vector<nn::ParamEntry>& entries);
// A module's buffers, the same way.
FOVEA_API io::TensorMap buffers_of(const std::vector<nn::ParamEntry>& entries);

// Compares tensors by name: both sides must have the same names and shapes, and every relative_error(ours, reference,
// floor) must be within the tolerance. The message names what differed most.
FOVEA_API CheckResult compare_tensors(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance,
                                      double floor = 1e-6);

// As compare_tensors, with a floor of 1e-3 of the reference's largest gradient: some gradients, such as those of key
// biases, are exactly zero.
FOVEA_API CheckResult compare_gradients(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance);

}  // namespace fovea::testing
