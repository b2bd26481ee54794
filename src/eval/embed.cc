#include "fovea/eval/embed.h"

#include <algorithm>
#include <optional>

#include "fovea/autograd/no_grad.h"
#include "fovea/ops/normalize.h"

namespace fovea::eval {
namespace {

void check(const ClipEncoder& encoder) {
  FOVEA_CHECK(encoder.batch_size >= 1, "[embed] the batch size is ", encoder.batch_size, ", expected at least 1");
}

Tensor text_batch(const ClipEncoder& encoder, std::span<const std::string> texts) {
  const models::TextTower::Config& config = encoder.model.config.text;
  const std::int64_t context = models::TextTower::context(config);
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> lengths;
  for (const std::string& text : texts) {
    const auto tokens = models::TextTower::padded(config, encoder.tokenizer.encode(text, context));
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    lengths.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  const Tensor packed = from_values<std::int32_t>({static_cast<std::int64_t>(ids.size())}, ids);
  return ops::l2_normalize(encoder.model.encode_text(packed, PackedLayout::from_lengths(lengths), {})).value();
}

// Normalised, in the type that the model computes in.
Tensor image_batch(const ClipEncoder& encoder, const std::vector<image::Image>& images) {
  const image::TransformConfig& transform = encoder.transform;
  const Tensor pixels = image::stack(images, {transform.size, transform.size});
  return image::normalized(pixels, transform.normalization).to(encoder.model.dtype());
}

// The pictures [begin, end) that can be used; what was kept and left out is noted.
std::vector<image::Image> read_batch(const image::TransformConfig& transform, std::int64_t begin, std::int64_t end,
                                     FunctionRef<image::Image(std::int64_t)> read, EmbeddedPictures& noted) {
  std::vector<std::optional<image::Image>> decoded(static_cast<std::size_t>(end - begin));
  std::vector<std::string> reasons(decoded.size());
  parallel_for(end - begin, 16, [&](std::int64_t i, std::int64_t last) {
    for (; i < last; ++i) {
      const auto at = static_cast<std::size_t>(i);
      try {
        decoded[at] = image::eval_transform(read(begin + i), transform);
      } catch (const Error& error) {
        reasons[at] = error.what();
      }
    }
  });
  std::vector<image::Image> images;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const std::int64_t index = begin + static_cast<std::int64_t>(i);
    if (decoded[i]) {
      images.push_back(std::move(*decoded[i]));
      noted.kept.push_back(index);
    } else {
      noted.left_out.push_back({index, std::move(reasons[i])});
    }
  }
  return images;
}

// The rows (pictures that can be used, width) that `encode` makes of batches of pictures.
template <class Encode>
EmbeddedPictures encode_pictures(const ClipEncoder& encoder, std::int64_t count, std::int64_t width,
                                 FunctionRef<image::Image(std::int64_t)> read, Encode&& encode) {
  check(encoder);
  const NoGrad nothing_is_recorded;
  EmbeddedPictures pictures;
  Tensor all({count, width});
  std::int64_t rows = 0;
  for (std::int64_t begin = 0; begin < count; begin += encoder.batch_size) {
    const std::int64_t end = std::min(count, begin + encoder.batch_size);
    const std::vector<image::Image> images = read_batch(encoder.transform, begin, end, read, pictures);
    if (images.empty()) continue;
    const std::int64_t first = rows;
    rows += static_cast<std::int64_t>(images.size());
    all.rows(first, rows).copy_from(encode(image_batch(encoder, images)));
  }
  pictures.rows = pictures.left_out.empty() ? all : all.rows(0, rows).clone();
  return pictures;
}

}  // namespace

Tensor embed_texts(const ClipEncoder& encoder, std::span<const std::string> texts) {
  check(encoder);
  FOVEA_CHECK(!texts.empty(), "[embed] no texts, expected at least one");
  const NoGrad nothing_is_recorded;
  const auto count = static_cast<std::int64_t>(texts.size());
  Tensor all({count, encoder.model.config.embed});
  for (std::int64_t begin = 0; begin < count; begin += encoder.batch_size) {
    const std::int64_t end = std::min(count, begin + encoder.batch_size);
    all.rows(begin, end)
        .copy_from(
            text_batch(encoder, texts.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))));
  }
  return all;
}

EmbeddedPictures embed_pictures(const ClipEncoder& encoder, std::int64_t count,
                                FunctionRef<image::Image(std::int64_t)> read) {
  return encode_pictures(encoder, count, encoder.model.config.embed, read, [&](const Tensor& images) {
    return ops::l2_normalize(encoder.model.encode_image(images, {})).value();
  });
}

EmbeddedPictures picture_features(const ClipEncoder& encoder, std::int64_t count,
                                  FunctionRef<image::Image(std::int64_t)> read) {
  return encode_pictures(encoder, count, encoder.model.vision_model.features(), read,
                         [&](const Tensor& images) { return encoder.model.vision_model(images, {}).value(); });
}

std::string left_out_message(const EmbeddedPictures& pictures) {
  return concat(pictures.left_out.size(), " of ", pictures.left_out.size() + pictures.kept.size(),
                " pictures left out; the first: ", pictures.left_out.front().reason);
}

}  // namespace fovea::eval
