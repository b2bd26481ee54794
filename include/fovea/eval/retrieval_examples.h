// A few queries of a split with what was found for them, for people to look at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/eval/clip_retrieval.h"

namespace fovea::eval {

struct RetrievalExamples {
  struct Answer {
    std::int64_t index = 0;  // into `texts` or `pictures`
    float score = 0;         // cosine
    bool right = false;
  };
  struct Query {
    std::int64_t index = 0;
    std::vector<Answer> answers;  // the first ones
    std::int64_t best_rank = 0;   // of the best right answer, counted from 1
  };

  std::string split;
  std::vector<std::string> pictures, texts;  // files and captions of the split
  std::vector<Query> t2i, i2t;
  std::vector<Match> pairs;       // no caption twice
  std::vector<float> similarity;  // (pairs, pairs): cosine of the text of pair i with the picture of pair j
};

struct ExampleCounts {
  std::int64_t queries = 12, answers = 5, pairs = 24;
};

// Chooses by a hash of captions and file names: neither the model nor the folder's place has a say, so that two runs
// show the same queries and none is chosen for its success. Smaller splits give fewer. Ranks as `retrieval` does.
FOVEA_API RetrievalExamples retrieval_examples(const EmbeddedPairs& pairs, const ExampleCounts& counts = {});

}  // namespace fovea::eval
