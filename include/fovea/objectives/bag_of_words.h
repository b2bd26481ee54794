// Predicting the words of a caption: what CLIP's efficiency is measured against.
#pragma once

#include "fovea/autograd/var.h"
#include "fovea/objectives/loss.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/matmul.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/packed.h"

namespace fovea::objectives {

// Every picture predicts the words of its own caption, and captions are not compared (Joulin et al. 2016, "Learning
// visual features from large weakly supervised data", with the multi-class logistic loss; the "bag of words prediction"
// of Radford et al. 2021, figure 2): the mean over a caption's words of -log softmax(words image), and the mean of that
// over the captions that have words.
struct BagOfWords {
  // image (B, E), words (V, E): a vector for each entry of the vocabulary, tokens (T) i32: the words of the B captions,
  // laid out as `layout`. Throws Error when shapes do not fit or a token is no entry.
  Loss operator()(const Var& image, const Var& words, const Tensor& tokens, const PackedLayout& layout) const {
    layout.check("bag_of_words", tokens.numel());
    FOVEA_CHECK(image.dim(0) == layout.sequences(), "[bag_of_words] ", image.dim(0), " images and ", layout.sequences(),
                " captions");
    const std::int64_t captions = layout.sequences(), vocabulary = words.dim(0);
    Tensor targets = zeros({captions, vocabulary}, DType::f64), weights = zeros({captions}, DType::f64);
    for (std::int64_t b = 0; b < captions; ++b) {
      weights.mutable_data<double>()[b] = layout.length(b) > 0;
      for (std::int64_t t = layout.begin(b); t < layout.end(b); ++t) {
        const std::int32_t token = tokens.data<std::int32_t>()[t];
        FOVEA_CHECK(token >= 0 && token < vocabulary, "[bag_of_words] token ", token, " of ", vocabulary, " words");
        targets.mutable_data<double>()[b * vocabulary + token] += 1 / static_cast<double>(layout.length(b));
      }
    }
    ops::CrossEntropyOptions options;
    options.row_weights = weights;
    const Var logits = ops::matmul(image, words, false, true);
    return {ops::cross_entropy_soft(logits, targets.to(image.value().dtype()), options), {}};
  }
};

}  // namespace fovea::objectives
