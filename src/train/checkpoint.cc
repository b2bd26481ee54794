#include "fovea/train/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "fovea/core/log.h"
#include "fovea/core/rng.h"
#include "fovea/io/file.h"
#include "fovea/nn/parameter_file.h"
#include "io/json_fields.h"

namespace fovea::train {

static void fields(io::detail::Same<TrainState> auto& s, auto&& f) {
  f("step", s.step), f("total_steps", s.total_steps), f("optimizer_steps", s.optimizer_steps);
  f("skipped_steps", s.skipped_steps), f("bad_in_a_row", s.bad_in_a_row);
  f("epoch", s.epoch), f("batch", s.batch), f("stream", s.stream), f("samples", s.samples);
  f("training_seconds", s.training_seconds), f("evaluation_seconds", s.evaluation_seconds);
  f("saving_seconds", s.saving_seconds), f("meters", s.meters);
}

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *format = "fovea-checkpoint/1", *prefix = "step-", *unfinished = ".tmp";
constexpr const char *model_file = "model.safetensors", *tensors_file = "state.safetensors", *state_file = "state.json";

// A fingerprint of bytes, eight at a time: it finds damage, not malice.
std::string fingerprint(std::string_view bytes) {
  std::uint64_t h = bytes.size();
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    h = mix(h, word);
  }
  h = mix(h, hash_name(bytes.substr(i)));
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, h);
  return text;
}

std::string fingerprint_of_file(const std::string& path) { return fingerprint(io::read_file(path)); }

// What state.json says of the state and the other files, with a fingerprint of its own.
std::string to_json(const TrainState& state, const std::string& folder) {
  Json content{{"format", format}, {"state", io::detail::write_value<Json>(state)}, {"files", Json::object()}};
  for (const char* file : {model_file, tensors_file}) content["files"][file] = fingerprint_of_file(folder + "/" + file);
  const std::string print = fingerprint(content.dump());
  content["fingerprint"] = print;
  return content.dump(2) + "\n";
}

TrainState parse_state(const std::string& folder) {
  const std::string path = folder + "/" + state_file, place = "[checkpoint] " + path;
  Json json = io::detail::parse_json<Json>(io::read_file(path), place);
  FOVEA_CHECK(json.is_object() && json.contains("format") && json["format"] == format, place, " has no \"format\": \"",
              format, "\"");
  const Json print = json.value("fingerprint", Json());
  json.erase("fingerprint");
  FOVEA_CHECK(print == fingerprint(json.dump()), place, " is damaged: its fingerprint does not fit");
  FOVEA_CHECK(json.contains("files") && json["files"].is_object() && json.contains("state"), place,
              " has no \"files\" or no \"state\"");
  for (const char* file : {model_file, tensors_file}) {
    FOVEA_CHECK(json["files"].value(file, "") == fingerprint_of_file(folder + "/" + file), "[checkpoint] ", folder, "/",
                file, " is damaged: its fingerprint does not fit");
  }
  TrainState state;
  io::detail::read_value(json["state"], state, io::detail::JsonPlace{place + ": ", "state"},
                         {0, std::int64_t{1} << 53});
  return state;
}

void flush_folder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  FOVEA_CHECK(!error, "[checkpoint] cannot create ", folder, ": ", error.message());
}

void remove_folder(const std::string& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

void rename_folder(const std::string& from, const std::string& to) {
  FOVEA_CHECK(::rename(from.c_str(), to.c_str()) == 0, "[checkpoint] cannot rename ", from, " to ", to, ": ",
              std::strerror(errno));
}

// The number of "step-N"; none for another name.
std::optional<std::int64_t> step_of(const std::string& name) {
  const std::size_t digits = std::strlen(prefix);
  if (!name.starts_with(prefix) || name.size() == digits || name.size() > digits + 15 ||
      name.find_first_not_of("0123456789", digits) != std::string::npos)
    return {};
  return std::stoll(name.substr(digits));
}

// Removed on the way out, unless it was renamed before.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(std::string path) : path_(std::move(path)) {
    remove_folder(path_);
    make_folder(path_);
  }
  ~UnfinishedFolder() { remove_folder(path_); }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::string Checkpoints::folder_of(std::int64_t step) const { return concat(folder_, "/", prefix, step); }

std::vector<std::int64_t> Checkpoints::steps() const {
  std::vector<std::int64_t> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto step = step_of(entry->path().filename().string())) found.push_back(*step);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// What a process that was killed while writing left behind.
void Checkpoints::remove_leftovers() const {
  std::vector<std::string> leftovers;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == unfinished) leftovers.push_back(entry->path().string());
  }
  for (const std::string& path : leftovers) remove_folder(path);
}

std::string Checkpoints::save(const TrainState& state, const std::vector<nn::ParamEntry>& model,
                              const io::TensorMap& optimizer, std::int64_t keep) const {
  const std::string final_folder = folder_of(state.step);
  make_folder(folder_);
  remove_leftovers();
  const UnfinishedFolder written(final_folder + unfinished);
  nn::save_parameters(written.path() + "/" + model_file, model);
  io::save_safetensors(written.path() + "/" + tensors_file, optimizer);
  io::write_file(written.path() + "/" + state_file, to_json(state, written.path()));
  flush_folder(written.path());

  const std::string replaced = final_folder + ".old" + unfinished;  // one of the same step, before a run was resumed
  std::error_code unknown;
  if (fs::exists(final_folder, unknown)) rename_folder(final_folder, replaced);
  rename_folder(written.path(), final_folder);
  flush_folder(folder_);
  set_last(state.step);
  remove_folder(replaced);

  std::vector<std::int64_t> older = steps();
  std::erase_if(older, [&](std::int64_t step) { return step >= state.step; });
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) <= older.size(); ++i) {
    // Renamed first: a folder with its final name is whole, also while it is being removed.
    rename_folder(folder_of(older[i]), folder_of(older[i]) + unfinished);
    remove_folder(folder_of(older[i]) + unfinished);
  }
  return final_folder;
}

void Checkpoints::set_last(std::int64_t step) const { io::write_file(folder_ + "/last", concat(prefix, step, "\n")); }

std::optional<Checkpoint> Checkpoints::load_last() const {
  std::vector<std::int64_t> candidates = steps();
  if (candidates.empty()) return {};
  std::error_code unknown;
  const std::string last = folder_ + "/last";
  if (fs::exists(last, unknown)) {
    const std::string name = io::read_file(last);
    const auto newest = step_of(name.substr(0, name.find('\n')));
    // Later ones belong to a future that was given up by resuming from an earlier point.
    if (newest && candidates.front() <= *newest)
      std::erase_if(candidates, [&](std::int64_t step) { return step > *newest; });
  }
  std::string problems;
  for (std::size_t i = candidates.size(); i-- > 0;) {
    try {
      return load(folder_of(candidates[i]));
    } catch (const Error& error) {
      log::warning(error.what(), i > 0 ? "\nthe checkpoint before is tried" : "");
      problems += concat("\n", error.what());
    }
  }
  fail("[checkpoint] no checkpoint in ", folder_, " is whole", problems);
}

Checkpoint Checkpoints::load(const std::string& folder) {
  std::error_code unknown;
  FOVEA_CHECK(fs::is_directory(folder, unknown), "[checkpoint] ", folder,
              " is not a folder\nhint: checkpoints are the folders step-N in the folder checkpoints of a run");
  Checkpoint checkpoint{folder, parse_state(folder), {}};
  checkpoint.optimizer = io::load_safetensors(folder + "/" + tensors_file);
  return checkpoint;
}

std::string run_folder_of(const std::string& checkpoint) {
  const fs::path folder = (fs::path(checkpoint) / "").lexically_normal().parent_path();
  const std::string run = folder.parent_path().parent_path().string();
  return run.empty() ? "." : run;
}

}  // namespace fovea::train
