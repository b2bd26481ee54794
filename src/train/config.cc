#include "fovea/train/config.h"

#include <type_traits>
#include <utility>

#include "fovea/image/transform.h"
#include "fovea/io/file.h"
#include "fovea/models/presets.h"
#include "io/json_fields.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;
using io::detail::join;
using io::detail::to_text;
using Place = io::detail::JsonPlace;

// What a value must be, in a form that completes "expected ...".
struct Rule {
  bool (*holds)(double);
  const char* text;
};
constexpr Rule any{[](double) { return true; }, ""};
constexpr Rule positive{[](double v) { return v > 0 && v <= 1e300; }, "a number above 0"};
constexpr Rule not_negative{[](double v) { return v >= 0 && v <= 1e300; }, "a number from 0"};
constexpr Rule minutes{[](double v) { return v >= 0 && v <= 1e7; }, "a number from 0 to 10000000"};
constexpr Rule fraction{[](double v) { return v >= 0 && v <= 1; }, "a number from 0 to 1"};
constexpr Rule share{[](double v) { return v > 0 && v <= 1; }, "a number above 0, at most 1"};
constexpr Rule below_one{[](double v) { return v >= 0 && v < 1; }, "a number from 0 to below 1"};
constexpr Rule count{[](double v) { return v >= 1 && v <= 1e9; }, "a whole number from 1 to 1000000000"};
constexpr Rule threads{[](double v) { return v >= 0 && v <= 4096; }, "a whole number from 0 to 4096"};
constexpr Rule count_or_zero{[](double v) { return v >= 0 && v <= 1e9; }, "a whole number from 0 to 1000000000"};
constexpr Rule bytes{[](double v) { return v >= 0 && v <= 1e15; }, "a whole number from 0 to 1000000000000000"};
constexpr Rule any_whole{[](double v) { return v >= 0; }, "a whole number from 0"};

// A field whose JSON another reader will interpret.
struct RawJson {
  std::string& text;
};
// Text that must be one of a few names.
struct Choice {
  std::string& text;
  std::vector<std::string> names;
};

// The keys, listed once for reading and writing.

void fields(DataConfig& c, auto&& f) {
  f("path", c.path, any);
  f("dataset_type", Choice{c.dataset_type, {"auto", "webdataset", "csv", "coco", "folder"}}, any);
  f("num_samples", c.num_samples, bytes);
  f("resampled", c.resampled, any);
  f("upsampling_factors", c.upsampling_factors, any);
  f("shuffle_buffer", c.shuffle_buffer, count);
  f("separator", c.separator, any);
  f("train_split", c.train_split, any);
  f("image_column", c.image_column, any);
  f("image_root", c.image_root, any);
  f("split_column", c.split_column, any);
  f("caption_columns", c.caption_columns, any);
  f("list_columns", c.list_columns, any);
  f("every_caption", c.every_caption, any);
  f("language_column", c.language_column, any);
  f("join", c.join, any);
  f("join_column", c.join_column, any);
  f("word_dropout", c.word_dropout, fraction);
  f("batch_size", c.batch_size, count);
  f("distinct_captions", c.distinct_captions, any);
  f("max_pixels", c.max_pixels, count);
  f("workers", c.workers, count_or_zero);
  f("cache_bytes", c.cache_bytes, bytes);
  f("tokenizer", c.tokenizer, any);
  f("feature_cache", c.feature_cache, any);
  f("feature_views", c.feature_views, count_or_zero);
  f("transform", RawJson{c.transform}, any);
}
void fields(ObjectiveConfig& c, auto&& f) {
  f("name", Choice{c.name, {"info_nce", "sigmoid", "bag_of_words"}}, any);
  f("label_smoothing", c.label_smoothing, below_one);
  f("sum_directions", c.sum_directions, any);
  f("init_logit_scale", c.init_logit_scale, any);
  f("init_logit_bias", c.init_logit_bias, any);
  f("init_temperature", c.init_temperature, positive);
  f("clamp_logit_scale", c.clamp_logit_scale, any);
  f("exchange", Choice{c.exchange, {"ring", "gather"}}, any);
}
void fields(OptimConfig& c, auto&& f) {
  f("name", Choice{c.name, {"adamw", "lamb", "adafactor", "sgd"}}, any);
  f("lr", c.lr, positive);
  f("betas", c.betas, below_one);
  f("eps", c.eps, positive);
  f("momentum", c.momentum, below_one);
  f("nesterov", c.nesterov, any);
  f("weight_decay", c.weight_decay, not_negative);
  f("decay", c.decay, any);
  f("decay_rule", Choice{c.decay_rule, {"adamw", "big_vision"}}, any);
  f("no_decay", c.no_decay, any);
  f("image_layer_decay", c.image_layer_decay, share);
  f("text_layer_decay", c.text_layer_decay, share);
  f("ema_decay", c.ema_decay, below_one);
  f("ema_warmup", c.ema_warmup, any);
}
void fields(ScheduleConfig& c, auto&& f) {
  f("kind", Choice{c.kind, {"cosine", "const", "const-cooldown", "linear"}}, any);
  f("warmup_fraction", c.warmup_fraction, fraction);
  f("warmup_steps", c.warmup_steps, count_or_zero);
  f("cooldown_epochs", c.cooldown_epochs, not_negative);
  f("cooldown_end", c.cooldown_end, not_negative);
  f("cooldown_power", c.cooldown_power, positive);
}
void fields(TrainConfig& c, auto&& f) {
  f("epochs", c.epochs, count);
  f("minutes", c.minutes, minutes);
  f("accum_freq", c.accum_freq, count);
  f("checkpointing", c.checkpointing, any);
  f("max_memory", c.max_memory, any);
  f("grad_clip_norm", c.grad_clip_norm, not_negative);
  f("image_from", c.image_from, any);
  f("lock_image", c.lock_image, any);
  f("lock_text", c.lock_text, any);
  f("freeze", c.freeze, any);
  f("freeze_statistics", c.freeze_statistics, any);
  f("virtual_batch", c.virtual_batch, count_or_zero);
  f("log_every", c.log_every, count);
  f("max_bad_steps", c.max_bad_steps, count);
  f("detect_anomaly", c.detect_anomaly, any);
  f("profile", c.profile, count_or_zero);
  f("save_minutes", c.save_minutes, not_negative);
  f("save_steps", c.save_steps, count_or_zero);
  f("save_epochs", c.save_epochs, count_or_zero);
  f("keep_checkpoints", c.keep_checkpoints, count);
  f("seed", c.seed, any_whole);
  f("threads", c.threads, threads);
  f("precision", Choice{c.precision, {"f32", "fp32", "f64", "bf16", "amp_bf16"}}, any);
}
void fields(EvalConfig& c, auto&& f) {
  f("path", c.path, any);
  f("image_root", c.image_root, any);
  f("splits", c.splits, any);
  f("every_epochs", c.every_epochs, count_or_zero);
  f("batch_size", c.batch_size, count);
}
void fields(Config& c, auto&& f) {
  f("model", RawJson{c.model}, any);
  f("data", c.data, any);
  f("objective", c.objective, any);
  f("optim", c.optim, any);
  f("schedule", c.schedule, any);
  f("train", c.train, any);
  f("eval", c.eval, any);
  f("output", c.output, any);
}

void read_number(const Json& json, double& value, const Rule& rule, const Place& place) {
  if (!json.is_number() || !rule.holds(json.get<double>())) place.fail_with(json, rule.text);
  value = json.get<double>();
}

template <class Whole>
void read_whole(const Json& json, Whole& value, const Rule& rule, const Place& place) {
  const bool fits = json.is_number_unsigned() ? std::in_range<Whole>(json.get<std::uint64_t>())
                                              : json.is_number_integer() && json.get<std::int64_t>() >= 0;
  if (!fits || !rule.holds(json.get<double>())) place.fail_with(json, rule.text);
  value = json.get<Whole>();
}

void read_text(const Json& json, std::string& value, const Place& place) {
  if (!json.is_string()) place.fail_with(json, "text");
  value = json.get<std::string>();
}

void read_texts(const Json& json, std::vector<std::string>& values, const Place& place) {
  if (!json.is_array()) place.fail_with(json, "a list such as [\"one\", \"two\"]");
  values.assign(json.size(), "");
  for (std::size_t i = 0; i < json.size(); ++i) read_text(json[i], values[i], place / std::to_string(i));
}

template <class Section>
void read_section(const Json& json, Section& section, const Place& place);

template <class Field>
void read_field(const Json& json, Field&& field, const Rule& rule, const Place& place) {
  using T = std::decay_t<Field>;
  if constexpr (std::is_same_v<T, RawJson>) {
    field.text = to_text(json);
  } else if constexpr (std::is_same_v<T, Choice>) {
    read_text(json, field.text, place);
    const bool known = std::find(field.names.begin(), field.names.end(), field.text) != field.names.end();
    if (!known) place.fail_with(json, "one of " + join(field.names));
  } else if constexpr (std::is_same_v<T, std::string>) {
    read_text(json, field, place);
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    read_texts(json, field, place);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) place.fail_with(json, "true or false");
    field = json.template get<bool>();
  } else if constexpr (std::is_same_v<T, double>) {
    read_number(json, field, rule, place);
  } else if constexpr (std::is_same_v<T, std::optional<double>>) {
    field.reset();
    if (!json.is_null()) read_number(json, field.emplace(), rule, place);
  } else if constexpr (std::is_same_v<T, std::array<double, 2>>) {
    if (!json.is_array() || json.size() != 2) place.fail_with(json, "a list of 2 numbers");
    for (std::size_t i = 0; i < 2; ++i) read_number(json[i], field[i], rule, place / std::to_string(i));
  } else if constexpr (std::is_integral_v<T>) {
    read_whole(json, field, rule, place);
  } else {
    read_section(json, field, place);
  }
}

template <class Section>
void read_section(const Json& json, Section& section, const Place& place) {
  if (!json.is_object()) place.fail_with(json, "an object");
  std::vector<std::string> known;
  fields(section, [&](const char* name, auto&&, const Rule&) { known.emplace_back(name); });
  io::detail::refuse_unknown(json, known, place);
  fields(section, [&](const char* name, auto&& field, const Rule& rule) {
    if (json.contains(name)) read_field(json[name], field, rule, place / name);
  });
}

template <class Section>
Json write_section(Section& section);

template <class Field>
Json write_field(Field&& field) {
  using T = std::decay_t<Field>;
  if constexpr (std::is_same_v<T, RawJson>) {
    return io::detail::parse_json<Json>(field.text, "[config] JSON text of a field");
  } else if constexpr (std::is_same_v<T, Choice>) {
    return field.text;
  } else if constexpr (std::is_same_v<T, std::optional<double>>) {
    return field ? Json(*field) : Json();
  } else if constexpr (std::is_constructible_v<Json, T>) {
    return field;
  } else {
    return write_section(field);
  }
}

template <class Section>
Json write_section(Section& section) {
  Json json = Json::object();
  fields(section, [&](const char* name, auto&& field, const Rule&) { json[name] = write_field(field); });
  return json;
}

Config read_config(const Json& json, const std::string& source, Config config = {}) {
  read_section(json, config, Place{"[config] " + source + ": ", ""});
  return config;
}

// "a.b.c" as its parts.
std::vector<std::string> split_key(std::string_view key, const std::string& source) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('.', begin), key.size());
    FOVEA_CHECK(end > begin, "[config] ", source, ": expected KEY=VALUE with a key such as train.minutes");
    parts.emplace_back(key.substr(begin, end - begin));
    begin = end + 1;
  }
  FOVEA_CHECK(parts.size() < io::detail::max_json_depth, "[config] ", source, ": the key has too many parts");
  return parts;
}

// A part can be set of a description only, not of a preset's name.
Json preset_description(const std::string& name) { return Json::parse(models::to_json(models::clip_preset(name))); }

// Member `key` of an object, made if needed, or element `key` of a list.
Json& part_of(Json& json, const std::string& key, const Place& place) {
  if (json.is_object()) return json[key];
  if (!json.is_array()) place.fail_with(json, "an object, to set a part of it");
  const auto element =
      std::find_if(json.begin(), json.end(), [&, i = 0](const Json&) mutable { return std::to_string(i++) == key; });
  if (element == json.end()) place.fail_with(json, "a list with an element " + key);
  return *element;
}

// The value of an assignment. Where there is text now, everything but a quoted text or an object is text as it stands.
Json parse_value(std::string_view text, const Json& current) {
  Json parsed;
  try {
    parsed = io::detail::parse_json<Json>(text, "");
  } catch (const Error&) {
    return std::string(text);
  }
  return current.is_string() && !parsed.is_string() && !parsed.is_object() ? Json(std::string(text)) : parsed;
}

// Paths of the values that differ. Lists are values.
void add_different_keys(const Json& a, const Json& b, const std::string& path, std::vector<std::string>& keys) {
  if (a == b) return;
  if (!a.is_object() || !b.is_object()) return keys.push_back(path);
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  for (const auto& [key, value] : a.items()) add_different_keys(value, b.value(key, Json()), below(key), keys);
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) keys.push_back(below(key));
  }
}

}  // namespace

Config parse_config(std::string_view json, const std::string& source, const Config& defaults) {
  return read_config(io::detail::parse_json<Json>(json, "[config] " + source), source, defaults);
}

Config load_config(const std::string& path, const Config& defaults) {
  return parse_config(io::read_file(path), path, defaults);
}

void apply_set(Config& config, std::string_view assignment) {
  const std::string source = concat("--set ", assignment);
  const std::size_t equals = assignment.find('=');
  FOVEA_CHECK(equals != std::string_view::npos, "[config] ", source, ": expected KEY=VALUE");
  Json json = write_section(config);
  Json* node = &json;
  Place place{"[config] " + source + ": ", ""};
  for (const std::string& key : split_key(assignment.substr(0, equals), source)) {
    if (node->is_null()) *node = Json::object();
    if (node->is_string() && place.path == "model") *node = preset_description(node->get<std::string>());
    node = &part_of(*node, key, place);
    place = place / key;
  }
  *node = parse_value(assignment.substr(equals + 1), *node);
  config = read_config(json, source);
}

std::vector<std::string> config_keys() {
  Config config;
  config.model = config.data.transform = "null";  // their parts are other readers' keys
  std::vector<std::string> keys;
  const Json json = write_section(config);
  for (const auto& [section, value] : json.items()) {
    if (!value.is_object()) {
      keys.push_back(section);
      continue;
    }
    for (const auto& [key, ignored] : value.items()) keys.push_back(concat(section, ".", key));
  }
  return keys;
}

std::vector<std::string> different_keys(const Config& a, const Config& b) {
  Config first = a, second = b;
  // A file written before a key existed stands for its default.
  for (Config* config : {&first, &second})
    config->data.transform =
        image::to_json(image::parse_transform_config(config->data.transform, {}, "data.transform"));
  std::vector<std::string> keys;
  add_different_keys(write_section(first), write_section(second), "", keys);
  return keys;
}

std::string config_value(const Config& config, std::string_view key) {
  Config copy = config;
  Json json = write_section(copy);
  for (const std::string& part : split_key(key, std::string(key))) {
    if (!json.is_object() || !json.contains(part)) return "not there";
    json = Json(json[part]);
  }
  return to_text(json);
}

std::string dump_config(const Config& config) {
  Config copy = config;
  return to_text(write_section(copy), 2) + "\n";
}

}  // namespace fovea::train
