#include "fovea/models/clip_folder.h"

#include <algorithm>
#include <filesystem>

#include "fovea/image/preprocessor.h"
#include "fovea/io/file.h"
#include "fovea/models/presets.h"
#include "models/clip_configs.h"
#include "models/folder_files.h"

namespace fovea::models {
namespace {

namespace fs = std::filesystem;
using Json = detail::ConfigJson;

using namespace detail;  // NOLINT: the files of a folder

// What a preset of the library's own format says, with errors that name the file.
ClipConfig parse_own_config(const Json& json, const std::string& path) {
  FOVEA_CHECK(json.contains("format") && json["format"] == own_format, "[model] ", path, " has no \"format\": \"",
              own_format, "\"");
  FOVEA_CHECK(json.contains("model"), "[model] ", path, " has no \"model\"");
  try {
    return parse_clip_config(json["model"].dump());
  } catch (const Error& error) {
    fail(error.what(), "\nin ", path);
  }
}

// What a configuration of the library's own format calls its model.
std::string own_type(const Json& json) {
  const bool said = json.contains("model") && json["model"].is_object() && json["model"].contains("type") &&
                    json["model"]["type"].is_string();
  return said ? json["model"]["type"].get<std::string>() : "clip";
}

// What OpenAI's files hold besides parameters, and older ones of open_clip.
void remove_bookkeeping(io::TensorMap& file, const ClipNaming& naming) {
  for (const char* name : {"input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask"})
    file.erase(naming.prefix + name);
}

ClipConfig read_config(const std::string& folder, const ClipNaming& naming, const io::TensorMap& file,
                       const std::string& file_path) {
  if (naming.layout == ModelLayout::open_clip) {
    const std::string path = folder + open_clip_config;
    if (!exists(path)) return detail::infer_openai_config(file, naming.prefix, file_path);
    const Json json = read_json(path);
    FOVEA_CHECK(json.contains("model_cfg"), "[model] ", path, " has no \"model_cfg\"");
    return detail::parse_open_clip_config(json["model_cfg"], path, file, naming.prefix);
  }
  const std::string path = folder + "/config.json";
  const Json json = read_json(path);
  if (naming.layout == ModelLayout::fovea) return parse_own_config(json, path);
  return detail::parse_hf_config(json, path);
}

// A model of that configuration, its values unset.
ClipModel make_model(const ClipConfig& config, DType dtype, const std::string& path) {
  try {
    nn::Init init = nn::Init::none(dtype);
    return ClipModel(config, init);
  } catch (const Error& error) {
    fail(error.what(), "\nin ", path);
  }
}

// How tokenizer.json writes the token of an id; null where it is none.
Json token_of(const Json& json, std::int64_t id) {
  for (const Json& token : json.value("added_tokens", Json::array())) {
    if (token["id"] == id) return token["content"];
  }
  const Json& vocabulary = json["model"]["vocab"];
  if (vocabulary.is_array())  // pieces with their scores
    return id < std::ssize(vocabulary) ? vocabulary[static_cast<std::size_t>(id)][0] : Json();
  for (const auto& [token, number] : vocabulary.items()) {
    if (number == id) return token;
  }
  return {};
}

// What transformers and open_clip need to know about tokenizer.json. Models that fill captions up have any tokenizer,
// the others CLIP's.
void write_tokenizer(const std::string& folder, const text::Tokenizer& tokenizer, const TextTower::Config& tower) {
  const std::int64_t context = TextTower::context(tower);
  tokenizer.save(folder + "/tokenizer.json");
  const Json json = Json::parse(io::read_file(folder + "/tokenizer.json"));
  const auto* text = std::get_if<TextTransformerConfig>(&tower);
  if (text != nullptr && text->pad_token) {
    Json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                {"model_max_length", context},
                {"pad_token", token_of(json, *text->pad_token)}};
    if (tokenizer.end_id() >= 0) config["eos_token"] = token_of(json, tokenizer.end_id());
    return write_json(folder + "/tokenizer_config.json", config);
  }
  write_json(folder + "/vocab.json", json["model"]["vocab"]);
  io::write_file(folder + "/merges.txt", tokenizer.merges_text());
  Json config{{"tokenizer_class", "CLIPTokenizer"}, {"model_max_length", context}};
  for (const Json& token : json["added_tokens"]) {
    if (token["id"] == tokenizer.start_id()) config["bos_token"] = token["content"];
    if (token["id"] != tokenizer.end_id()) continue;
    for (const char* role : {"eos_token", "pad_token", "unk_token"}) config[role] = token["content"];
  }
  write_json(folder + "/tokenizer_config.json", config);
}

}  // namespace

image::TransformConfig usual_transform(const ClipConfig& config) {
  image::TransformConfig transform;
  transform.size = static_cast<int>(ImageTower::image_size(config.image));
  const auto* vit = std::get_if<VisionTransformerConfig>(&config.image);
  if (vit != nullptr && vit->map_head) {
    transform.resize_mode = image::ResizeMode::squash;
    transform.normalization.mean = transform.normalization.std = {0.5, 0.5, 0.5};
  }
  return transform;
}

FolderKind folder_kind(const std::string& folder, std::optional<ModelLayout> given) {
  std::error_code unknown;
  FOVEA_CHECK(fs::is_directory(folder, unknown), "[model] ", folder,
              " is not a folder\nhint: a trained model is the folder `model` inside a run's output");
  const std::string config = folder + "/config.json";
  if (given == ModelLayout::open_clip || (!given && !exists(config) && exists(folder + open_clip_config)))
    return {ModelLayout::open_clip, "clip"};
  const Json json = read_json(config);
  if (given ? given == ModelLayout::fovea : json.contains("format")) return {ModelLayout::fovea, own_type(json)};
  const std::string inner = folder + "/model";  // what a run's folder holds
  FOVEA_CHECK(json.contains("model_type") && json["model_type"].is_string(), "[model] ", config,
              " has no \"format\": \"", own_format, "\" as the library's own, and no \"model_type\" as Hugging Face's",
              exists(inner + "/config.json") ? concat("\nhint: the run's model is ", inner) : std::string());
  return {ModelLayout::hf, json["model_type"].get<std::string>()};
}

LoadedClip load_clip_model(const std::string& folder, std::optional<ModelLayout> layout, DType dtype) {
  const auto [found, type] = folder_kind(folder, layout);
  FOVEA_CHECK(found == ModelLayout::hf ? detail::is_hf_clip(type) : type == "clip", "[model] ", folder,
              "/config.json describes a \"", type, "\", expected a model of two towers: a \"clip\"");
  const std::string path = parameter_file(folder, found);
  io::TensorMap file;
  if (found == ModelLayout::open_clip) file = read_parameters(path);
  const ClipNaming naming = clip_naming(found, file);
  const std::string config_path = folder + (found == ModelLayout::open_clip ? open_clip_config : "/config.json");
  LoadedClip loaded{make_model(read_config(folder, naming, file, path), dtype, config_path), naming};
  if (found != ModelLayout::open_clip) file = read_parameters(path);
  remove_bookkeeping(file, naming);
  nn::load_parameters(path, file, clip_file_tensors(loaded.model, naming));
  return loaded;
}

// The token that a published tokenizer pads with, which the model's own file does not tell reliably.
static void read_pad_token(const std::string& folder, const text::Tokenizer& tokenizer, ClipConfig& config) {
  auto* text = std::get_if<TextTransformerConfig>(&config.text);
  const std::string path = folder + "/tokenizer_config.json";
  if (text == nullptr || !text->pad_token || !exists(path)) return;
  const Json json = read_json(path);
  if (!json.contains("pad_token")) return;
  const Json& token = json["pad_token"].is_object() ? json["pad_token"].value("content", Json()) : json["pad_token"];
  const std::int32_t id = token.is_string() ? tokenizer.id_of(token.get<std::string>()) : -1;
  FOVEA_CHECK(id >= 0, "[model] ", path, " pads with ", token.dump(), ", which the tokenizer does not have");
  text->pad_token = id;
}

std::optional<text::Tokenizer> load_clip_tokenizer(const std::string& folder, LoadedClip& clip) {
  const ClipConfig& config = clip.model.config;
  const std::int64_t vocabulary = TextTower::vocabulary(config.text);
  const std::string path = first_of(folder, {"tokenizer.json", "bpe_simple_vocab_16e6.txt", "merges.txt"});
  if (path.empty()) return {};
  std::optional<text::Tokenizer> tokenizer =
      path.ends_with(".json") ? text::Tokenizer::load(path) : text::Tokenizer::load_merges(path, vocabulary);
  FOVEA_CHECK(tokenizer->vocabulary_size() <= vocabulary, "[model] ", path, " has ", tokenizer->vocabulary_size(),
              " entries, the model knows ", vocabulary);
  if (clip.naming.layout != ModelLayout::fovea) read_pad_token(folder, *tokenizer, clip.model.config);
  const auto* text = std::get_if<TextTransformerConfig>(&config.text);
  if (text != nullptr && text->pool == TextPool::end_token) {
    FOVEA_CHECK(tokenizer->end_id() == text->end_token, "[model] ", path, " ends captions with id ",
                tokenizer->end_id(), ", the model looks for ", text->end_token);
  }
  return tokenizer;
}

std::optional<image::TransformConfig> load_clip_transform(const std::string& folder, const LoadedClip& clip) {
  const std::string path = transform_file(folder, clip.naming.layout);
  if (path.empty()) return {};
  const image::TransformConfig transform = image::parse_preprocessor_json(io::read_file(path), path);
  const std::int64_t expected = ImageTower::image_size(clip.model.config.image);
  FOVEA_CHECK(transform.size == expected, "[model] ", path, " gives ", transform.size, " pixels, the model expects ",
              expected);
  return transform;
}

ClipFolder load_clip(const std::string& folder) {
  LoadedClip loaded = load_clip_model(folder);
  auto tokenizer = load_clip_tokenizer(folder, loaded);
  FOVEA_CHECK(tokenizer, "[model] ", folder,
              "/tokenizer.json: No such file\n"
              "hint: for CLIP's published vocabulary, copy data/tokenizers/clip/bpe_simple_vocab_16e6.txt there");
  auto transform = load_clip_transform(folder, loaded);
  const bool own = loaded.naming.layout == ModelLayout::fovea;
  FOVEA_CHECK(transform, "[model] ", folder, own ? "/preprocessor.json" : "/preprocessor_config.json",
              ": No such file");
  const auto* text = std::get_if<TextTransformerConfig>(&loaded.model.config.text);
  FOVEA_CHECK(loaded.naming.layout != ModelLayout::open_clip || text == nullptr || text->pad_token ||
                  (text->pool == TextPool::eot && text->transformer.attention == ops::AttentionKind::causal),
              "[model] ", folder,
              " was trained on padded captions (no_causal_mask, or a pool_type other than argmax); "
              "captions are not padded here");
  return {std::move(loaded.model), *std::move(tokenizer), *transform};
}

void save_clip(const std::string& folder, const ClipModel& model, const text::Tokenizer& tokenizer,
               const image::TransformConfig& transform) {
  export_clip(folder, ModelLayout::fovea, model, &tokenizer, &transform);
}

void export_clip(const std::string& folder, ModelLayout layout, const ClipModel& model,
                 const text::Tokenizer* tokenizer, const image::TransformConfig* transform, io::FloatFormat floats) {
  Json config;
  if (layout == ModelLayout::fovea) config = {{"format", own_format}, {"model", Json::parse(to_json(model.config))}};
  if (layout == ModelLayout::hf) config = detail::to_hf_config(model.config);
  if (layout == ModelLayout::open_clip) {
    config = {{"model_cfg", detail::to_open_clip_config(model.config)}};
    config["preprocess_cfg"] =
        transform != nullptr ? Json::parse(image::to_preprocess_cfg(*transform)) : Json::object();
  }
  make_folder(folder);
  const bool open_clip = layout == ModelLayout::open_clip;
  nn::save_parameters(folder + (open_clip ? "/open_clip_model.safetensors" : "/model.safetensors"),
                      clip_file_tensors(model, {layout, "", open_clip && model.text_model.projects()}), floats);
  if (tokenizer != nullptr) {
    if (layout == ModelLayout::fovea) {
      tokenizer->save(folder + "/tokenizer.json");
    } else {
      write_tokenizer(folder, *tokenizer, model.config.text);
    }
  }
  if (transform != nullptr && !open_clip) write_transform(folder, layout, *transform);
  write_json(folder + (open_clip ? open_clip_config : "/config.json"), config);
}

}  // namespace fovea::models
