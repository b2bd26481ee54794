#include "fovea/train/clip_task.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>

#include "fovea/autograd/no_grad.h"
#include "fovea/core/log.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/presets.h"
#include "fovea/objectives/bag_of_words.h"
#include "fovea/objectives/gradient_cache.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/objectives/sigmoid.h"
#include "fovea/optim/layer_decay.h"
#include "io/json.h"
#include "train/data_source.h"

namespace fovea::train {

std::string model_folder(const Config& config) {
  const auto model = io::detail::parse_json<nlohmann::ordered_json>(config.model, "[config] model");
  if (!model.is_string()) return "";
  const std::string name = model.get<std::string>();
  std::error_code error;
  if (!std::filesystem::is_directory(name, error)) {
    FOVEA_CHECK(name.find('/') == std::string::npos, "[train] model ", name,
                " is not a folder\nhint: a trained model is the folder `model` inside a run's output");
    return "";
  }
  return (std::filesystem::absolute(name, error) / "").lexically_normal().parent_path().string();
}

namespace {

// Captions to tokens, as the loader asks for them.
class CaptionEncoder final : public data::TextEncoder {
 public:
  CaptionEncoder(const text::Tokenizer& tokenizer, const models::TextTower::Config& tower)
      : tokenizer_(tokenizer), tower_(tower) {}
  std::vector<std::int32_t> encode(std::string_view caption) const override {
    return models::TextTower::padded(tower_, tokenizer_.encode(caption, models::TextTower::context(tower_)));
  }

 private:
  const text::Tokenizer& tokenizer_;
  const models::TextTower::Config& tower_;
};

// A model folder with its weights.
models::ClipFolder load_folder(const std::string& folder, const Config& config) {
  models::LoadedClip loaded = models::load_clip_model(folder, {}, training_dtype(config.train));
  std::optional<text::Tokenizer> tokenizer = config.data.tokenizer.empty()
                                                 ? models::load_clip_tokenizer(folder, loaded)
                                                 : text::Tokenizer::load(config.data.tokenizer);
  FOVEA_CHECK(tokenizer, "[train] ", folder, " has no tokenizer\nhint: name one with data.tokenizer");
  const auto transform = models::load_clip_transform(folder, loaded);
  const image::TransformConfig usual = models::usual_transform(loaded.model.config);
  return {std::move(loaded.model), std::move(*tokenizer), transform.value_or(usual)};
}

// The description with the image tower of another model, which comes with the joint space that it maps to.
models::ClipConfig description(const Config& config, const models::ClipConfig* image_from) {
  models::ClipConfig model = models::parse_clip_config(config.model);
  if (config.objective.name == "sigmoid" && model.similarity == models::Similarity::scale)
    model.similarity = models::Similarity::scale_and_bias;
  if (image_from != nullptr) {
    model.image = image_from->image;
    model.embed = image_from->embed;
    model.projection_bias = image_from->projection_bias;
    if (auto* text = std::get_if<models::TextTransformerConfig>(&model.text)) text->embed = model.embed;
  }
  return model;
}

// Values of an image tower and its projection.
void copy_image_tower(models::ClipModel& from, models::ClipModel& to) {
  nn::copy_parameters(nn::collect(from.vision_model), nn::collect(to.vision_model));
  if (from.visual_projection)
    nn::copy_parameters(nn::collect(*from.visual_projection), nn::collect(*to.visual_projection));
}

// What the configuration names: a folder, or a fresh model.
models::ClipFolder make_clip(const Config& config) {
  if (const std::string folder = model_folder(config); !folder.empty()) {
    FOVEA_CHECK(config.train.image_from.empty(),
                "[train] train.image_from names an image tower, but model is a folder, ", folder,
                ", which has one\nhint: describe the model, or name a preset");
    return load_folder(folder, config);
  }
  std::optional<models::LoadedClip> image_from;
  const std::string& folder = config.train.image_from;
  if (!folder.empty()) image_from.emplace(models::load_clip_model(folder, {}, training_dtype(config.train)));
  nn::Init init(config.train.seed, training_dtype(config.train));
  models::ClipModel model(description(config, image_from ? &image_from->model.config : nullptr), init);
  image::TransformConfig transform = models::usual_transform(model.config);
  if (image_from) {
    copy_image_tower(image_from->model, model);
    transform = models::load_clip_transform(folder, *image_from).value_or(transform);
  }
  return {std::move(model),
          config.data.tokenizer.empty() ? text::default_tokenizer() : text::Tokenizer::load(config.data.tokenizer),
          transform};
}

// The similarity starts where the configuration says so.
void set_similarity(const Config& config, models::ClipModel& model) {
  const ObjectiveConfig& c = config.objective;
  if (c.name == "sigmoid" && !model.logit_bias && !model.temperature) {
    FOVEA_CHECK(c.init_logit_bias, "[train] the sigmoid objective learns a logit_bias, which ", model_folder(config),
                " does not have\nhint: set objective.init_logit_bias; SigLIP starts at -10 with an init_logit_scale of "
                "2.3026");
    model.add_logit_bias(*c.init_logit_bias);
  }
  const auto set = [](const char* key, std::optional<double> value, std::optional<nn::Param>& number) {
    if (!value) return;
    FOVEA_CHECK(
        number, "[train] objective.", key, " is ", *value,
        ", but the model has no such parameter\nhint: model.similarity is scale, scale_and_bias or temperature");
    number->value().fill(*value);
  };
  set("init_logit_scale", c.init_logit_scale, model.logit_scale);
  set("init_logit_bias", c.init_logit_bias, model.logit_bias);
  set("init_temperature", c.init_temperature, model.temperature);
}

// The same with the configuration's transform.
models::ClipFolder configured_clip(const Config& config) {
  models::ClipFolder clip = make_clip(config);
  set_similarity(config, clip.model);
  const std::int64_t entries = clip.tokenizer.vocabulary_size();
  const std::int64_t known = models::TextTower::vocabulary(clip.model.config.text);
  FOVEA_CHECK(entries <= known, "[train] the tokenizer has ", entries, " entries, the model's text tower knows ", known,
              "\nhint: set model.text.vocabulary");
  std::int64_t size = models::ImageTower::image_size(clip.model.config.image);
  const auto without_augmentation = [](image::TransformConfig transform) {
    transform.augment = {};
    return image::to_json(transform);
  };
  const std::string expected = without_augmentation(clip.transform);
  clip.transform = image::parse_transform_config(config.data.transform, clip.transform, "data.transform");
  if (!model_folder(config).empty() && without_augmentation(clip.transform) != expected)
    log::warning("data.transform prepares pictures otherwise than the weights of ", model_folder(config), " expect");
  if (!model_folder(config).empty() && clip.transform.size != size) {
    log::info("the image tower of ", model_folder(config), " goes from ", size, " to ", clip.transform.size, " pixels");
    size = clip.transform.size;
    clip.model.config.image = clip.model.vision_model.resize(size);
  }
  FOVEA_CHECK(clip.transform.size == size, "[train] data.transform.size is ", clip.transform.size,
              ", the model expects pictures of ", size, " pixels");
  return clip;
}

Hash128 hash_of(const std::string& text) { return hash128(text.data(), text.size()); }

// Of all that decides the features of a picture but the picture itself.
Hash128 tower_hash(models::ImageTower& tower, const image::TransformConfig& transform, const Config& config) {
  std::vector<Hash128> parts{hash_of(image::to_json(transform))};
  if (config.data.feature_views > 0) parts.push_back({config.train.seed, 1});  // it decides the views
  for (const nn::ParamEntry& entry : nn::collect(tower)) {
    const Tensor value = entry.value();
    parts.push_back(hash_of(entry.path));
    parts.push_back(hash128(value.raw(), static_cast<std::size_t>(value.bytes())));
  }
  return hash128(parts.data(), parts.size() * sizeof(Hash128));
}

void check_feature_cache(models::ImageTower& tower, const image::Augment& augment, std::int64_t views) {
  for (const nn::ParamEntry& entry : nn::collect(tower)) {
    FOVEA_CHECK(entry.leaf->is_buffer() || entry.leaf->frozen, "[train] data.feature_cache keeps features of frozen ",
                "towers, but vision_model.", entry.path, " is trained\nhint: set train.lock_image");
  }
  FOVEA_CHECK(views > 0 || !image::is_random(augment), "[train] data.feature_cache keeps one picture's features, but ",
              "data.transform.augment makes other ones in every epoch\nhint: set data.feature_views to the number of "
              "views of each picture that take turns, or leave the augmentation out");
}

std::string giga(double flops) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GFLOP", flops * 1e-9);
  return text;
}

}  // namespace

models::ClipConfig model_config(const Config& config) {
  if (const std::string folder = model_folder(config); !folder.empty())
    return models::load_clip_model(folder).model.config;
  if (config.train.image_from.empty()) return description(config, nullptr);
  const models::LoadedClip image_from = models::load_clip_model(config.train.image_from);
  return description(config, &image_from.model.config);
}

void freeze_as_configured(const TrainConfig& config, models::ClipModel& model) {
  const auto lock = [](auto& tower) {
    for (const nn::ParamEntry& entry : nn::collect(tower)) entry.leaf->frozen = !entry.leaf->is_buffer();
  };
  if (config.lock_image) {
    lock(model.vision_model);
    if (model.visual_projection) lock(*model.visual_projection);
  }
  if (config.lock_text) {
    lock(model.text_model);
    if (model.text_projection) lock(*model.text_projection);
  }
  nn::freeze(nn::collect(model), config.freeze);
}

std::optional<objectives::AnyFeatureObjective> make_objective(const ObjectiveConfig& config) {
  const auto exchange = config.exchange == "gather" ? ops::RankExchange::gather : ops::RankExchange::ring;
  if (config.name == "info_nce") return objectives::InfoNce{config.label_smoothing, config.sum_directions, exchange};
  FOVEA_CHECK(config.name == "sigmoid" || config.name == "bag_of_words", "[train] no objective is called \"",
              config.name, "\", expected info_nce, sigmoid or bag_of_words");
  FOVEA_CHECK(config.label_smoothing == 0 && !config.sum_directions,
              "[train] objective.label_smoothing and objective.sum_directions belong to info_nce, objective.name is ",
              config.name);
  if (config.name == "bag_of_words") return {};
  return objectives::Sigmoid{exchange};
}

ClipTask::ClipTask(const Config& config, std::optional<objectives::AnyFeatureObjective> objective, dist::Group& group)
    : config_(detail::with_split_names(config)),
      group_(group),
      weights_loaded_(!model_folder(config).empty()),
      clip_(configured_clip(config)),
      parameters_(nn::collect(clip_.model)),
      objective_(std::move(objective)),
      encoder_(std::make_unique<CaptionEncoder>(clip_.tokenizer, clip_.model.config.text)) {
  FOVEA_CHECK(objective_ || std::holds_alternative<models::Cbow>(clip_.model.text_model.tower),
              "[train] the objective bag_of_words learns a vector for each word, which a text tower of type cbow has\n"
              "hint: set model.text.type=cbow, or take a preset such as small-resnet-cbow");
  nn::name_parameters(parameters_);
  set_rates(config);
  data::LoaderOptions options;
  options.batch_size = config.data.batch_size;
  options.rank = group.rank();
  options.ranks = group.size();
  options.workers = static_cast<int>(config.data.workers);
  options.max_pixels = config.data.max_pixels;
  options.cache_bytes = config.data.cache_bytes;
  options.word_dropout = config.data.word_dropout;
  if (config.data.distinct_captions) options.distinct_batches = config.train.accum_freq;
  options.seed = config.train.seed;
  if (!config.data.feature_cache.empty()) {
    check_feature_cache(clip_.model.vision_model, clip_.transform.augment, config.data.feature_views);
    tower_hash_ = tower_hash(clip_.model.vision_model, clip_.transform, config_);
    features_ = std::make_unique<data::FeatureCache>(config.data.feature_cache, tower_hash_,
                                                     clip_.model.vision_model.features());
    options.features = features_.get();
    options.feature_views = config.data.feature_views;
  }
  loader_ = detail::make_training_loader(config.data, clip_.transform, *encoder_, options);
  detail::check_scored_splits(config_);
}

// What the optimiser needs to know about single parameters.
void ClipTask::set_rates(const Config& config) {
  freeze_as_configured(config.train, clip_.model);
  nn::include_in_decay(parameters_, config.optim.decay);
  nn::exclude_from_decay(parameters_, config.optim.no_decay);
  optim::decay_layer_rates(parameters_, "vision_model.", config.optim.image_layer_decay);
  optim::decay_layer_rates(parameters_, "text_model.", config.optim.text_layer_decay);
}

Config ClipTask::resolved(const Config& config) const {
  Config full = config;
  const std::string folder = model_folder(config);
  full.model = folder.empty() ? models::to_json(clip_.model.config) : nlohmann::ordered_json(folder).dump();
  full.data.transform = image::to_json(clip_.transform);
  if (std::error_code unknown; !config.train.image_from.empty())
    full.train.image_from = std::filesystem::absolute(config.train.image_from, unknown).lexically_normal().string();
  full.eval.splits = config_.eval.splits;
  if (detail::trains_on_stream(config.data)) full.data.num_samples = loader_->size();
  return full;
}

// `batch` with all of its features: the missing ones are computed and kept. They go through bf16 like all others, so
// that a run with an empty cache and one with a full one take the same steps.
data::Batch ClipTask::with_features(const data::Batch& batch, const nn::Ctx& ctx) {
  if (!features_checked_) {
    FOVEA_CHECK(tower_hash(clip_.model.vision_model, clip_.transform, config_) == tower_hash_,
                "[train] the image tower has other weights than those that data.feature_cache was opened for",
                "\nhint: the checkpoint and the model that the run began with must have the same image tower");
    features_checked_ = true;
  }
  if (batch.uncached.empty()) return batch;
  data::Batch full = batch;
  const NoGrad no_grad;
  const Tensor images = batch.normalized_images(clip_.model.dtype());
  Tensor computed = clip_.model.vision_model(images, ctx.eval()).value().to(DType::f32);
  std::vector<Hash128> keys;
  for (const std::int64_t row : batch.uncached) keys.push_back(batch.feature_keys[static_cast<std::size_t>(row)]);
  features_->add(keys, computed.mutable_data<float>());
  for (std::size_t i = 0; i < batch.uncached.size(); ++i) {
    const auto from = static_cast<std::int64_t>(i), to = batch.uncached[i];
    full.image_features.rows(to, to + 1).copy_from(computed.rows(from, from + 1));
  }
  full.uncached.clear();
  return full;
}

objectives::Embeddings ClipTask::embed(const data::Batch& batch, const nn::Ctx& ctx) const {
  if (features_) {
    const Var features(batch.image_features.to(clip_.model.dtype()));
    return clip_.model.embeddings(ops::l2_normalize(clip_.model.project_image(features, ctx)),
                                  ops::l2_normalize(clip_.model.encode_text(batch.tokens, batch.text, ctx)));
  }
  return clip_.model.embed(batch, ctx);
}

// What a word's vector predicts is what the text tower averages, so that the model is scored like any other.
objectives::Loss ClipTask::predict_words(const data::Batch& batch, const nn::Ctx& ctx) const {
  const models::ClipModel& model = clip_.model;
  const auto& tower = std::get<models::Cbow>(model.text_model.tower);
  const Var vectors = tower.token_embedding.weight();
  const models::InnerTokens words = models::drop_special_tokens(batch.tokens, batch.text);
  const Var image = features_ ? model.project_image(Var(batch.image_features.to(model.dtype())), ctx)
                              : model.encode_image(batch.normalized_images(model.dtype()), ctx);
  return objectives::BagOfWords{}(image, model.text_projection ? (*model.text_projection)(vectors, ctx) : vectors,
                                  words.ids, words.layout);
}

objectives::Loss ClipTask::loss(const data::Batch& batch, const nn::Ctx& ctx) {
  const data::Batch full = features_ ? with_features(batch, ctx) : batch;
  return objective_ ? (*objective_)(embed(full, ctx), ctx) : predict_words(full, ctx);
}

objectives::Loss ClipTask::backward(std::span<const data::Batch> micro_batches, const nn::Ctx& ctx) {
  if (micro_batches.size() == 1 || !objective_) return Task::backward(micro_batches, ctx);
  std::vector<data::Batch> full;  // features are computed once, though batches are encoded twice
  if (features_) {
    for (const data::Batch& batch : micro_batches) full.push_back(with_features(batch, ctx));
    micro_batches = full;
  }
  const auto encode = [&](std::int64_t j, const nn::Ctx& pass) {
    return embed(micro_batches[static_cast<std::size_t>(j)], pass);
  };
  return objectives::backward_with_gradient_cache(static_cast<std::int64_t>(micro_batches.size()), encode, *objective_,
                                                  ctx);
}

double ClipTask::expected_first_loss(std::int64_t samples) const {
  if (weights_loaded_) return Task::expected_first_loss(samples);
  if (!objective_)  // every word is as likely as any other
    return std::log(static_cast<double>(models::TextTower::vocabulary(clip_.model.config.text)));
  return objective_->expected_first_loss(samples, clip_.model.embeddings({}, {}));
}

void ClipTask::after_step() {
  if (config_.objective.clamp_logit_scale) clip_.model.clamp_logit_scale();
}

Figures ClipTask::figures() const {
  const objectives::Embeddings e = clip_.model.embeddings({}, {});
  Figures figures{{"logit_scale", e.scale().item()}};
  if (e.logit_bias.defined()) figures.emplace_back("logit_bias", e.logit_bias.item());
  if (e.temperature.defined()) figures.emplace_back("temperature", e.temperature.item());
  return figures;
}

Facts ClipTask::facts() const {
  const models::ModelSize size = models::model_size(clip_.model.config, 8);
  Facts facts{{"Parameters", format_count(size.parameters)}};
  const auto json = nlohmann::ordered_json::parse(models::to_json(clip_.model.config));
  for (const char* tower : {"image", "text"}) {
    if (json[tower].contains("activation"))
      facts.emplace_back(concat("Activation of the ", tower, " tower"), json[tower]["activation"].get<std::string>());
  }
  facts.emplace_back("Forward pass of one picture", giga(size.image_flops));
  facts.emplace_back("Forward pass of one caption of 8 tokens", giga(size.text_flops));
  return facts;
}

SplitScores ClipTask::evaluate(const std::string& split) {
  const data::ImageTextDataset dataset = detail::open_scored_split(config_, split);
  bool several = false;  // captions of one picture
  for (std::int64_t i = 0; i < dataset.size() && !several; ++i) several = dataset[i].texts.size() > 1;
  const eval::EmbeddedPairs pairs =
      eval::embed_pairs({clip_.model, clip_.tokenizer, clip_.transform, config_.eval.batch_size}, dataset,
                        {config_.data.max_pixels, several, true});
  const eval::Retrieval scores = eval::retrieval(pairs.images, pairs.texts, pairs.matches);
  if (split == examples_.split || pairs.paths.size() > examples_.pictures.size()) {
    examples_ = eval::retrieval_examples(pairs);
    examples_.split = split;
  }
  return {split, scores.i2t, scores.t2i};
}

void ClipTask::save(const std::string& folder) const {
  models::save_clip(folder, clip_.model, clip_.tokenizer, clip_.transform);
}

}  // namespace fovea::train
