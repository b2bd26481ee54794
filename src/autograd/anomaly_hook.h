// What the tape calls while DetectAnomaly is alive. Private to the sources.
#pragma once

#include <span>

#include "fovea/autograd/anomaly.h"
#include "fovea/autograd/var.h"

namespace fovea {

struct AnomalyHook {
  static bool on();
  // Both throw AnomalyError.
  static void check_result(const char* op, const Tensor& y, std::span<const Var> inputs);
  static void check_gradients(const Node& node);  // of the node's inputs, after its backward function

 private:
  static std::string name_of(const Node* node);
  template <class Inputs>
  static std::string parameter_among(const Inputs& inputs);
  static std::string nearest_parameter(std::vector<const Node*> nodes);
  [[noreturn]] static void report(Anomaly found, const Tensor& values);
};

}  // namespace fovea
