#include "train/anomaly_samples.h"

#include <optional>

#include "fovea/autograd/no_grad.h"

namespace fovea::train {
namespace {

// The row of the batch that an element of a tensor with a row per sample, per token of the texts, or with as many rows
// for every sample belongs to.
std::optional<std::int64_t> row_of(const Anomaly& anomaly, const data::Batch& batch) {
  const Shape& shape = anomaly.shape;
  if (anomaly.of_parameter || shape.rank() == 0 || shape.numel() == 0) return {};
  const std::int64_t rows = shape[0], row = anomaly.element / (shape.numel() / rows), samples = batch.size();
  if (rows == samples) return row;
  if (rows == batch.tokens.numel()) {
    std::int64_t text = 0;
    while (batch.text.end(text) <= row) ++text;
    return text;
  }
  if (rows % samples == 0) return row / (rows / samples);
  return {};
}

// Of several micro-batches, the one whose forward pass alone is not finite.
std::optional<std::pair<Anomaly, const data::Batch*>> found_alone(std::span<const data::Batch> batches, Task& task,
                                                                  nn::Ctx ctx) {
  const NoGrad no_tape;
  ctx.update_statistics = false;
  for (const data::Batch& batch : batches) {
    try {
      const DetectAnomaly checks({});
      task.loss(batch, ctx);
    } catch (const AnomalyError& error) {
      return {{error.anomaly(), &batch}};
    }
  }
  return {};
}

}  // namespace

std::string samples_of(const Anomaly& anomaly, std::span<const data::Batch> batches, Task& task, nn::Ctx ctx) {
  const auto sample = [](const Anomaly& found, const data::Batch& batch) -> std::string {
    const auto row = row_of(found, batch);
    return row ? concat("sample ", batch.sample_ids[static_cast<std::size_t>(*row)]) : "";
  };
  std::string named;
  if (batches.size() == 1) {
    named = sample(anomaly, batches[0]);
  } else if (const auto found = found_alone(batches, task, std::move(ctx))) {
    named = sample(found->first, *found->second);
  }
  if (!named.empty()) return named;
  std::string all;
  for (const data::Batch& batch : batches) {
    for (const std::int64_t id : batch.sample_ids) all += concat(all.empty() ? "" : ", ", id);
  }
  return "one of samples " + all;
}

}  // namespace fovea::train
