#include "text/sentence_piece_pipeline.h"

#include <algorithm>
#include <utility>

#include "fovea/core/error.h"

namespace fovea::text::detail {
namespace {

using Type = SentencePieceFile::Type;

constexpr const char* mark = "\xE2\x96\x81";  // U+2581 stands for a space
constexpr std::size_t longest_piece = 1024;   // that merges are made for: of a hostile file's they would be too many
constexpr double never = -1e6;                // score of a piece that is not to be used

Vocabulary vocabulary_of(const SentencePieceFile& file, const std::string& place) {
  Vocabulary vocabulary;
  for (std::size_t id = 0; id < file.pieces.size(); ++id)
    vocabulary.add(file.pieces[id].text, static_cast<std::int64_t>(id), file.pieces.size(), place);
  return vocabulary;
}

std::int32_t unknown_of(const SentencePieceFile& file) {
  const auto found = std::ranges::find(file.pieces, Type::unknown, &SentencePieceFile::Piece::type);
  return static_cast<std::int32_t>(found - file.pieces.begin());
}

UnigramModel unigram(const SentencePieceFile& file, const std::string& place) {
  std::vector<double> scores;
  for (const auto& piece : file.pieces)
    scores.push_back(piece.type == Type::unused ? never : static_cast<double>(piece.score));
  return {vocabulary_of(file, place), std::move(scores), {unknown_of(file), file.byte_fallback}};
}

// Two pieces are joined where the whole is a piece, the better scored the earlier.
BpeModel bpe(const SentencePieceFile& file, const std::string& place) {
  Vocabulary vocabulary = vocabulary_of(file, place);
  std::vector<MergeRule> rules;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& [text, score, type] = file.pieces[id];
    if (type != Type::normal || text.size() > longest_piece) continue;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const std::int32_t left = vocabulary.id_of(text.substr(0, cut)), right = vocabulary.id_of(text.substr(cut));
      if (left != Vocabulary::none && right != Vocabulary::none)
        rules.push_back({left, right, static_cast<std::int32_t>(id)});
    }
  }
  std::ranges::stable_sort(rules, std::greater(), [&](const MergeRule& rule) {
    return file.pieces[static_cast<std::size_t>(rule.merged)].score;
  });
  BpeOptions options;
  options.unk_token = file.pieces[static_cast<std::size_t>(unknown_of(file))].text;
  options.fuse_unk = true;
  options.byte_fallback = file.byte_fallback;
  return {std::move(vocabulary), std::move(rules), std::move(options)};
}

Normalizer replaced(const char* pattern, const char* content) { return {Replace{Pattern::of_regex(pattern), content}}; }

Normalizer normalizer(const SentencePieceFile& file, bool canonical, std::string bytes, const std::string& place) {
  NormalizerSequence sequence;
  std::vector<Normalizer>& steps = sequence.normalizers;
  if (canonical) {
    steps.push_back({Lowercase()});
    steps.push_back(replaced(R"([!-/:-@\[-`{-~])", ""));
    steps.push_back(replaced(R"(\s+)", " "));
    steps.push_back({StripSpace()});
    sequence.cleaning = "canonical";
  }
  const SentencePieceFile::Normalization& rules = file.normalization;
  if (!rules.charsmap.empty()) steps.push_back({Precompiled{Charsmap(rules.charsmap, place)}});
  if (rules.remove_extra_whitespaces) {
    steps.push_back(replaced("\\A +", ""));
    steps.push_back(replaced(" +\\z", ""));
    steps.push_back(replaced(" {2,}", " "));
  } else {
    if (rules.add_dummy_prefix && !file.whitespace_as_suffix) steps.push_back({Prepend{" "}});
    if (rules.escape_whitespaces) steps.push_back({Replace{Pattern::of_string(" "), mark}});
  }
  if (file.whitespace_as_suffix && rules.add_dummy_prefix) steps.push_back(replaced("(?<=.)\\z", mark));
  sequence.sentence_piece.bytes = std::move(bytes);
  return {std::move(sequence)};
}

Decoder decoder(const SentencePieceFile& file) {
  if (!file.byte_fallback) return {Metaspace{}};
  DecoderSequence sequence;
  sequence.decoders.push_back({Replace{Pattern::of_string(mark), " "}});
  sequence.decoders.push_back({ByteFallback()});
  sequence.decoders.push_back({Fuse()});
  sequence.decoders.push_back({StripCharacters{U' ', 1, 0}});
  return {std::move(sequence)};
}

std::vector<AddedToken> added_tokens(const SentencePieceFile& file) {
  std::vector<AddedToken> tokens;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& piece = file.pieces[id];
    const bool special = piece.type == Type::unknown || piece.type == Type::control;
    if (!special && piece.type != Type::user_defined) continue;
    AddedToken& token = tokens.emplace_back();
    token.id = static_cast<std::int64_t>(id);
    token.content = piece.text;
    token.normalized = false;
    token.special = special;
  }
  return tokens;
}

PostProcessor surroundings(const SentencePieceFile& file, const SentencePieceOptions& options,
                           const std::string& place) {
  TemplateProcessing processing;
  const auto special = [&](std::int32_t id, const char* role) {
    FOVEA_CHECK(id >= 0, place, "the model has no piece for the ", role, " of a text");
    const std::string& text = file.pieces[static_cast<std::size_t>(id)].text;
    processing.special_tokens[text] = {text, {id}, {text}};
    processing.single.push_back({false, text, 0});
  };
  if (options.start) special(file.start, "start");
  processing.single.push_back({true, "A", 0});
  if (options.end) special(file.end, "end");
  processing.pair = processing.single;
  processing.pair.push_back({true, "B", 1});
  return {std::move(processing)};
}

}  // namespace

Pipeline sentence_piece_pipeline(std::string bytes, const SentencePieceOptions& options, const std::string& source) {
  const std::string place = concat("[tokenizer] ", source, ": ");
  const SentencePieceFile file = SentencePieceFile::parse(bytes, source);
  FOVEA_CHECK(unknown_of(file) < std::ssize(file.pieces), place, "no piece is the unknown one");
  const bool is_bpe = file.algorithm == SentencePieceFile::Algorithm::bpe;
  Pipeline::Parts parts(is_bpe ? Pipeline::Model(bpe(file, place)) : Pipeline::Model(unigram(file, place)));
  parts.normalizer = normalizer(file, options.canonical, std::move(bytes), place);
  const bool prefix = file.normalization.add_dummy_prefix && !file.whitespace_as_suffix;
  if (file.normalization.remove_extra_whitespaces)
    parts.pre_tokenizer = {Metaspace{U'▁', prefix ? PrependScheme::first : PrependScheme::never, false}};
  parts.decoder = decoder(file);
  parts.added_tokens = added_tokens(file);
  if (options.start || options.end) parts.post_processor = surroundings(file, options, place);
  return Pipeline(std::move(parts), place);
}

}  // namespace fovea::text::detail
