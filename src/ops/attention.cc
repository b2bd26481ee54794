#include "fovea/ops/attention.h"

#include <cmath>

namespace fovea::ops::detail {
namespace {

// Throws Error unless `values` is i32 of `count` numbers.
void check_numbers(const char* name, const Tensor& values, std::int64_t count, const char* of_what) {
  FOVEA_CHECK(values.dtype() == DType::i32 && values.shape() == Shape{count}, "[attention] ", name, " is ",
              to_string(values.dtype()), " ", values.shape(), ", expected i32 (", count, ",): one number a ", of_what);
}

void check_prefix_lengths(const AttentionPlan& plan) {
  if (plan.kind != AttentionKind::prefix) {
    FOVEA_CHECK(!plan.prefix_lengths.defined(), "[attention] prefix_lengths is set, but the kind is not prefix");
    return;
  }
  FOVEA_CHECK(plan.prefix_lengths.defined(), "[attention] the kind is prefix, but prefix_lengths is not set");
  check_numbers("prefix_lengths", plan.prefix_lengths, plan.kv_layout.sequences(), "sequence");
  for (std::int64_t b = 0; b < plan.kv_layout.sequences(); ++b) {
    const std::int32_t prefix = plan.prefix_lengths.data<std::int32_t>()[b];
    FOVEA_CHECK(prefix >= 0 && prefix <= plan.kv_layout.length(b), "[attention] prefix_lengths has ", prefix,
                " for sequence ", b, ", which has ", plan.kv_layout.length(b), " keys");
  }
}

void check_key_ranges(const AttentionPlan& plan, std::int64_t queries) {
  FOVEA_CHECK(plan.key_begin.defined() == plan.key_end.defined(), "[attention] key_begin and key_end go together; ",
              plan.key_begin.defined() ? "key_end" : "key_begin", " is not set");
  if (!plan.key_begin.defined()) return;
  check_numbers("key_begin", plan.key_begin, queries, "query");
  check_numbers("key_end", plan.key_end, queries, "query");
  const auto *begin = plan.key_begin.data<std::int32_t>(), *end = plan.key_end.data<std::int32_t>();
  for (std::int64_t b = 0; b < plan.q_layout.sequences(); ++b) {
    for (std::int64_t t = plan.q_layout.begin(b); t < plan.q_layout.end(b); ++t) {
      FOVEA_CHECK(begin[t] >= 0 && begin[t] <= end[t] && end[t] <= plan.kv_layout.length(b), "[attention] query ", t,
                  " has the keys [", begin[t], ", ", end[t], ") of sequence ", b, ", which has ",
                  plan.kv_layout.length(b));
    }
  }
}

void check_bias(const AttentionPlan& plan, const Var& bias, DType dtype) {
  if (!bias.defined()) return;
  FOVEA_CHECK(bias.dtype() == dtype && bias.rank() == 3 && bias.dim(0) == plan.heads, "[attention] the bias is ",
              to_string(bias.dtype()), " ", bias.shape(), ", expected ", to_string(dtype), " (", plan.heads,
              " heads, queries, keys)");
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionOptions& options, const Tensor& q, std::int64_t q_width, const Tensor& kv,
                             std::int64_t kv_width)
    : q_layout(options.layout),
      kv_layout(options.kv_layout.defined() ? options.kv_layout : options.layout),
      prefix_lengths(options.prefix_lengths),
      key_begin(options.key_begin),
      key_end(options.key_end),
      heads(options.heads),
      kv_heads(options.kv_heads == 0 ? options.heads : options.kv_heads),
      kind(options.kind) {
  FOVEA_CHECK(heads > 0 && q_width > 0 && q_width % heads == 0, "[attention] width ", q_width, " does not divide into ",
              heads, " heads");
  head_dim = q_width / heads;
  FOVEA_CHECK(head_dim <= 256, "[attention] heads have ", head_dim, " channels, at most 256 are supported");
  FOVEA_CHECK(kv_heads > 0 && heads % kv_heads == 0, "[attention] ", heads, " heads of queries cannot share ", kv_heads,
              " heads of keys evenly");
  FOVEA_CHECK(kv_width == kv_heads * head_dim, "[attention] keys have width ", kv_width, ", expected ", kv_heads,
              " heads of ", head_dim);
  scale = options.scale == 0 ? 1 / std::sqrt(static_cast<double>(head_dim)) : options.scale;
  q_layout.check("attention queries", q.dim(0));
  kv_layout.check("attention keys", kv.dim(0));
  FOVEA_CHECK(q_layout.sequences() == kv_layout.sequences(), "[attention] ", q_layout.sequences(),
              " sequences of queries, ", kv_layout.sequences(), " of keys");
  for (std::int64_t b = 0; kind != AttentionKind::full && b < q_layout.sequences(); ++b) {
    FOVEA_CHECK(q_layout.length(b) <= kv_layout.length(b), "[attention] causal sequence ", b, " has ",
                q_layout.length(b), " queries and only ", kv_layout.length(b), " keys");
  }
  check_prefix_lengths(*this);
  check_key_ranges(*this, q.dim(0));
  check_bias(*this, options.bias, q.dtype());
}

kernels::AttentionProblem AttentionPlan::problem() const {
  const auto numbers = [](const Tensor& x) { return x.defined() ? x.data<std::int32_t>() : nullptr; };
  return {q_layout.offsets.data<std::int64_t>(),
          kv_layout.offsets.data<std::int64_t>(),
          q_layout.sequences(),
          heads,
          head_dim,
          kind,
          scale,
          kv_heads,
          numbers(prefix_lengths),
          numbers(key_begin),
          numbers(key_end)};
}

void check_attention_matrices(const Tensor& q, const Tensor& k, const Tensor& v) {
  FOVEA_CHECK(q.rank() == 2 && k.rank() == 2 && k.shape() == v.shape(), "[attention] queries are ", q.shape(),
              ", keys ", k.shape(), ", values ", v.shape(), ", expected (T, D), (S, D), (S, D)");
  FOVEA_CHECK(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "[attention] queries are ", to_string(q.dtype()),
              ", keys ", to_string(k.dtype()), ", values ", to_string(v.dtype()));
}

}  // namespace fovea::ops::detail
