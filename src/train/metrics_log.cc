#include "fovea/train/metrics_log.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "io/json.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;

// The writer turns numbers that are not finite into null, and bytes that are not UTF-8 into U+FFFD.
std::string to_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json to_json(const eval::RetrievalScores& scores) {
  return {{"r1", scores.r1},
          {"r5", scores.r5},
          {"r10", scores.r10},
          {"median_rank", scores.median_rank},
          {"mean_rank", scores.mean_rank},
          {"queries", scores.queries},
          {"candidates", scores.candidates}};
}

void drop_incomplete_line(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return;
  const std::string contents = io::read_file(path);
  const std::size_t complete = contents.rfind('\n') + 1;  // 0 when there is no line end
  if (complete == contents.size()) return;
  FOVEA_CHECK(::truncate(path.c_str(), static_cast<off_t>(complete)) == 0, "[metrics] cannot write ", path, ": ",
              std::strerror(errno));
}

// Whether a run that goes on after `step` keeps the line.
bool stays(const std::string& line, std::int64_t step, const std::string& place) {
  const Json json = io::detail::parse_json<Json>(line, place);
  FOVEA_CHECK(json.is_object() && json.contains("step") && json["step"].is_number_integer(), place,
              ": expected an object with a step");
  const auto at = json["step"].get<std::int64_t>();
  return json.contains("eval") ? at < step : at <= step;
}

}  // namespace

void drop_lines_after(const std::string& path, std::int64_t step) {
  if (::access(path.c_str(), F_OK) != 0) return;
  const std::string contents = io::read_file(path);
  std::string kept;
  std::int64_t number = 1;
  for (std::size_t begin = 0, end; (end = contents.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = contents.substr(begin, end - begin);
    if (stays(line, step, concat("[metrics] ", path, ", line ", number++))) kept += line + "\n";
  }
  if (kept != contents) io::write_file(path, kept);
}

std::string training_line(std::int64_t step, const Figures& figures) {
  Json json{{"step", step}};
  for (const auto& [name, value] : figures) json[name] = value;
  return to_line(json);
}

std::string evaluation_line(std::int64_t step, std::span<const SplitScores> splits) {
  Json scores = Json::object();
  for (const SplitScores& split : splits)
    scores[split.split] = {{"i2t", to_json(split.i2t)}, {"t2i", to_json(split.t2i)}};
  return to_line({{"step", step}, {"eval", scores}});
}

MetricsLog::MetricsLog(const std::string& path) : path_(path) {
  drop_incomplete_line(path);
  file_ = std::fopen(path.c_str(), "ae");
  FOVEA_CHECK(file_ != nullptr, "[metrics] cannot write ", path, ": ", std::strerror(errno));
}

MetricsLog::~MetricsLog() { std::fclose(file_); }

void MetricsLog::flush_to_disk() { ::fdatasync(::fileno(file_)); }

void MetricsLog::append(const std::string& line) {
  const bool written = std::fputs((line + "\n").c_str(), file_) >= 0 && std::fflush(file_) == 0;
  FOVEA_CHECK(written, "[metrics] cannot write ", path_, ": ", std::strerror(errno));
}

}  // namespace fovea::train
