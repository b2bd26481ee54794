// Reading and writing of Hugging Face's tokenizer.json.
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/text/tokenizer.h"
#include "text/bpe_symbols.h"

namespace fovea::text {
namespace {

using nlohmann::json;

constexpr std::string_view word_pattern = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

}  // namespace

class Tokenizer::JsonReader {
 public:
  explicit JsonReader(const std::string& path) : path_(path) {
    const std::string contents = io::read_file(path);
    try {
      root_ = json::parse(contents);
    } catch (const json::parse_error& error) {
      fail_here("no JSON at byte ", error.byte, ": ", error.what());
    }
    check(root_.is_object() && root_.contains("model"), "found no \"model\", expected Hugging Face's tokenizer.json");
  }

  Tokenizer read() {
    const json& model = member(root_, "model");
    check_model(model);
    check_normalizer();
    check_pre_tokenizer();
    read_pieces(member(model, "vocab"));
    std::vector<Rule> rules = read_rules(member(model, "merges"));
    const json& post_processor = member(root_, "post_processor");
    check(type_of(post_processor) == "RobertaProcessing", "post_processor is ", type_of(post_processor),
          ", expected RobertaProcessing");
    const std::int32_t start = read_special(post_processor, "cls"), end = read_special(post_processor, "sep");
    return Tokenizer(std::move(pieces_), std::move(rules), start, end);
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail("[tokenizer] ", path_, ": ", parts...);
  }
  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    if (!condition) fail_here(parts...);
  }

  const json& member(const json& object, const char* key) const {
    check(object.is_object() && object.contains(key), "\"", key, "\" is missing");
    return object[key];
  }
  static json optional_member(const json& object, const char* key) {
    return object.is_object() ? object.value(key, json()) : json();
  }
  std::string string_member(const json& object, const char* key) const {
    const json& value = member(object, key);
    check(value.is_string(), "\"", key, "\" is ", value.type_name(), ", expected a string");
    return value.get<std::string>();
  }
  std::int64_t integer(const json& value, const std::string& of) const {
    check(value.is_number_integer(), "the id of ", of, " is ", value.dump(), ", expected a whole number");
    return value.get<std::int64_t>();
  }
  std::string type_of(const json& component) const {
    return component.is_null() ? "missing" : string_member(component, "type");
  }

  // A component, or the members of a Sequence of them, which are under `list`.
  std::vector<json> components(const char* key, const char* list) const {
    const json& component = member(root_, key);
    if (type_of(component) != "Sequence") return {component};
    const json& parts = member(component, list);
    check(parts.is_array(), "\"", list, "\" is ", parts.type_name(), ", expected an array");
    return parts.get<std::vector<json>>();
  }

  void check_model(const json& model) const {
    // Early versions of the format name no type.
    const json type = optional_member(model, "type");
    check(type.is_null() || type == "BPE", "the model is ", type.dump(), ", expected \"BPE\"");
    const json suffix = optional_member(model, "end_of_word_suffix");
    check(suffix == detail::end_of_word, "end_of_word_suffix is ", suffix.dump(), ", expected \"", detail::end_of_word,
          "\"", "\nhint: only tokenizers of CLIP's kind are read");
    for (const char* key : {"dropout", "continuing_subword_prefix", "byte_fallback", "ignore_merges"}) {
      const json value = optional_member(model, key);
      check(value.is_null() || value == false || value == "", "the model's ", key, " is ", value.dump(),
            ", expected none");
    }
  }

  void check_normalizer() const {
    bool lower_cases = false;
    for (const json& part : components("normalizer", "normalizers")) {
      const std::string type = type_of(part);
      const bool collapses = type == "Replace" && optional_member(part, "pattern") == json{{"Regex", "\\s+"}};
      check(type == "NFC" || type == "Lowercase" || collapses, "found the normalizer ", part.dump(),
            ", expected NFC, white space's Replace, Lowercase");
      lower_cases |= type == "Lowercase";
    }
    check(lower_cases, "the normalizer has no Lowercase, which CLIP's has");
  }

  void check_pre_tokenizer() const {
    bool splits = false, byte_level = false;
    for (const json& part : components("pre_tokenizer", "pretokenizers")) {
      const json pattern = optional_member(optional_member(part, "pattern"), "Regex");
      splits |= type_of(part) == "Split" && pattern.is_string() && pattern.get<std::string>().ends_with(word_pattern);
      byte_level |= type_of(part) == "ByteLevel" && optional_member(part, "add_prefix_space") == false;
    }
    check(splits, "the pre_tokenizer has no Split by ", word_pattern);
    check(byte_level, "the pre_tokenizer has no ByteLevel without add_prefix_space");
  }

  void read_pieces(const json& vocabulary) {
    check(vocabulary.is_object(), "\"vocab\" is ", vocabulary.type_name(), ", expected an object");
    for (const auto& [spelled, id] : vocabulary.items()) add_id(spelled, id);
    const json& added = member(root_, "added_tokens");
    check(added.is_array(), "\"added_tokens\" is ", added.type_name(), ", expected an array");
    std::set<std::string> special;
    for (const json& token : added) {
      const std::string content = string_member(token, "content");
      check(!content.empty() && optional_member(token, "special") == true, "the added token \"", content,
            "\" is not special");
      add_id(content, member(token, "id"));
      special.insert(content);
    }
    place_pieces(special);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::string symbol = detail::spell(std::string(1, static_cast<char>(byte)));
      for (const std::string& spelled : {symbol, symbol + std::string(detail::end_of_word)}) {
        check(ids_.contains(spelled), "the vocabulary lacks the byte ", byte, ", spelled \"", spelled, "\"");
      }
    }
  }

  void add_id(const std::string& spelled, const json& value) {
    const auto [known, is_new] = ids_.emplace(spelled, integer(value, spelled));
    check(is_new || known->second == value, "\"", spelled, "\" has the ids ", known->second, " and ", value.dump());
  }

  // Distinct ids below the number of entries leave no gap.
  void place_pieces(const std::set<std::string>& special) {
    const auto size = static_cast<std::int64_t>(ids_.size());
    std::vector<bool> taken(ids_.size());
    pieces_.resize(ids_.size());
    for (const auto& [spelled, id] : ids_) {
      check(id >= 0 && id < size, "the id of \"", spelled, "\" is ", id, ", expected 0 to ", size - 1);
      check(!taken[static_cast<std::size_t>(id)], "two entries have the id ", id, ", one is \"", spelled, "\"");
      taken[static_cast<std::size_t>(id)] = true;
      pieces_[static_cast<std::size_t>(id)] =
          special.contains(spelled) ? Piece{spelled, Kind::special} : piece_of(spelled);
    }
  }

  Piece piece_of(std::string_view spelled) const {
    const std::size_t suffix = detail::end_of_word.size();
    const bool ends_word = spelled.size() > suffix && spelled.ends_with(detail::end_of_word);
    const auto bytes = detail::unspell(ends_word ? spelled.substr(0, spelled.size() - suffix) : spelled);
    check(bytes.has_value(), "the entry \"", spelled, "\" is not spelled in byte symbols");
    return {*bytes, ends_word ? Kind::end_of_word : Kind::inside_word};
  }

  std::int32_t id_of(const std::string& spelled, const json& merge) const {
    const auto found = ids_.find(spelled);
    check(found != ids_.end(), "the merge ", merge.dump(), " needs \"", spelled, "\", which the vocabulary lacks");
    return static_cast<std::int32_t>(found->second);
  }

  std::vector<Rule> read_rules(const json& merges) const {
    check(merges.is_array(), "\"merges\" is ", merges.type_name(), ", expected an array");
    std::vector<Rule> rules;
    for (const json& merge : merges) {
      const auto [left, right] = read_pair(merge);
      const Rule rule{id_of(left, merge), id_of(right, merge), id_of(left + right, merge)};
      check(pieces_[static_cast<std::size_t>(rule.left)].kind != Kind::end_of_word, "the left piece of the merge ",
            merge.dump(), " ends a word");
      rules.push_back(rule);
    }
    return rules;
  }

  // "a b", or in newer files ["a", "b"].
  std::pair<std::string, std::string> read_pair(const json& merge) const {
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const std::size_t space = text.find(' ');
      if (space != std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    }
    fail_here("found the merge ", merge.dump(), ", expected \"a b\" or [\"a\", \"b\"]");
  }

  // The id of the special token in ["content", id].
  std::int32_t read_special(const json& post_processor, const char* key) const {
    const json& token = member(post_processor, key);
    check(token.is_array() && token.size() == 2 && token[0].is_string(), "the post_processor's ", key, " is ",
          token.dump(), ", expected a token and its id");
    const auto found = ids_.find(token[0].get<std::string>());
    check(found != ids_.end() && found->second == token[1] &&
              pieces_[static_cast<std::size_t>(found->second)].kind == Kind::special,
          "the post_processor's ", key, " ", token.dump(), " is not among the added tokens");
    return static_cast<std::int32_t>(found->second);
  }

  std::string path_;
  json root_;
  std::unordered_map<std::string, std::int64_t> ids_;  // of all entries, by their spelling
  std::vector<Piece> pieces_;
};

Tokenizer Tokenizer::load(const std::string& path) { return JsonReader(path).read(); }

void Tokenizer::save(const std::string& path) const {
  json vocabulary = json::object(), merges = json::array(), added_tokens = json::array();
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(pieces_.size()); ++id) vocabulary[spelled(id)] = id;
  for (const auto& [left, right, merged] : rules_) merges.push_back(spelled(left) + ' ' + spelled(right));
  for (const std::int32_t id : special_ids_) {
    added_tokens.push_back({{"id", id},
                            {"content", piece(id).bytes},
                            {"single_word", false},
                            {"lstrip", false},
                            {"rstrip", false},
                            {"normalized", true},
                            {"special", true}});
  }
  const json byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const json normalizer{{"type", "Sequence"},
                        {"normalizers",
                         {{{"type", "NFC"}},
                          {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}},
                          {{"type", "Lowercase"}}}}};
  const json split{
      {"type", "Split"}, {"pattern", {{"Regex", word_pattern}}}, {"behavior", "Removed"}, {"invert", true}};
  const json spaces{{"type", "Replace"}, {"pattern", {{"String", detail::end_of_word}}}, {"content", " "}};
  const json root{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens},
      {"normalizer", normalizer},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
      {"post_processor",
       {{"type", "RobertaProcessing"},
        {"sep", {piece(end_id_).bytes, end_id_}},
        {"cls", {piece(start_id_).bytes, start_id_}},
        {"trim_offsets", false},
        {"add_prefix_space", false}}},
      {"decoder", {{"type", "Sequence"}, {"decoders", {byte_level, spaces}}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", piece(end_id_).bytes},
        {"continuing_subword_prefix", ""},
        {"end_of_word_suffix", detail::end_of_word},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocabulary},
        {"merges", merges}}},
  };
  io::write_file(path, root.dump(2) + '\n');
}

}  // namespace fovea::text
