#include "fovea/kernels/resample.h"

#include <algorithm>
#include <cmath>

namespace fovea::kernels {
namespace {

// Keys' cubic convolution kernel.
double cubic(double distance, double a) {
  const double x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((x - 5) * x + 8) * x * a - 4 * a;
  return 0;
}

// Inputs per output.
double axis_scale(std::int64_t inputs, std::int64_t outputs, bool align_corners) {
  if (!align_corners) return static_cast<double>(inputs) / static_cast<double>(outputs);
  return outputs > 1 ? static_cast<double>(inputs - 1) / static_cast<double>(outputs - 1) : 0;
}

// Adds the four inputs around `source`, a position in units of inputs.
void add_interpolated(ResampleAxis& axis, double source) {
  const double below = std::floor(source);
  for (std::int64_t k = -1; k <= 2; ++k) {
    const std::int64_t i = static_cast<std::int64_t>(below) + k;
    axis.index.push_back(std::clamp<std::int64_t>(i, 0, axis.inputs - 1));
    axis.weight.push_back(cubic(source - static_cast<double>(i), -0.75));
  }
}

// Adds the inputs within the filter's support around `centre`, a position in units of inputs counted from the first
// one's left edge; the weights sum to 1.
void add_filtered(ResampleAxis& axis, double centre, double scale) {
  const double stretch = std::max(scale, 1.0), support = 2 * stretch;
  const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0);
  const std::int64_t last = std::min(static_cast<std::int64_t>(centre + support + 0.5), axis.inputs);
  double total = 0;
  for (std::int64_t i = first; i < last; ++i) total += cubic((static_cast<double>(i) - centre + 0.5) / stretch, -0.5);
  for (std::int64_t i = first; i < last; ++i) {
    axis.index.push_back(i);
    axis.weight.push_back(cubic((static_cast<double>(i) - centre + 0.5) / stretch, -0.5) / total);
  }
}

}  // namespace

ResampleAxis ResampleAxis::bicubic(std::int64_t inputs, std::int64_t outputs, bool antialias, bool align_corners) {
  ResampleAxis axis;
  axis.inputs = inputs;
  const double scale = axis_scale(inputs, outputs, align_corners);
  for (std::int64_t o = 0; o < outputs; ++o) {
    const auto position = static_cast<double>(o);
    if (antialias) {
      add_filtered(axis, scale * (position + 0.5), scale);
    } else {
      add_interpolated(axis, align_corners ? scale * position : scale * (position + 0.5) - 0.5);
    }
    axis.begin.push_back(axis.index.size());
  }
  return axis;
}

}  // namespace fovea::kernels
