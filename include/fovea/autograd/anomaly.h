// Where the first number that is not finite comes from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "fovea/autograd/node.h"
#include "fovea/core/error.h"

namespace fovea {

// One operation whose result, or one of whose gradients, is not finite although what it was computed from was.
struct Anomaly {
  std::string op;             // "linear"
  bool in_backward = false;   // a gradient of the operation's input, not its result
  std::string parameter;      // path of the first parameter that the operation reads; empty when it reads none
  std::string previous;       // then: that of the operation before it that reads one; may be empty
  bool of_parameter = false;  // the gradient of a parameter
  Shape shape;                // of the tensor
  std::int64_t element = 0;   // its first element that is not finite, in row-major order
  double value = 0;           // nan, inf or -inf
  std::string cause;          // set when something the operation reads is not finite already: data, or a weight
};

// "[anomaly] [linear] with visual_projection.weight gives nan at element 3 of (2, 8)"
FOVEA_API std::string to_string(const Anomaly& anomaly);

class FOVEA_API AnomalyError : public Error {
 public:
  explicit AnomalyError(Anomaly found) : Error(to_string(found)), anomaly_(std::move(found)) {}
  const Anomaly& anomaly() const { return anomaly_; }

 private:
  Anomaly anomaly_;
};

// While one lives, every operation and every backward function on this thread is checked: the first number that is not
// finite is thrown as AnomalyError. `parameters` gives names to the leaves of the tape. Reads every result once more;
// without it nothing is checked and nothing costs time.
class FOVEA_API DetectAnomaly {
 public:
  explicit DetectAnomaly(NodeNames parameters);
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

 private:
  NodeNames names_;
  const DetectAnomaly* previous_;
  friend struct AnomalyHook;
};

}  // namespace fovea
