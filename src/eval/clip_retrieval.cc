#include "fovea/eval/clip_retrieval.h"

#include "fovea/core/log.h"
#include "fovea/text/clean.h"

namespace fovea::eval {

namespace {

std::vector<std::string> captions_of(const data::Sample& sample, bool every) {
  std::vector<std::string> captions;
  for (const data::Text& text : sample.texts) {
    if (every && text.text.empty()) continue;
    captions.push_back(text::clean(text.text));
    if (!every) break;
  }
  return captions;
}

}  // namespace

EmbeddedPairs embed_pairs(const ClipEncoder& encoder, const data::ImageTextDataset& dataset,
                          const PairOptions& options) {
  EmbeddedPictures pictures = embed_pictures(encoder, dataset.size(), [&](std::int64_t i) {
    return image::read_image(dataset[i].image_path,
                             {.max_pixels = options.max_pixels, .alpha = encoder.transform.alpha});
  });
  FOVEA_CHECK(!pictures.kept.empty(), "[retrieval] none of the ", dataset.size(),
              " pictures could be read; the first: ", pictures.left_out.front().reason);
  if (!pictures.left_out.empty()) log::warning(left_out_message(pictures));
  EmbeddedPairs pairs;
  std::vector<std::vector<std::string>> captions;
  for (const std::int64_t i : pictures.kept) {
    pairs.paths.push_back(dataset[i].image_path);
    captions.push_back(captions_of(dataset[i], options.every_caption));
  }
  CaptionSet set = caption_set(captions, options.merge_equal);
  pairs.images = std::move(pictures.rows);
  pairs.texts = embed_texts(encoder, set.texts);
  pairs.captions = std::move(set.texts);
  pairs.matches = std::move(set.matches);
  return pairs;
}

Retrieval clip_retrieval(const ClipEncoder& encoder, const data::ImageTextDataset& dataset,
                         const PairOptions& options) {
  const EmbeddedPairs pairs = embed_pairs(encoder, dataset, options);
  return retrieval(pairs.images, pairs.texts, pairs.matches);
}

}  // namespace fovea::eval
