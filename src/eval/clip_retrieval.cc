#include "fovea/eval/clip_retrieval.h"

#include "fovea/core/log.h"
#include "fovea/text/clean.h"

namespace fovea::eval {

EmbeddedPairs embed_pairs(const ClipEncoder& encoder, const data::ImageTextDataset& dataset, std::int64_t max_pixels) {
  EmbeddedPictures pictures = embed_pictures(encoder, dataset.size(), [&](std::int64_t i) {
    return image::read_image(dataset[i].image_path, {.max_pixels = max_pixels, .alpha = encoder.transform.alpha});
  });
  FOVEA_CHECK(!pictures.kept.empty(), "[retrieval] none of the ", dataset.size(),
              " pictures could be read; the first: ", pictures.left_out.front().reason);
  if (!pictures.left_out.empty()) log::warning(left_out_message(pictures));
  EmbeddedPairs pairs;
  std::vector<std::string> captions;
  for (const std::int64_t i : pictures.kept) {
    pairs.paths.push_back(dataset[i].image_path);
    captions.push_back(text::clean(dataset.eval_text(i)));
  }
  CaptionSet distinct = distinct_captions(captions);
  pairs.images = std::move(pictures.rows);
  pairs.texts = embed_texts(encoder, distinct.texts);
  pairs.captions = std::move(distinct.texts);
  pairs.matches = std::move(distinct.matches);
  return pairs;
}

Retrieval clip_retrieval(const ClipEncoder& encoder, const data::ImageTextDataset& dataset, std::int64_t max_pixels) {
  const EmbeddedPairs pairs = embed_pairs(encoder, dataset, max_pixels);
  return retrieval(pairs.images, pairs.texts, pairs.matches);
}

}  // namespace fovea::eval
