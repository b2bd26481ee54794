// Golden files: numbers that an independent implementation computed, as safetensors.
#pragma once

#include <string>
#include <string_view>

#include "fovea/io/safetensors.h"
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

 private:
  std::string path_;
  io::TensorMap tensors_;
  io::Metadata metadata_;
};

// Compares tensors by name: both sides must have the same names and shapes, and every relative_error(ours, reference,
// floor) must be within the tolerance. The message names what differed most.
FOVEA_API CheckResult compare_tensors(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance,
                                      double floor = 1e-6);

// As compare_tensors, with a floor of 1e-3 of the reference's largest gradient: some gradients, such as those of key
// biases, are exactly zero.
FOVEA_API CheckResult compare_gradients(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance);

}  // namespace fovea::testing
