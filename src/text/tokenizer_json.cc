#include "text/tokenizer_json.h"

#include <algorithm>
#include <utility>

#include "io/json.h"
#include "text/component_json.h"

namespace fovea::text::detail {
namespace {

Vocabulary read_vocabulary(const Node& node) {
  if (!node.value.is_object()) node.refuse("an object of pieces and ids");
  Vocabulary vocabulary;
  for (const auto& [piece, id] : node.value.items()) {
    if (!id.is_number_integer()) node.member(piece).refuse("a whole number");
    // Beyond 2^63 the number is unsigned and would come out negative; both are out of range.
    vocabulary.add(piece, id.get<std::int64_t>(), node.value.size(), node.prefix);
  }
  return vocabulary;
}

// "a b", or in newer files ["a", "b"].
std::pair<std::string, std::string> read_pair(const Node& node) {
  const Read& merge = node.value;
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  node.refuse(R"("a b" or ["a", "b"])");
}

std::vector<MergeRule> read_rules(const Node& node, const Vocabulary& vocabulary, const BpeOptions& options) {
  if (!node.value.is_array()) node.refuse("an array");
  const std::size_t prefix = options.continuing_subword_prefix.value_or("").size();
  std::vector<MergeRule> rules;
  rules.reserve(node.value.size());
  for (std::size_t i = 0; i < node.value.size(); ++i) {
    const Node merge = node[i];
    const auto [left, right] = read_pair(merge);
    const auto id_of = [&](const std::string& piece) {
      const std::int32_t id = vocabulary.id_of(piece);
      FOVEA_CHECK(id != Vocabulary::none, node.prefix, merge.path, " is ", abbreviated(merge.value), ", which needs \"",
                  piece, "\": the vocabulary lacks it");
      return id;
    };
    FOVEA_CHECK(right.size() >= prefix, node.prefix, merge.path, " is ", abbreviated(merge.value),
                ", whose right side lacks the continuing_subword_prefix");
    rules.push_back({id_of(left), id_of(right), id_of(left + right.substr(prefix))});
  }
  return rules;
}

BpeModel read_bpe(const Node& node) {
  BpeOptions options;
  read_fields(node, options);
  if (node.has("dropout") && node.member("dropout").value != 0) {
    node.member("dropout").refuse("null: texts are encoded the same way every time");
  }
  Vocabulary vocabulary = read_vocabulary(node.member("vocab"));
  std::vector<MergeRule> rules = read_rules(node.member("merges"), vocabulary, options);
  return {std::move(vocabulary), std::move(rules), std::move(options)};
}

WordPieceModel read_word_piece(const Node& node) {
  WordPieceOptions options;
  read_fields(node, options);
  return {read_vocabulary(node.member("vocab")), std::move(options)};
}

// [["<unk>", 0.0], ["▁the", -3.2], ...], by id.
UnigramModel read_unigram(const Node& node) {
  UnigramOptions options;
  read_fields(node, options);
  const Node entries = node.member("vocab");
  if (!entries.value.is_array()) entries.refuse("an array of pieces and scores");
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (std::size_t id = 0; id < entries.value.size(); ++id) {
    const Read& entry = entries.value[id];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      entries[id].refuse("a piece and its score");
    vocabulary.add(entry[0].get_ref<const std::string&>(), static_cast<std::int64_t>(id), entries.value.size(),
                   node.prefix);
    scores.push_back(entry[1].get<double>());
  }
  if (options.unk_id && *options.unk_id >= std::ssize(scores))
    node.member("unk_id").refuse(concat("an id of the ", scores.size(), " entries"));
  return {std::move(vocabulary), std::move(scores), std::move(options)};
}

Pipeline::Model read_model(const Node& node) {
  if (!node.value.is_object()) node.refuse("an object");
  std::string type = node.value.contains("merges") ? "BPE" : "WordPiece";  // early files name none
  if (node.has("vocab") && node.member("vocab").value.is_array()) type = "Unigram";
  if (node.has("type")) read(node.member("type"), type);
  if (type == "BPE") return read_bpe(node);
  if (type == "WordPiece") return read_word_piece(node);
  if (type == "Unigram") return read_unigram(node);
  node.member("type").refuse("BPE, WordPiece or Unigram");
}

// The post-processors that name a token with its id must mean the same one.
struct CheckTokens {
  const Pipeline& pipeline;
  const std::string& prefix;

  void check(const NamedId& named) const {
    FOVEA_CHECK(pipeline.id_of(named.token) == named.id, prefix, "post_processor has \"", named.token,
                "\" with the id ", named.id, ", which is not its id in the vocabulary");
  }
  void operator()(const BertProcessing& bert) const { check(bert.sep), check(bert.cls); }
  void operator()(const RobertaProcessing& roberta) const { check(roberta.sep), check(roberta.cls); }
  void operator()(const PostProcessorSequence& sequence) const {
    for (const PostProcessor& processor : sequence.processors) std::visit(*this, processor.part);
  }
  void operator()(const auto&) const {}
};

struct CheckTemplates {
  const std::string& prefix;

  void operator()(const TemplateProcessing& processing) const {
    for (const auto* pieces : {&processing.single, &processing.pair}) {
      for (const TemplatePiece& piece : *pieces) {
        FOVEA_CHECK(piece.is_text || processing.special_tokens.contains(piece.id), prefix, "post_processor uses \"",
                    piece.id, "\", which is not among its special_tokens");
        FOVEA_CHECK(!piece.is_text || piece.id == "A" || pieces == &processing.pair, prefix,
                    "post_processor uses a second text in its template for one");
      }
    }
  }
  void operator()(const PostProcessorSequence& sequence) const {
    for (const PostProcessor& processor : sequence.processors) std::visit(*this, processor.part);
  }
  void operator()(const auto&) const {}
};

void check_cleaning(const Normalizer& normalizer, const std::string& prefix) {
  const auto* sequence = std::get_if<NormalizerSequence>(&normalizer.part);
  if (!sequence) return;
  const std::string cleaning = sequence->cleaning.value_or("");
  const bool known =
      sequence->sentence_piece.bytes.empty() ? cleaning == "clip" || cleaning == "open_clip" : cleaning == "canonical";
  FOVEA_CHECK(cleaning.empty() || known, prefix, "normalizer names the cleaning \"", cleaning,
              "\", expected clip or open_clip, or for SentencePiece canonical");
  for (const Normalizer& inner : sequence->normalizers) check_cleaning(inner, prefix);
}

template <class T>
void read_optional(const Node& root, const char* key, std::optional<T>& value) {
  if (root.has(key)) read(root.member(key), value.emplace());
}

void check_truncation(const Node& node, const Truncation& truncation) {
  if (truncation.strategy != "LongestFirst" && truncation.strategy != "OnlyFirst") {
    node.member("strategy").refuse("LongestFirst or OnlyFirst: texts are not encoded in pairs");
  }
}

Json write_model(const BpeModel& model) {
  Json json = write_fields(model.options(), {{"type", "BPE"}, {"dropout", nullptr}});
  const Vocabulary& vocabulary = model.vocabulary();
  // Pieces with a space cannot be written in the older form, which more readers know.
  bool has_space = false;
  vocabulary.for_each(
      [&](const std::string& piece, std::int32_t) { has_space |= piece.find(' ') != std::string::npos; });
  Json merges = Json::array();
  for (const MergeRule& rule : model.rules()) {
    const std::string &left = vocabulary.piece(rule.left), &right = vocabulary.piece(rule.right);
    merges.push_back(has_space ? Json::array({left, right}) : Json(concat(left, " ", right)));
  }
  json["merges"] = std::move(merges);
  return json;
}

Json write_model(const WordPieceModel& model) { return write_fields(model.options(), {{"type", "WordPiece"}}); }

Json write_model(const UnigramModel& model) { return write_fields(model.options(), {{"type", "Unigram"}}); }

Json write_vocabulary(const Pipeline::Model& model, const Vocabulary& vocabulary) {
  if (const auto* unigram = std::get_if<UnigramModel>(&model)) {
    Json pieces = Json::array();
    vocabulary.for_each([&](const std::string& piece, std::int32_t id) {
      pieces.push_back(Json::array({piece, unigram->scores()[static_cast<std::size_t>(id)]}));
    });
    return pieces;
  }
  Json json = Json::object();
  auto& entries = json.get_ref<Json::object_t&>();  // its operator[] would compare every key
  vocabulary.for_each([&](const std::string& piece, std::int32_t id) { entries.emplace_back(piece, Json(id)); });
  return json;
}

}  // namespace

Pipeline parse_tokenizer_json(std::string_view json, const std::string& source) {
  const auto document = io::detail::parse_json<Read>(json, "[tokenizer] " + source);
  const std::string prefix = concat("[tokenizer] ", source, ": ");
  FOVEA_CHECK(document.is_object() && document.contains("model"), prefix,
              "found no \"model\", expected Hugging Face's tokenizer.json");
  const Node root{document, "", prefix};
  Pipeline::Parts parts(read_model(root.member("model")));
  read_optional(root, "normalizer", parts.normalizer);
  read_optional(root, "pre_tokenizer", parts.pre_tokenizer);
  read_optional(root, "post_processor", parts.post_processor);
  read_optional(root, "decoder", parts.decoder);
  read_optional(root, "padding", parts.padding);
  if (parts.normalizer) check_cleaning(*parts.normalizer, prefix);
  if (parts.post_processor) std::visit(CheckTemplates{prefix}, parts.post_processor->part);
  if (root.has("truncation")) {
    read_fields(root.member("truncation"), parts.truncation.emplace());
    check_truncation(root.member("truncation"), *parts.truncation);
  }
  if (root.has("added_tokens")) {
    const Node added = root.member("added_tokens");
    if (!added.value.is_array()) added.refuse("an array");
    for (std::size_t i = 0; i < added.value.size(); ++i) read_fields(added[i], parts.added_tokens.emplace_back());
  }
  Pipeline pipeline(std::move(parts), prefix);
  if (const auto& processor = pipeline.parts().post_processor)
    std::visit(CheckTokens{pipeline, prefix}, processor->part);
  return pipeline;
}

Vocabulary parse_vocabulary_json(std::string_view json, const std::string& source) {
  const auto document = io::detail::parse_json<Read>(json, "[tokenizer] " + source);
  const std::string prefix = concat("[tokenizer] ", source, ": ");
  return read_vocabulary({document, "", prefix});
}

std::string to_tokenizer_json(const Pipeline& pipeline) {
  const Pipeline::Parts& parts = pipeline.parts();
  Json added = Json::array();
  for (const AddedToken& token : pipeline.added().tokens()) added.push_back(write_fields(token));
  Json model = std::visit([](const auto& any) { return write_model(any); }, parts.model);
  model["vocab"] = write_vocabulary(parts.model, pipeline.vocabulary());
  Json root;
  root["version"] = "1.0";
  root["truncation"] = parts.truncation ? write_fields(*parts.truncation) : Json();
  root["padding"] = write(parts.padding);
  root["added_tokens"] = std::move(added);
  root["normalizer"] = write(parts.normalizer);
  root["pre_tokenizer"] = write(parts.pre_tokenizer);
  root["post_processor"] = write(parts.post_processor);
  root["decoder"] = write(parts.decoder);
  root["model"] = std::move(model);
  return root.dump(2) + '\n';
}

}  // namespace fovea::text::detail
