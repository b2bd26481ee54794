#include "fovea/ops/contrastive_ranks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fovea/ops/elementwise.h"
#include "fovea/ops/ranks.h"
#include "fovea/tensor/factory.h"

namespace fovea::ops {
namespace {

// The neighbours on the ring, and whose block a rank has after so many steps.
struct Ring {
  dist::Group& group;
  int right = (group.rank() + 1) % group.size(), left = (group.rank() + group.size() - 1) % group.size();

  int owner(int step) const { return (group.rank() - step + group.size()) % group.size(); }
  // A tensor goes one step on, and the left neighbour's takes its place in `arriving`.
  dist::Pending pass_on(const Tensor& leaving, Tensor& arriving) const {
    return group.exchange(leaving.raw(), right, arriving.mutable_raw(), left, leaving.bytes());
  }
};

Tensor like(const Tensor& x) { return Tensor(x.shape(), x.dtype()); }

// The rows of one rank, and the next one's as they arrive.
class TravellingBlock {
 public:
  TravellingBlock(const Ring& ring, const Tensor& own) : ring_(ring), here_(own) {}

  const Tensor& here() const { return here_; }
  void start_step() {
    if (!spare_.defined()) spare_ = like(here_);
    step_ = ring_.pass_on(here_, spare_);
  }
  void finish_step() {
    step_->wait();
    if (!own_.defined()) own_ = std::exchange(here_, like(here_));  // the first block stays: it is the caller's
    std::swap(here_, spare_);
  }

 private:
  const Ring& ring_;
  Tensor here_, spare_, own_;
  dist::Pending step_;
};

template <class T>
void add_to(Tensor& sum, const Tensor& term) {
  T* s = sum.mutable_data<T>();
  const T* t = term.data<T>();
  parallel_for(sum.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) s[i] += t[i];
  });
}

// total = log(e^total + e^part), element by element.
template <class T>
void add_logsumexp(Tensor& total, const Tensor& part) {
  auto* sum = total.mutable_data<double>();
  const T* p = part.data<T>();
  for (std::int64_t i = 0; i < total.numel(); ++i) {
    const double a = sum[i], b = static_cast<double>(p[i]), larger = std::max(a, b);
    sum[i] = larger + std::log(std::exp(a - larger) + std::exp(b - larger));
  }
}

double total_of(const Tensor& x) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) sum += x.at(i);
  return sum;
}

// a against the block that is here; labels are on the diagonal of this rank's own block alone.
template <class T>
kernels::ContrastivePairs<T> block_pairs(const Tensor& a, const Tensor& block, bool own, double scale, double bias) {
  return detail::contrastive_pairs<T>(a, block, own ? 0 : block.dim(0), scale, bias);
}

// Log-sum-exps of this rank's rows over all columns, and of its columns over all rows; the logits of its labels.
struct LogSumExps {
  Tensor rows, columns, labels;  // (n): f64, f64, like the features
};

template <class T>
LogSumExps info_nce_forward(const Tensor& a, const Tensor& b, double scale, const Ring& ring) {
  const std::int64_t n = a.dim(0);
  constexpr double lowest = -std::numeric_limits<double>::infinity();
  LogSumExps sums{full({n}, lowest, DType::f64), full({n}, lowest, DType::f64), Tensor({n}, a.dtype())};
  Tensor rows({n}, a.dtype()), columns({n}, a.dtype()), labels({n}, a.dtype()), arriving({n}, DType::f64);
  TravellingBlock block(ring, b);
  const int ranks = ring.group.size();
  for (int step = 0; step < ranks; ++step) {
    if (step + 1 < ranks) block.start_step();
    const auto pairs = block_pairs<T>(a, block.here(), step == 0, scale, 0);
    T* label = (step == 0 ? sums.labels : labels).template mutable_data<T>();
    if constexpr (std::is_same_v<T, float>) {
      kernels::info_nce_forward_f32(pairs, rows.mutable_data<T>(), columns.mutable_data<T>(), label, nullptr);
    } else {
      kernels::info_nce_forward_reference(pairs, rows.mutable_data<T>(), columns.mutable_data<T>(), label);
    }
    add_logsumexp<T>(sums.rows, rows);
    add_logsumexp<T>(sums.columns, columns);
    // The sums of a block's columns follow it, and come home in the last step.
    ring.pass_on(sums.columns, arriving)->wait();
    std::swap(sums.columns, arriving);
    if (step + 1 < ranks) block.finish_step();
  }
  return sums;
}

// One round of the blocks of b with `extra` (what belongs to their columns, or nothing) and their gradients.
// `gradients(step, block, extra, out)` computes those of one block of pairs.
template <class T, class F>
void ring_backward(const Tensor& b, const Tensor& extra, const Ring& ring, kernels::ContrastiveGradients<T>& out,
                   F&& gradients) {
  TravellingBlock block(ring, b), companion(ring, extra.defined() ? extra : Tensor({0}, b.dtype()));
  const int ranks = ring.group.size();
  const bool wants_b = static_cast<bool>(out.b);
  Tensor part = wants_b ? like(b) : Tensor(), leaving, arriving;
  kernels::GradTarget<T> da = out.a, db;
  for (int step = 0; step < ranks; ++step) {
    const bool goes_on = step + 1 < ranks;
    if (goes_on) block.start_step();
    if (goes_on && extra.defined()) companion.start_step();
    dist::Pending gradient_step;
    if (wants_b && step > 0) gradient_step = ring.pass_on(leaving, arriving);
    if (wants_b) db = {part.mutable_data<T>(), false};
    kernels::ContrastiveGradients<T> here{da, db};
    gradients(step == 0, block.here(), companion.here(), here);
    da.accumulate = true;
    out.scale += here.scale;
    out.bias += here.bias;
    if (wants_b && step == 0) {
      leaving = std::exchange(part, like(b));
      arriving = like(b);
    } else if (wants_b) {
      gradient_step->wait();
      add_to<T>(arriving, part);
      std::swap(leaving, arriving);
    }
    if (goes_on) block.finish_step();
    if (goes_on && extra.defined()) companion.finish_step();
  }
  if (!wants_b) return;
  ring.pass_on(leaving, arriving)->wait();  // home
  const T* gradient = arriving.data<T>();
  for (std::int64_t i = 0; i < b.numel(); ++i) out.b.put(i, gradient[i]);
}

void check_ranks(const char* where, const Var& a, const Var& b, const Var& scale) {
  detail::check_contrastive(where, a, b, scale, 0);
  FOVEA_CHECK(a.dim(0) == b.dim(0), "[", where, "] ", a.dim(0), " and ", b.dim(0), " rows, expected as many");
}

// Means over all ranks' rows, in two numbers.
std::pair<double, double> means(double x, double y, std::int64_t rows, dist::Group& group) {
  Tensor sums = from_values<double>({2}, {x, y});
  group.sum(sums);
  const double share = 1 / (static_cast<double>(rows) * group.size());
  return {sums.at(0) * share, sums.at(1) * share};
}

// The mean product of a row of any rank's a with a row of any rank's b.
double mean_dot_over_ranks(const Tensor& a, const Tensor& b, dist::Group& group) {
  return dispatch_floating(a.dtype(), "info_nce", [&]<class T>() {
    std::vector<double> both = detail::mean_row<T>(a);
    const std::vector<double> other = detail::mean_row<T>(b);
    both.insert(both.end(), other.begin(), other.end());
    const auto width = static_cast<std::int64_t>(other.size());
    Tensor sums = from_values<double>({2 * width}, both);
    group.sum(sums);
    double dot = 0;
    for (std::int64_t k = 0; k < width; ++k) dot += sums.at(k) * sums.at(width + k);
    return dot / group.size() / group.size();
  });
}

InfoNceResult ring_info_nce(const Var& a, const Var& b, const Var& scale, double smoothing, dist::Group& group) {
  const double factor = scale.item();
  const std::int64_t n = a.dim(0);
  const DType type = a.dtype();
  const double mean_logit = smoothing == 0 ? 0 : factor * mean_dot_over_ranks(a.value(), b.value(), group);
  LogSumExps sums;
  dispatch_floating(type, "info_nce",
                    [&]<class T>() { sums = info_nce_forward<T>(a.value(), b.value(), factor, {group}); });
  const double labels = (1 - smoothing) * total_of(sums.labels);
  InfoNceResult result;
  std::tie(result.rows, result.columns) =
      means(total_of(sums.rows) - labels, total_of(sums.columns) - labels, n, group);
  result.rows -= smoothing * mean_logit;
  result.columns -= smoothing * mean_logit;
  const Tensor y = full({}, (result.rows + result.columns) / 2, type);
  result.loss =
      record("info_nce", y, {a, b, scale},
             [=, &group, rows = sums.rows.to(type), columns = sums.columns.to(type), a = Saved(a.value()),
              b = Saved(b.value())](const Tensor& dy, Grads& g) {
               dispatch_floating(type, "info_nce", [&]<class T>() {
                 const double weight = dy.item() / static_cast<double>(2 * n);
                 kernels::ContrastiveGradients<T> out{detail::grad_target<T>(g, 0), detail::grad_target<T>(g, 1)};
                 const auto block_gradients = [&](bool own, const Tensor& block, const Tensor& block_columns,
                                                  kernels::ContrastiveGradients<T>& to) {
                   const auto pairs = block_pairs<T>(a, block, own, factor, 0);
                   const kernels::InfoNceTerms<T> terms{
                       rows.template data<T>(), block_columns.data<T>(), weight, weight, smoothing,
                       n * group.size(),        n * group.size()};
                   if constexpr (std::is_same_v<T, float>) {
                     kernels::info_nce_backward_f32(pairs, terms, nullptr, to);
                   } else {
                     kernels::info_nce_backward_reference(pairs, terms, to);
                   }
                 };
                 ring_backward<T>(b, columns, {group}, out, block_gradients);
                 detail::add_to_scalar<T>(g, 2, out.scale);
               });
             });
  return result;
}

Var ring_pair_sigmoid(const Var& a, const Var& b, const Var& scale, const Var& bias, dist::Group& group) {
  const double factor = scale.item(), shift = bias.item();
  const std::int64_t n = a.dim(0);
  const DType type = a.dtype();
  double total = 0;
  dispatch_floating(type, "pair_sigmoid", [&]<class T>() {
    const Ring ring{group};
    TravellingBlock block(ring, b.value());
    for (int step = 0; step < group.size(); ++step) {
      const bool goes_on = step + 1 < group.size();
      if (goes_on) block.start_step();
      const auto pairs = block_pairs<T>(a.value(), block.here(), step == 0, factor, shift);
      if constexpr (std::is_same_v<T, float>) {
        total += kernels::pair_sigmoid_forward_f32(pairs, nullptr);
      } else {
        total += kernels::pair_sigmoid_forward_reference(pairs);
      }
      if (goes_on) block.finish_step();
    }
  });
  const Tensor y = full({}, means(total, 0, n, group).first, type);
  return record("pair_sigmoid", y, {a, b, scale, bias},
                [=, &group, a = Saved(a.value()), b = Saved(b.value())](const Tensor& dy, Grads& g) {
                  dispatch_floating(type, "pair_sigmoid", [&]<class T>() {
                    const double weight = dy.item() / static_cast<double>(n);
                    kernels::ContrastiveGradients<T> out{detail::grad_target<T>(g, 0), detail::grad_target<T>(g, 1)};
                    const auto block_gradients = [&](bool own, const Tensor& block, const Tensor&,
                                                     kernels::ContrastiveGradients<T>& to) {
                      const auto pairs = block_pairs<T>(a, block, own, factor, shift);
                      if constexpr (std::is_same_v<T, float>) {
                        kernels::pair_sigmoid_backward_f32(pairs, weight, nullptr, to);
                      } else {
                        kernels::pair_sigmoid_backward_reference(pairs, weight, to);
                      }
                    };
                    ring_backward<T>(b, {}, {group}, out, block_gradients);
                    detail::add_to_scalar<T>(g, 2, out.scale);
                    detail::add_to_scalar<T>(g, 3, out.bias);
                  });
                });
}

}  // namespace

InfoNceResult info_nce(const Var& a, const Var& b, const Var& scale, double label_smoothing, dist::Group& group,
                       RankExchange exchange) {
  InfoNceOptions options;
  options.label_smoothing = label_smoothing;
  if (group.size() == 1) return info_nce(a, b, scale, options);
  check_ranks("info_nce", a, b, scale);
  FOVEA_CHECK(label_smoothing >= 0 && label_smoothing <= 1, "[info_nce] label smoothing is ", label_smoothing,
              ", expected 0 to 1");
  if (exchange == RankExchange::ring) return ring_info_nce(a, b, scale, label_smoothing, group);
  options.sides = InfoNceSides::rows;
  options.label_offset = group.rank() * a.dim(0);
  const InfoNceResult rows = info_nce(a, all_gather(b, group), scale, options);
  const InfoNceResult columns = info_nce(b, all_gather(a, group), scale, options);
  InfoNceResult result;
  std::tie(result.rows, result.columns) = means(rows.rows, columns.rows, 1, group);
  result.loss = mean_over_ranks(mul(add(rows.loss, columns.loss), 0.5), group);
  return result;
}

Var pair_sigmoid(const Var& a, const Var& b, const Var& scale, const Var& bias, dist::Group& group,
                 RankExchange exchange) {
  if (group.size() == 1) return pair_sigmoid(a, b, scale, bias);
  check_ranks("pair_sigmoid", a, b, scale);
  FOVEA_CHECK(bias.value().numel() == 1 && bias.dtype() == a.dtype(), "[pair_sigmoid] the bias is ",
              to_string(bias.dtype()), " ", bias.shape(), ", expected one number of type ", to_string(a.dtype()));
  if (exchange == RankExchange::ring) return ring_pair_sigmoid(a, b, scale, bias, group);
  const std::int64_t first = group.rank() * a.dim(0);
  return mean_over_ranks(pair_sigmoid(a, all_gather(b, group), scale, bias, first), group);
}

RankBytes info_nce_traffic(std::int64_t rows, std::int64_t width, std::int64_t element_bytes, int ranks,
                           RankExchange exchange) {
  const std::int64_t block = rows * width * element_bytes, others = ranks - 1;
  if (others == 0) return {};
  if (exchange == RankExchange::gather) return {2 * others * block, 2 * others * block};
  // Columns travel with a log-sum-exp: in forward as f64, and home.
  return {others * block + ranks * rows * 8, others * (block + rows * element_bytes) + ranks * block};
}

RankBytes pair_sigmoid_traffic(std::int64_t rows, std::int64_t width, std::int64_t element_bytes, int ranks,
                               RankExchange exchange) {
  const std::int64_t block = rows * width * element_bytes, others = ranks - 1;
  if (others == 0) return {};
  if (exchange == RankExchange::gather) return {others * block, others * block};
  return {others * block, others * block + ranks * block};
}

}  // namespace fovea::ops
