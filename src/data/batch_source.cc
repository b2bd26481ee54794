#include "data/batch_source.h"

#include "fovea/core/error.h"
#include "fovea/data/word_dropout.h"
#include "fovea/image/decode.h"
#include "fovea/tensor/factory.h"

namespace fovea::data::detail {

Batch make_batch(std::span<MadeSample> samples, const image::TransformConfig& transform, const LoaderOptions& options) {
  Batch batch;
  const auto count = static_cast<std::int64_t>(samples.size());
  if (options.features) batch.image_features = Tensor({count, options.features->width()});
  std::vector<image::Image> pictures;
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> lengths;
  for (std::int64_t row = 0; row < count; ++row) {
    MadeSample& sample = samples[static_cast<std::size_t>(row)];
    batch.sample_ids.push_back(sample.id);
    tokens.insert(tokens.end(), sample.tokens.begin(), sample.tokens.end());
    lengths.push_back(static_cast<std::int64_t>(sample.tokens.size()));
    if (options.features) {
      batch.feature_keys.push_back(sample.feature_key);
      if (sample.picture) batch.uncached.push_back(row);
      std::copy(sample.features.begin(), sample.features.end(),
                batch.image_features.rows(row, row + 1).mutable_data<float>());
    }
    if (sample.picture) pictures.push_back(std::move(*sample.picture));
  }
  batch.images = image::stack(pictures, {transform.size, transform.size});
  batch.normalization = transform.normalization;
  batch.tokens = from_values<std::int32_t>({static_cast<std::int64_t>(tokens.size())}, tokens);
  batch.text = PackedLayout::from_lengths(lengths);
  batch.text.sample_ids = from_values<std::int64_t>({count}, batch.sample_ids);
  return batch;
}

FileFacts facts_of(const PictureFile& file) {
  return {image::picture_size(file.bytes, file.name), image::can_be_reduced(file.bytes)};
}

int reduction_of(const FileFacts& facts, const image::TransformConfig& transform, const LoaderOptions& options,
                 const Rng& rng) {
  return options.train && facts.reducible ? image::train_reduction(facts.size, transform, rng) : 1;
}

image::Image decode(const PictureFile& file, int reduction, const image::TransformConfig& transform,
                    const LoaderOptions& options) {
  return image::decode(file.bytes, file.name,
                       {.max_pixels = options.max_pixels, .alpha = transform.alpha, .reduction = reduction});
}

void add_features(MadeSample& sample, const Hash128& file, std::int64_t view, const LoaderOptions& options,
                  FunctionRef<image::Image(Rng)> transformed) {
  const struct {
    Hash128 file;
    std::uint64_t view;
  } content{file, static_cast<std::uint64_t>(view)};
  sample.feature_key = hash128(&content, sizeof content);
  sample.features.resize(static_cast<std::size_t>(options.features->width()));
  if (options.features->find(sample.feature_key, sample.features.data())) return;
  sample.features.clear();
  sample.picture = transformed(Rng(RngKey{options.seed}.derive("view").derive(content.view).derive(file.low)));
}

std::vector<std::int32_t> encode_text(std::string text, Rng& rng, const TextEncoder& encoder,
                                      const LoaderOptions& options) {
  if (options.train && options.word_dropout > 0) text = drop_words(text, options.word_dropout, rng);
  std::vector<std::int32_t> ids = encoder.encode(text);
  FOVEA_CHECK(!ids.empty(), "[loader] the encoder gives no token for \"", text, "\", expected at least one");
  return ids;
}

}  // namespace fovea::data::detail
