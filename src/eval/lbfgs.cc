#include "eval/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>

namespace fovea::eval::detail {
namespace {

using Vector = std::vector<double>;
using Function = FunctionRef<double(const double*, double*)>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
void add(Vector& a, double factor, const Vector& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += factor * b[i];
}
double largest(const Vector& a) {
  double most = 0;
  for (const double value : a) most = std::max(most, std::abs(value));
  return most;
}

// A step and what it changed of the gradient.
struct Pair {
  Vector s, y;
  double rho;  // 1 / <s, y>
};

// -H g with the inverse Hessian that the pairs tell (the two loops).
Vector direction(const Vector& gradient, const std::deque<Pair>& pairs) {
  Vector d = gradient;
  std::vector<double> alphas;
  for (auto pair = pairs.rbegin(); pair != pairs.rend(); ++pair) {
    alphas.push_back(pair->rho * dot(pair->s, d));
    add(d, -alphas.back(), pair->y);
  }
  const double scale = pairs.empty() ? 1 : 1 / (pairs.back().rho * dot(pairs.back().y, pairs.back().y));
  for (double& value : d) value *= scale;
  for (const Pair& pair : pairs) {
    add(d, alphas.back() - pair.rho * dot(pair.y, d), pair.s);
    alphas.pop_back();
  }
  for (double& value : d) value = -value;
  return d;
}

// The function along a line.
struct Point {
  double t = 0, value = 0, slope = 0;
};

class Line {
 public:
  Line(const Vector& x, const Vector& d, Function f) : x_(x), d_(d), f_(f), at_(x.size()), gradient_(x.size()) {}

  Point operator()(double t) {
    at_ = x_;
    add(at_, t, d_);
    const double value = f_(at_.data(), gradient_.data());
    return {t, value, dot(gradient_, d_)};
  }
  // Of the point asked for last.
  const Vector& at() const { return at_; }
  const Vector& gradient() const { return gradient_; }

 private:
  const Vector &x_, &d_;
  Function f_;
  Vector at_, gradient_;
};

// Where the cubic through both points is smallest; their middle when that is not well inside.
double cubic_minimum(const Point& a, const Point& b) {
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t);
  const double d2 = std::copysign(std::sqrt(std::max(0.0, d1 * d1 - a.slope * b.slope)), b.t - a.t);
  const double t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  const double low = std::min(a.t, b.t), width = std::abs(b.t - a.t);
  return t > low + 0.05 * width && t < low + 0.95 * width ? t : low + width / 2;
}

// A step that fulfils the strong Wolfe conditions, or at least makes the value smaller; none when no such is found. The
// line's last point is that step.
std::optional<Point> search(Line& line, const Point& start, double first_step, double noise) {
  constexpr double sufficient = 1e-4, flat = 0.9;
  constexpr int most = 30;
  const double equal = noise * std::abs(start.value);
  const auto high = [&](const Point& p) {
    if (p.value <= start.value + equal && p.slope <= (2 * sufficient - 1) * start.slope) return false;
    return !(p.value <= start.value + sufficient * p.t * start.slope);  // NaN is high
  };
  Point low = start, other;  // the interval, once there is one
  bool bracketed = false;
  double t = first_step;
  for (int i = 0; i < most; ++i) {
    const Point p = line(t);
    if (high(p) || (low.t > 0 && p.value > low.value + equal)) {
      other = p;
      bracketed = true;
    } else if (std::abs(p.slope) <= -flat * start.slope) {
      return p;
    } else {
      if (p.slope * ((bracketed ? other.t : std::numeric_limits<double>::infinity()) - low.t) >= 0) {
        other = low;
        bracketed = true;
      }
      low = p;
    }
    if (bracketed && std::abs(other.t - low.t) <= 1e-14 * std::max(other.t, low.t)) break;
    t = !bracketed ? 2 * t : std::isfinite(other.value) ? cubic_minimum(low, other) : low.t + (other.t - low.t) / 2;
  }
  if (low.t == 0) return std::nullopt;
  return line(low.t);
}

}  // namespace

LbfgsResult minimize(Vector& x, Function f, const LbfgsOptions& options) {
  Vector gradient(x.size());
  LbfgsResult result{f(x.data(), gradient.data()), 0, false};
  std::deque<Pair> pairs;
  for (; result.iterations < options.max_iterations; ++result.iterations) {
    result.converged = largest(gradient) <= options.gradient_tolerance;
    if (result.converged) return result;
    Vector d = direction(gradient, pairs);
    Line line(x, d, f);
    const double slope = dot(gradient, d);
    const double first = pairs.empty() ? std::min(1.0, 1 / std::sqrt(dot(gradient, gradient))) : 1;
    const std::optional<Point> step = search(line, {0, result.value, slope}, first, options.noise);
    if (!step) {
      if (pairs.empty()) break;  // not even straight downhill
      pairs.clear();
      continue;
    }
    Pair pair{line.at(), line.gradient(), 0};
    add(pair.s, -1, x);
    add(pair.y, -1, gradient);
    x = line.at();
    gradient = line.gradient();
    result.value = step->value;
    const double curvature = dot(pair.s, pair.y);
    if (curvature <= 1e-300) continue;
    pair.rho = 1 / curvature;
    pairs.push_back(std::move(pair));
    if (std::ssize(pairs) > options.history) pairs.pop_front();
  }
  result.converged = largest(gradient) <= options.gradient_tolerance;
  return result;
}

}  // namespace fovea::eval::detail
