#include "fovea/train/flags.h"

#include "fovea/core/error.h"
#include "io/json_fields.h"

namespace fovea::train {
namespace {

constexpr Flag::Kind list = Flag::Kind::list, setting = Flag::Kind::setting;
constexpr Flag flags[]{
    {"--output", "output"},
    {"--model", "model"},
    {"--train-data", "data.path"},
    {"--val-data", "eval.path"},
    {"--dataset-type", "data.dataset_type"},
    {"--train-num-samples", "data.num_samples"},
    {"--dataset-resampled", "data.resampled", setting, "true"},
    {"--train-data-upsampling-factors", "data.upsampling_factors"},
    {"--image-key", "data.image_column"},
    {"--text-key", "data.caption_columns", list},
    {"--csv-separator", "data.separator"},
    {"--csv-img-key", "data.image_column"},
    {"--csv-caption-key", "data.caption_columns", list},
    {"--batch-size", "data.batch_size"},
    {"--workers", "data.workers"},
    {"--siglip", "objective.name", setting, "sigmoid"},
    {"--opt", "optim.name"},
    {"--lr", "optim.lr"},
    {"--beta1", "optim.betas.0"},
    {"--beta2", "optim.betas.1"},
    {"--eps", "optim.eps"},
    {"--momentum", "optim.momentum"},
    {"--wd", "optim.weight_decay"},
    {"--wd-exclude", "optim.no_decay", list},
    {"--image-layer-decay", "optim.image_layer_decay"},
    {"--text-layer-decay", "optim.text_layer_decay"},
    {"--lr-scheduler", "schedule.kind"},
    {"--warmup", "schedule.warmup_steps"},
    {"--epochs-cooldown", "schedule.cooldown_epochs"},
    {"--lr-cooldown-end", "schedule.cooldown_end"},
    {"--lr-cooldown-power", "schedule.cooldown_power"},
    {"--epochs", "train.epochs"},
    {"--accum-freq", "train.accum_freq"},
    {"--grad-checkpointing", "train.checkpointing", setting, "true"},
    {"--max-memory", "train.max_memory"},
    {"--grad-clip-norm", "train.grad_clip_norm"},
    {"--pretrained-image", "train.image_from"},
    {"--lock-image", "train.lock_image", setting, "true"},
    {"--lock-text", "train.lock_text", setting, "true"},
    {"--freeze", "train.freeze", list},
    {"--log-every-n-steps", "train.log_every"},
    {"--detect-anomaly", "train.detect_anomaly", setting, "true"},
    {"--profile", "train.profile", setting, "10"},
    {"--save-frequency", "train.save_epochs"},
    {"--delete-previous-checkpoint", "train.keep_checkpoints", setting, "1"},
    {"--seed", "train.seed"},
    {"--threads", "train.threads"},
    {"--precision", "train.precision"},
    {"--val-frequency", "eval.every_epochs"},
};

}  // namespace

std::span<const Flag> training_flags() { return flags; }

void apply_flag(Config& config, const Flag& flag, const std::vector<std::string>& values) {
  std::string value;
  if (flag.kind == setting) {
    value = flag.setting;
  } else if (flag.kind == list) {
    value = io::detail::to_text(nlohmann::ordered_json(values));
  } else {
    FOVEA_CHECK(values.size() == 1, "[config] ", flag.name, " was given ", values.size(), " times, expected once");
    value = values[0];
  }
  try {
    apply_set(config, concat(flag.key, "=", value));
  } catch (const Error& error) {
    fail(error.what(), "\n(", flag.name, " stands for --set ", flag.key, ")");
  }
}

}  // namespace fovea::train
