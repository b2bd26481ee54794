// fovea/text: tokenizers.
#pragma once

#include "fovea/text/bpe_trainer.h"
#include "fovea/text/caption_words.h"
#include "fovea/text/clean.h"
#include "fovea/text/language.h"
#include "fovea/text/split.h"
#include "fovea/text/tokenizer.h"
