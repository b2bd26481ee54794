#include "fovea/eval/clip_retrieval.h"

#include <algorithm>
#include <optional>

#include "fovea/autograd/no_grad.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/normalize.h"
#include "fovea/text/clean.h"

namespace fovea::eval {
namespace {

// The pictures that decode, transformed, with their captions.
struct Pictures {
  std::vector<image::Image> images;
  std::vector<std::string> captions;
};

Pictures read_pictures(const data::ImageTextDataset& dataset, const image::TransformConfig& transform,
                       std::int64_t max_pixels) {
  std::vector<std::optional<image::Image>> decoded(static_cast<std::size_t>(dataset.size()));
  std::vector<std::string> errors(decoded.size());
  parallel_for(dataset.size(), 16, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) {
      try {
        decoded[static_cast<std::size_t>(i)] =
            image::eval_transform(image::read_image(dataset[i].image_path, max_pixels), transform);
      } catch (const Error& error) {
        errors[static_cast<std::size_t>(i)] = error.what();
      }
    }
  });
  Pictures pictures;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (!decoded[static_cast<std::size_t>(i)]) continue;
    pictures.images.push_back(std::move(*decoded[static_cast<std::size_t>(i)]));
    pictures.captions.push_back(text::clean(dataset.eval_text(i)));
  }
  FOVEA_CHECK(!pictures.images.empty(), "[retrieval] none of the ", dataset.size(),
              " pictures could be read; the first: ", errors.front());
  if (const std::size_t left_out = decoded.size() - pictures.images.size(); left_out > 0) {
    const auto first = std::find_if(errors.begin(), errors.end(), [](const auto& error) { return !error.empty(); });
    log::warning(left_out, " of ", dataset.size(), " pictures left out; the first: ", *first);
  }
  return pictures;
}

// Embeds rows [begin, end) of `count` rows at a time and puts the unit vectors, as f32, below each other.
template <class Embed>
Tensor embed_all(std::int64_t count, std::int64_t batch_size, Embed&& embed) {
  Tensor all;
  for (std::int64_t begin = 0; begin < count; begin += batch_size) {
    const std::int64_t end = std::min(count, begin + batch_size);
    const Tensor part = ops::l2_normalize(embed(begin, end)).value();
    if (!all.defined()) all = Tensor({count, part.dim(1)});
    all.rows(begin, end).copy_from(part);
  }
  return all;
}

Tensor image_batch(const std::vector<image::Image>& images, std::int64_t begin, std::int64_t end,
                   const image::TransformConfig& transform, DType dtype) {
  Tensor batch({end - begin, transform.size, transform.size, image::Image::channels});
  float* out = batch.mutable_data<float>();
  const std::int64_t size = batch.shape().inner(0);
  for (std::int64_t i = begin; i < end; ++i) {
    image::normalize(images[static_cast<std::size_t>(i)], transform.normalization, out + (i - begin) * size);
  }
  return batch.to(dtype);
}

}  // namespace

Retrieval clip_retrieval(const models::ClipModel& model, const text::Tokenizer& tokenizer,
                         const image::TransformConfig& transform, const data::ImageTextDataset& dataset,
                         std::int64_t batch_size, std::int64_t max_pixels) {
  FOVEA_CHECK(batch_size >= 1, "[retrieval] the batch size is ", batch_size, ", expected at least 1");
  const NoGrad nothing_is_recorded;
  const nn::Ctx ctx;
  const Pictures pictures = read_pictures(dataset, transform, max_pixels);
  const DType dtype = model.logit_scale.value().dtype();
  const Tensor images = embed_all(
      static_cast<std::int64_t>(pictures.images.size()), batch_size, [&](std::int64_t begin, std::int64_t end) {
        return model.encode_image(image_batch(pictures.images, begin, end, transform, dtype), ctx);
      });
  const CaptionSet captions = distinct_captions(pictures.captions);
  const std::int64_t context = models::TextTower::context(model.config.text);
  const Tensor texts = embed_all(
      static_cast<std::int64_t>(captions.texts.size()), batch_size, [&](std::int64_t begin, std::int64_t end) {
        std::vector<std::int32_t> ids;
        std::vector<std::int64_t> lengths;
        for (std::int64_t i = begin; i < end; ++i) {
          const auto tokens = tokenizer.encode(captions.texts[static_cast<std::size_t>(i)], context);
          ids.insert(ids.end(), tokens.begin(), tokens.end());
          lengths.push_back(static_cast<std::int64_t>(tokens.size()));
        }
        const Tensor packed = from_values<std::int32_t>({static_cast<std::int64_t>(ids.size())}, ids);
        return model.encode_text(packed, PackedLayout::from_lengths(lengths), ctx);
      });
  return retrieval(images, texts, captions.matches);
}

}  // namespace fovea::eval
