// Everything a training run is told: a JSON file over defaults, and `--set` over both.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/image/decode.h"

namespace fovea::train {

struct DataConfig {
  std::string path = "data/emoji_clipart";  // a table, a folder, shards or COCO's JSON
  std::string dataset_type = "auto";        // webdataset, csv (any table), coco, folder
  std::int64_t num_samples = 0;             // of shards: samples of an epoch; 0: as many as there are
  bool resampled = false;                   // shards are drawn with replacement, by weight
  std::string upsampling_factors;           // with it: the weight of each source, "1::2"
  std::int64_t shuffle_buffer = 5000;       // samples of shards that are read together and mixed
  std::string separator;                    // of a CSV table, one character; empty: found in its first line
  std::string train_split = "train";
  std::string image_column = "image";
  std::string image_root;                               // folder that picture paths start from; empty: the table's
  std::string split_column = "split";                   // empty: the table has no splits, all rows are trained on
  std::vector<std::string> caption_columns{"caption"};  // the first one is what evaluation asks for
  std::vector<std::string> list_columns;  // caption columns whose cells are lists ("a, b, c"); a random part is drawn
  bool every_caption = false;             // each is a pair of its own, instead of one of a picture's being drawn
  std::string language_column;            // of a row's captions; empty: their columns' names are their languages
  std::string join, join_column;          // a second table with further columns, and the column that both have
  double word_dropout = 0;                // probability of leaving out each word of a caption while training
  std::int64_t batch_size = 256;          // of all ranks together
  bool distinct_captions = false;         // no two pairs of one step have equal captions
  std::int64_t max_pixels = image::default_max_pixels;  // larger pictures are left out without being decoded
  std::int64_t workers = 1;                             // loading threads; 0: the training thread loads
  std::int64_t cache_bytes = std::int64_t{1} << 30;     // of decoded pictures that are kept
  std::string tokenizer;      // tokenizer.json, or a folder (Tokenizer::load); empty: the model folder's, or our own
  std::string feature_cache;  // folder that keeps the features of a frozen image tower; empty: none
  std::int64_t feature_views = 0;  // with it and a random transform: how many views of each picture take turns
  std::string transform = "{}";    // JSON text, read by the image transforms; the size is the model's
};

struct ObjectiveConfig {
  std::string name = "info_nce";  // sigmoid, or bag_of_words
  double label_smoothing = 0;     // info_nce's: share of each target that is spread over the whole batch
  bool sum_directions = false;    // info_nce's: the sum of both directions instead of their mean
  // Where what makes logits of cosines starts; none: as published, or as the model folder has it.
  std::optional<double> init_logit_scale, init_logit_bias, init_temperature;
  bool clamp_logit_scale = true;  // to [0, ln 100] after every step
  std::string exchange = "ring";  // how features reach other ranks; or gather
};

struct OptimConfig {
  std::string name = "adamw";  // lamb, adafactor, or sgd
  double lr = 1e-3;            // after the warm-up
  std::array<double, 2> betas{0.9, 0.98};
  double eps = 1e-6;
  double momentum = 0.9;  // sgd's and adafactor's
  bool nesterov = false;  // sgd's
  double weight_decay = 0.1;
  std::vector<std::string> decay;     // globs of gains, biases, ... that decay all the same
  std::string decay_rule = "adamw";   // times the learning rate; or big_vision: times its share of the highest one
  std::vector<std::string> no_decay;  // globs of parameters without weight decay, besides gains and biases
  double image_layer_decay = 1, text_layer_decay = 1;  // factors of the learning rate from a block to the one before it
  double ema_decay = 0;    // when positive, the averages of the weights are what is scored and saved
  bool ema_warmup = true;  // the averages forget faster in the first steps
};

struct ScheduleConfig {
  std::string kind = "cosine";    // const, const-cooldown, linear
  double warmup_fraction = 0.05;  // of all steps
  std::int64_t warmup_steps = 0;  // when positive, counts instead of the fraction
  double cooldown_epochs = 0;     // of const-cooldown: the last epochs
  double cooldown_end = 0;        // the learning rate that they lead to
  double cooldown_power = 1;      // 1: along a line

  // Steps of warm-up in a run of `total_steps`.
  std::int64_t warmup(std::int64_t total_steps) const {
    return warmup_steps > 0 ? warmup_steps
                            : static_cast<std::int64_t>(warmup_fraction * static_cast<double>(total_steps) + 0.5);
  }
};

struct TrainConfig {
  std::int64_t epochs = 30;
  double minutes = 0;                          // when positive, decides how many epochs fit
  std::int64_t accum_freq = 1;                 // batches of one step
  bool checkpointing = false;                  // transformer blocks are computed again in backward, to save memory
  std::string max_memory;                      // of the process ("12G"): decides accum_freq and checkpointing
  double grad_clip_norm = 1;                   // 0: none
  std::string image_from;                      // model folder whose image tower the run begins with; empty: model's own
  bool lock_image = false, lock_text = false;  // a tower keeps its weights
  std::vector<std::string> freeze;             // globs of parameters that keep theirs
  bool freeze_statistics = false;              // BatchNorm's running ones
  std::int64_t virtual_batch = 0;              // samples that share BatchNorm's statistics; 0: those of a batch
  std::int64_t log_every = 10;                 // steps
  std::int64_t max_bad_steps = 10;  // in a row, with a loss or gradient that is not finite; then the run stops
  bool detect_anomaly = false;      // name the operation that gives the first number that is not finite
  std::int64_t profile = 0;         // steps whose operations are timed, after two that are not; 0: none
  double save_minutes = 10;         // between checkpoints; 0: not by the clock
  std::int64_t save_steps = 0, save_epochs = 0;  // a checkpoint after every so many; 0: none
  std::int64_t keep_checkpoints = 2;             // the newest
  std::uint64_t seed = 0;
  std::int64_t threads = 0;       // 0: FOVEA_NUM_THREADS, or all
  std::string precision = "f32";  // f32 (fp32); bf16 (amp_bf16): activations saved in it; f64 for checking
};

struct EvalConfig {
  std::string path;                        // what is scored, of any type; empty: the training data
  std::string image_root;                  // of its pictures
  std::vector<std::string> splits{"all"};  // "all": every split but the training split; none: nothing is scored
  std::int64_t every_epochs = 0;           // 0: only at the end
  std::int64_t batch_size = 256;
};

// The members are the keys of the file.
struct Config {
  std::string model = "\"small-resnet-cbow\"";  // JSON text: a preset's name or a description, read by models/presets.h
  DataConfig data;
  ObjectiveConfig objective;
  OptimConfig optim;
  ScheduleConfig schedule;
  TrainConfig train;
  EvalConfig eval;
  std::string output = "out/run";  // run folder
};

// Reads a configuration from JSON text; what it leaves out is as in `defaults`. Throws Error for malformed JSON,
// unknown keys (naming the nearest known one), wrong types and values out of range, naming `source` and the key's full
// path.
FOVEA_API Config parse_config(std::string_view json, const std::string& source = "configuration",
                              const Config& defaults = {});

// As parse_config, from a file.
FOVEA_API Config load_config(const std::string& path, const Config& defaults = {});

// Changes one key: "train.minutes=10". The value is JSON; text needs no quotes. A part of the image transforms
// or of the model, which may be a preset, may be set as well: "model.image.patch_size=16". Throws Error as parse_config
// does.
FOVEA_API void apply_set(Config& config, std::string_view assignment);

// The path of every key ("train.epochs"), in the file's order.
FOVEA_API std::vector<std::string> config_keys();

// Paths of the keys that two configurations set differently ("train.epochs"), and the value of one as JSON text. A part
// of the image transforms that is left out counts as its default.
FOVEA_API std::vector<std::string> different_keys(const Config& a, const Config& b);
FOVEA_API std::string config_value(const Config& config, std::string_view key);

// The whole configuration as JSON text that parse_config reads back to the same values.
FOVEA_API std::string dump_config(const Config& config);

}  // namespace fovea::train
