// Texts to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::text {

namespace detail {
class Pipeline;
}

// Two vocabulary ids that are joined wherever they stand side by side inside a word.
struct BpeMerge {
  std::int32_t left, right;
};

// What a SentencePiece model's file does not say.
struct SentencePieceOptions {
  bool start = false, end = false;  // the model's <s> before every text, its </s> behind it
  bool canonical = false;           // texts go through canonicalize() of text/clean.h first, as SigLIP's
};

// A tokenizer of the kinds that Hugging Face's tokenizers describes: a text is normalized, cut into words, each word is
// encoded by a model (byte-pair encoding, WordPiece or a unigram language model), and special tokens are put around the
// whole; decoding runs a chain of decoders. Added tokens are found in the text before it is cut. Given the same
// tokenizer.json, ids are equal to those of Hugging Face's tokenizers; given a SentencePiece model, to those of the
// original library.
//
// A value, cheap to copy; const functions may be called from any number of threads. Texts are UTF-8, ill-formed parts
// of them count as U+FFFD.
class FOVEA_API Tokenizer {
 public:
  // CLIP's vocabulary (openai/CLIP, clip/simple_tokenizer.py): 256 bytes, 256 bytes that end a word, one piece per
  // merge,
  // "<|startoftext|>", "<|endoftext|>". A merge may use the bytes and the pieces of earlier merges. Texts are cleaned
  // by clean() of text/clean.h. Throws Error when a merge does not fit.
  explicit Tokenizer(std::span<const BpeMerge> merges);

  // Reads a tokenizer.json, or a folder that holds one of these, looked for in this order: tokenizer.json;
  // bpe_simple_vocab_16e6.txt (see load_merges); merges.txt, with or without vocab.json (GPT-2); vocab.txt (BERT, in
  // lower case unless a tokenizer_config.json says "do_lower_case": false); spiece.model, sentencepiece.bpe.model or
  // tokenizer.model (see load_sentence_piece, with the options of the "tokenizer_class" that a tokenizer_config.json
  // names: SigLIP's, T5's or LLaMA's). A path that ends in ".model" is a SentencePiece model without options. Throws
  // Error naming the file, the place in it and what was expected.
  static Tokenizer load(const std::string& path);

  // The tokenizer.json that `json` is; errors name `source`.
  static Tokenizer parse(std::string_view json, const std::string& source);

  // CLIP's published tokenizer as open_clip has it (open_clip/tokenizer.py), from bpe_simple_vocab_16e6.txt,
  // decompressed before with gunzip: a header, then one merge per line, of which the first `vocabulary_size` - 514 are
  // used. Texts are cleaned by clean_like_open_clip() of text/clean.h; the special tokens are "<start_of_text>" and
  // "<end_of_text>". Throws Error naming the file and line.
  static Tokenizer load_merges(const std::string& path, std::int64_t vocabulary_size = 49408);

  // A SentencePiece model, unigram or BPE: the .model file that the trainer writes. Control pieces such as "</s>" are
  // not looked for in texts. Throws Error naming the file, the byte and what was expected.
  static Tokenizer load_sentence_piece(const std::string& path, const SentencePieceOptions& options = {});
  // The same of a file's bytes; errors name `source`.
  static Tokenizer parse_sentence_piece(std::string_view bytes, const std::string& source,
                                        const SentencePieceOptions& options = {});

  // Writes a tokenizer.json that load and Hugging Face's tokenizers read; theirs replaces the cleaning of CLIP's
  // captions by Unicode's form C, collapsed white space and lower case, and does with SentencePiece models what its own
  // components can: ids differ where a text spells control pieces or "<0x41>", and in rare sequences of combining
  // characters. Throws Error naming the file.
  void save(const std::string& path) const;

  // A header, then one merge per line. Throws Error when the model is not byte-pair encoding.
  std::string merges_text() const;

  // The tokens of a text with the special tokens around them. Nothing is padded; texts are cut only where the
  // tokenizer.json says so.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // The same, with at most `context_length` tokens: tokens are left out before those that end every text. Throws Error
  // when the special tokens alone are more.
  std::vector<std::int32_t> encode(std::string_view text, std::int64_t context_length) const;

  // The text of tokens; special ones are left out, ill-formed UTF-8 becomes U+FFFD. Throws Error for an id outside the
  // vocabulary.
  std::string decode(std::span<const std::int32_t> ids) const;

  // One more than the greatest id: the rows that an embedding table needs.
  std::int64_t vocabulary_size() const;
  // The token that every text begins and ends with; -1 when there is none.
  std::int32_t start_id() const;
  std::int32_t end_id() const;
  // The id of a token by what it is written as, such as "[MASK]" or "</s>"; -1 when there is none.
  std::int32_t id_of(std::string_view content) const;

 private:
  explicit Tokenizer(detail::Pipeline pipeline);

  std::shared_ptr<const detail::Pipeline> pipeline_;
};

// 4,096 entries learned from the training captions of data/emoji_clipart in 17 languages, compiled into the library.
FOVEA_API const Tokenizer& default_tokenizer();

}  // namespace fovea::text
