#include "models/run_inputs.h"

#include <algorithm>

#include "fovea/autograd/backward.h"
#include "fovea/core/suggest.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"

namespace fovea::models::detail {
namespace {

bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16; }
bool is_whole(DType dtype) { return dtype == DType::i32 || dtype == DType::i64 || dtype == DType::u8; }

}  // namespace

RunInputs::RunInputs(const io::TensorMap& tensors, const std::vector<std::string>& known) : tensors_(tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest = nearest_name(name, known);
    fail("[run_hf] the model has no input \"", name,
         "\"\nhint: ", nearest.empty() ? "its first input is " + known.front() : "did you mean \"" + nearest + "\"?");
  }
}

const Tensor* RunInputs::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const Tensor* RunInputs::cotangent(const std::string& name, const Shape& shape) const {
  const Tensor* weights = find("cotangent." + name);
  FOVEA_CHECK(weights == nullptr || weights->shape() == shape, "[run_hf] cotangent.", name, " is ",
              weights == nullptr ? Shape{} : weights->shape(), ", expected ", shape, " as the output");
  return weights;
}

Var plus_weighted(const Var& loss, const Var& output, const Tensor& weights) {
  const Var sum = ops::sum(ops::mul(output, Var(weights.to(output.dtype()))));
  return loss.defined() ? ops::add(loss, sum) : sum;
}

void add_loss(const Var& loss, const std::vector<nn::ParamEntry>& entries, const RunOptions& options,
              io::TensorMap& outputs) {
  outputs["loss"] = loss.value();
  if (!options.gradients) return;
  backward(loss);
  for (const nn::FileTensor& tensor : nn::native_tensors(entries)) {
    if (!tensor.parts.front().leaf->is_buffer()) outputs["grad." + tensor.name] = tensor.gradient();
  }
}

Tensor run_images(const Tensor& pixels, std::int64_t size, DType dtype) {
  FOVEA_CHECK(is_floating(pixels.dtype()) && pixels.rank() == 4 && pixels.dim(0) > 0 && pixels.dim(1) == 3 &&
                  pixels.dim(2) == size && pixels.dim(3) == size,
              "[run_hf] pixel_values is ", to_string(pixels.dtype()), " ", pixels.shape(),
              ", expected floating point (N, 3, ", size, ", ", size, ")");
  return ops::transpose(Var(pixels.to(dtype)), {0, 2, 3, 1}).value();
}

PaddedTexts::PaddedTexts(const Tensor& ids, const Tensor* mask, std::int64_t vocabulary, std::int64_t context) {
  FOVEA_CHECK(is_whole(ids.dtype()) && ids.rank() == 2 && ids.numel() > 0, "[run_hf] input_ids is ",
              to_string(ids.dtype()), " ", ids.shape(), ", expected whole numbers (B, L)");
  count = ids.dim(0);
  length = ids.dim(1);
  FOVEA_CHECK(length <= context, "[run_hf] input_ids has ", length, " tokens a text, the model has ", context,
              " positions");
  FOVEA_CHECK(mask == nullptr || mask->shape() == ids.shape(), "[run_hf] attention_mask is ",
              mask == nullptr ? Shape{} : mask->shape(), ", expected the shape ", ids.shape(), " of input_ids");
  padded = Tensor({ids.numel()}, DType::i32);
  auto* padded_id = padded.mutable_data<std::int32_t>();
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(count), 0);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const double id = ids.at(i), visible = mask == nullptr ? 1 : mask->at(i);
    FOVEA_CHECK(id >= 0 && id < static_cast<double>(vocabulary), "[run_hf] input_ids has ",
                static_cast<std::int64_t>(id), " at (", i / length, ", ", i % length, "), the model's vocabulary has ",
                vocabulary, " entries");
    FOVEA_CHECK(visible == 0 || visible == 1, "[run_hf] attention_mask has ", visible, " at (", i / length, ", ",
                i % length, "), expected 0 or 1");
    padded_id[i] = static_cast<std::int32_t>(id);
    if (visible == 0) continue;
    places.push_back(i);
    ++lengths[static_cast<std::size_t>(i / length)];
  }
  layout = PackedLayout::from_lengths(lengths);
  tokens = Tensor({static_cast<std::int64_t>(places.size())}, DType::i32);
  auto* token = tokens.mutable_data<std::int32_t>();
  auto* position = layout.positions.mutable_data<std::int64_t>();
  for (std::size_t t = 0; t < places.size(); ++t) {
    token[t] = padded_id[places[t]];
    position[t] = places[t] % length;
  }
}

Tensor PaddedTexts::packed(const char* name, const Tensor& values, std::int64_t classes, std::int64_t other) const {
  FOVEA_CHECK(is_whole(values.dtype()) && values.shape() == (Shape{count, length}), "[run_hf] ", name, " is ",
              to_string(values.dtype()), " ", values.shape(), ", expected whole numbers (", count, ", ", length,
              "), one for each of input_ids");
  Tensor out({static_cast<std::int64_t>(places.size())}, DType::i32);
  auto* to = out.mutable_data<std::int32_t>();
  for (std::size_t t = 0; t < places.size(); ++t) {
    const double value = values.at(places[t]);
    FOVEA_CHECK((value >= 0 && value < static_cast<double>(classes)) || value == static_cast<double>(other),
                "[run_hf] ", name, " has ", static_cast<std::int64_t>(value), " at (", places[t] / length, ", ",
                places[t] % length, "), expected 0 to ", classes - 1);
    to[t] = static_cast<std::int32_t>(value);
  }
  return out;
}

Tensor PaddedTexts::packed_rows(Tensor rows) const {
  auto* row = rows.mutable_data<std::int64_t>();
  for (std::int64_t b = 0; b < count; ++b) {
    const auto found = std::lower_bound(places.begin(), places.end(), row[b]);
    FOVEA_CHECK(found != places.end() && *found == row[b], "[run_hf] text ", b, " is pooled at token ", row[b] % length,
                ", where attention_mask is 0");
    row[b] = found - places.begin();
  }
  return rows;
}

Tensor PaddedTexts::unpacked(const Tensor& rows) const {
  const std::int64_t width = rows.dim(1);
  Tensor out = zeros({count * length, width}, rows.dtype());
  for (std::size_t t = 0; t < places.size(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    out.rows(places[t], places[t] + 1).copy_from(rows.rows(row, row + 1));
  }
  return out.reshape({count, length, width});
}

Tensor PaddedTexts::packed(const Tensor& values) const {
  const std::int64_t width = values.dim(2);
  const Tensor flat = values.reshape({count * length, width});
  Tensor out({static_cast<std::int64_t>(places.size()), width}, values.dtype());
  for (std::size_t t = 0; t < places.size(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    out.rows(row, row + 1).copy_from(flat.rows(places[t], places[t] + 1));
  }
  return out;
}

}  // namespace fovea::models::detail
