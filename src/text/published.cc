#include "text/published.h"

#include <algorithm>
#include <utility>

#include "fovea/core/error.h"
#include "text/bpe_symbols.h"
#include "text/lines.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

std::string spelled_byte(std::size_t byte) { return spell(std::string(1, static_cast<char>(byte))); }

AddedToken special(std::string content, std::int64_t id, bool normalized) {
  AddedToken token;
  token.id = id;
  token.content = std::move(content);
  token.normalized = normalized;
  token.special = true;
  return token;
}

Normalizer caption_cleaning(const char* cleaning) {
  NormalizerSequence sequence;
  sequence.normalizers = {Normalizer{Nfc()}, Normalizer{Replace{Pattern::of_regex("\\s+"), " "}},
                          Normalizer{Lowercase()}};
  sequence.cleaning = cleaning;
  return {std::move(sequence)};
}

PreTokenizer words_then_bytes(std::string_view pattern) {
  PreTokenizerSequence sequence;
  sequence.pretokenizers.push_back({Split{Pattern::of_regex(std::string(pattern)), Behavior::removed, true}});
  sequence.pretokenizers.push_back({ByteLevel{false, true, false}});
  return {std::move(sequence)};
}

// Bytes to text, and the marks of word ends to the spaces between words.
Decoder words_to_text() {
  DecoderSequence sequence;
  sequence.decoders.push_back({ByteLevel{false, true, false}});
  sequence.decoders.push_back({Replace{Pattern::of_regex("</w>\\z"), ""}});
  sequence.decoders.push_back({Replace{Pattern::of_string("</w>"), " "}});
  return {std::move(sequence)};
}

}  // namespace

Pipeline clip_pipeline(std::span<const BpeMerge> merges, const ClipKind& kind) {
  const std::string place = "[tokenizer] ";
  std::vector<std::string> pieces(first_merge_id);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto id = static_cast<std::size_t>(byte_symbols.id[byte]);
    pieces[id] = spelled_byte(byte);
    pieces[id + byte_symbol_count] = pieces[id] + std::string(end_of_word);
  }
  std::vector<MergeRule> rules;
  for (const auto [left, right] : merges) {
    const auto known = static_cast<std::int32_t>(pieces.size());
    FOVEA_CHECK(left >= 0 && right >= 0 && left < known && right < known, "[tokenizer] merge ", rules.size(), " joins ",
                left, " and ", right, ", expected ids of earlier pieces, 0 to ", known - 1);
    const std::string &head = pieces[static_cast<std::size_t>(left)], &tail = pieces[static_cast<std::size_t>(right)];
    FOVEA_CHECK(!head.ends_with(end_of_word), "[tokenizer] merge ", rules.size(), " begins with ", left,
                ", which ends a word");
    rules.push_back({left, right, known});
    pieces.push_back(head + tail);
  }
  const auto start = static_cast<std::int64_t>(pieces.size());
  pieces.emplace_back(kind.start);
  pieces.emplace_back(kind.end);
  Vocabulary vocabulary;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    vocabulary.add(pieces[id], static_cast<std::int64_t>(id), pieces.size(), place);
  }
  BpeOptions options;
  options.unk_token = kind.end;
  options.continuing_subword_prefix = "";
  options.end_of_word_suffix = end_of_word;
  Pipeline::Parts parts(BpeModel(std::move(vocabulary), std::move(rules), std::move(options)));
  parts.normalizer = caption_cleaning(kind.cleaning);
  parts.pre_tokenizer = words_then_bytes(kind.pattern);
  parts.post_processor = {RobertaProcessing{
      {kind.end, static_cast<std::int32_t>(start + 1)}, {kind.start, static_cast<std::int32_t>(start)}, false, false}};
  parts.decoder = words_to_text();
  for (const char* content : {kind.start, kind.end}) {
    AddedToken token = special(content, start + (content == kind.end), true);
    token.starts_word = kind.specials_start_words;
    parts.added_tokens.push_back(std::move(token));
  }
  return Pipeline(std::move(parts), place);
}

Pipeline gpt2_pipeline(std::string_view merges, std::optional<Vocabulary> vocabulary, const std::string& source) {
  constexpr std::string_view end_of_text = "<|endoftext|>";
  const std::string prefix = concat("[tokenizer] ", source);
  const std::vector<MergeLine> lines = read_merge_lines(merges, source);
  if (!vocabulary) {
    vocabulary.emplace();
    const std::size_t count = lines.size() + 257;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      vocabulary->add(spelled_byte(byte), byte_symbols.id[byte], count, prefix + ": ");
    }
    for (const MergeLine& line : lines) {
      vocabulary->add(concat(line.left, line.right), vocabulary->size(), count, concat(prefix, ":", line.number, ": "));
    }
    vocabulary->add(end_of_text, vocabulary->size(), count, prefix + ": ");
  }
  std::vector<MergeRule> rules;
  for (const MergeLine& line : lines) {
    const auto id_of = [&](std::string_view piece) {
      const std::int32_t id = vocabulary->id_of(piece);
      FOVEA_CHECK(id != Vocabulary::none, prefix, ":", line.number, ": the merge \"", line.left, " ", line.right,
                  "\" needs \"", piece, "\", which the vocabulary lacks");
      return id;
    };
    rules.push_back({id_of(line.left), id_of(line.right), id_of(concat(line.left, line.right))});
  }
  const std::int32_t end = vocabulary->id_of(end_of_text);
  Pipeline::Parts parts(BpeModel(std::move(*vocabulary), std::move(rules), {}));
  parts.pre_tokenizer = {ByteLevel{false, true, true}};
  parts.post_processor = {ByteLevel{true, false, true}};
  parts.decoder = {ByteLevel{true, true, true}};
  if (end != Vocabulary::none) parts.added_tokens.push_back(special(std::string(end_of_text), end, false));
  return Pipeline(std::move(parts), prefix + ": ");
}

Pipeline bert_pipeline(std::string_view words, bool lower_case, const std::string& source) {
  Vocabulary vocabulary;
  const std::size_t lines = static_cast<std::size_t>(std::count(words.begin(), words.end(), '\n')) + 1;
  for (std::int64_t number = 1; !words.empty(); ++number) {
    const std::string_view word = take_line(words);
    const std::string place = concat("[tokenizer] ", source, ":", number, ": ");
    FOVEA_CHECK(is_well_formed(word), place, "the entry is not valid UTF-8");
    vocabulary.add(word, number - 1, lines, place);
  }
  const std::string prefix = concat("[tokenizer] ", source, ": ");
  Pipeline::Parts parts(WordPieceModel(std::move(vocabulary), {}));
  const Vocabulary& known = std::get<WordPieceModel>(parts.model).vocabulary();
  const auto named = [&](const char* token) {
    const std::int32_t id = known.id_of(token);
    FOVEA_CHECK(id != Vocabulary::none, prefix, "found no ", token, ", expected BERT's vocab.txt");
    return NamedId{token, id};
  };
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    parts.added_tokens.push_back(special(token, named(token).id, false));
  }
  BertNormalizer normalizer;
  normalizer.lowercase = lower_case;
  parts.normalizer = {normalizer};
  parts.pre_tokenizer = {BertPreTokenizer()};
  parts.post_processor = {BertProcessing{named("[SEP]"), named("[CLS]")}};
  parts.decoder = {WordPieceDecoder()};
  return Pipeline(std::move(parts), prefix);
}

}  // namespace fovea::text::detail
