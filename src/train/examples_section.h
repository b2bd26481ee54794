// What retrieval finds, as a part of the report. Private to the sources.
#pragma once

#include <string>

#include "fovea/eval/retrieval_examples.h"

namespace fovea::train::detail {

// Queries in both directions with their first answers marked right or wrong, and the similarity matrix; empty when
// there are no examples.
std::string examples_section(const eval::RetrievalExamples& examples);

extern const char* const examples_style;  // for the page's <style>

}  // namespace fovea::train::detail
