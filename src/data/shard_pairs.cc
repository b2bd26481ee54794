#include "data/shard_pairs.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "data/curation.h"
#include "data/sample_texts.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/shard_list.h"
#include "fovea/image/decode.h"
#include "fovea/io/file.h"
#include "fovea/io/tar.h"
#include "io/json.h"

namespace fovea::data::detail {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::vector<std::string> shard_paths(const std::vector<std::string>& sources) {
  std::vector<std::string> paths;
  for (const std::string& source : sources) {
    FOVEA_CHECK(names_shards(source), "[curate] ", source, " is no webdataset shard, expected inputs of one kind");
    for (const Shard& shard : list_shards(source))
      paths.push_back(fs::absolute(shard.path).lexically_normal().string());
  }
  return paths;
}

// What the list says of one shard.
struct ListedShard {
  std::string lines, damage;
  std::set<std::string> suffixes;
  bool is_compressed = false;
};

class ShardLister {
 public:
  ShardLister(const PairColumns& columns) : columns_(make_options(columns)), wanted_(columns_.text_suffixes()) {
    wanted_.insert(wanted_.end(), columns_.image_suffixes().begin(), columns_.image_suffixes().end());
  }

  ListedShard list(const std::string& path, std::size_t number) const {
    ListedShard listed;
    try {
      ShardReader reader(path, wanted_);
      for (std::int64_t at = 0; std::optional<ShardSample> sample = reader.next(); ++at) {
        Json row{{"shard", number}, {"sample", at}, {"caption", caption(*sample)}};
        add_picture(path, *sample, row, listed);
        for (const ShardMember& member : sample->members) listed.suffixes.insert(member.suffix);
        listed.lines += row.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
      }
    } catch (const Error& error) {
      listed.damage = error.what();
    }
    return listed;
  }

 private:
  static DatasetOptions make_options(const PairColumns& columns) {
    DatasetOptions options;
    options.image_column = columns.image;
    options.text_columns = {{columns.caption}};
    return options;
  }

  // The first one; "" when there is none.
  std::string caption(const ShardSample& sample) const {
    try {
      bool repaired = false;
      return columns_.texts(sample, repaired).front().text;
    } catch (const Error&) {
      return "";
    }
  }

  // The picture's place, and its size while its bytes are at hand.
  void add_picture(const std::string& path, const ShardSample& sample, Json& row, ListedShard& listed) const {
    const ShardMember* picture = sample.find(columns_.image_suffixes());
    row["image"] = "";
    if (picture == nullptr) return;
    listed.is_compressed |= picture->offset < 0;
    row["image"] = picture->offset < 0 ? concat(path, "#", picture->name)
                                       : io::member_path(path, picture->offset, picture->bytes, picture->name);
    try {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(picture->contents.data());
      const image::Size size = image::picture_size({bytes, picture->contents.size()}, picture->name);
      row["width"] = size.width;
      row["height"] = size.height;
    } catch (const Error&) {  // the pass over pictures finds that out, and counts it
    }
  }

  ShardColumns columns_;
  std::vector<std::string> wanted_;
};

// What is remembered beside the list.
struct ListState {
  std::string fingerprint;
  std::vector<std::string> suffixes;
  std::int64_t damaged = 0;
  bool is_compressed = false;
};

std::string fingerprint_of(const std::vector<std::string>& shards, const PairColumns& columns) {
  std::string text = columns.image + "\n" + columns.caption + "\n";
  for (const std::string& path : shards) {
    struct stat status {};
    FOVEA_CHECK(::stat(path.c_str(), &status) == 0, "[curate] cannot read ", path);
    text += concat(path, " ", status.st_size, " ", status.st_mtim.tv_sec, ".", status.st_mtim.tv_nsec, "\n");
  }
  const Hash128 hash = hash128(text.data(), text.size());
  return concat(hash.high, "-", hash.low);
}

ListState load_list_state(const std::string& path) {
  const Json json = io::detail::parse_json<Json>(io::read_file(path), "[curate] " + path);
  return {json.at("fingerprint"), json.at("suffixes"), json.at("damaged"), json.at("compressed")};
}

// Writes the list, once.
ListState list_pairs(const std::vector<std::string>& shards, const CurateOptions& options, const std::string& work) {
  const std::string state_path = work + "/shards.json";
  const std::string fingerprint = fingerprint_of(shards, options.columns);
  if (fs::exists(state_path)) {
    ListState state = load_list_state(state_path);
    FOVEA_CHECK(state.fingerprint == fingerprint, "[curate] ", work,
                " holds the work of a run with other shards\nhint: delete the folder, or name another one with --work");
    return state;
  }
  ListState state{fingerprint, {}, 0, false};
  std::set<std::string> suffixes;
  const ShardLister lister(options.columns);
  OutputFile list(work + "/pairs.jsonl");
  const auto group = static_cast<std::size_t>(2 * num_threads());
  for (std::size_t first = 0; first < shards.size(); first += group) {
    std::vector<ListedShard> listed(std::min(group, shards.size() - first));
    parallel_for(std::ssize(listed), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        listed[i] = lister.list(shards[first + i], first + i);
    });
    for (const ListedShard& shard : listed) {
      list.write(shard.lines.data(), shard.lines.size());
      suffixes.insert(shard.suffixes.begin(), shard.suffixes.end());
      state.is_compressed |= shard.is_compressed;
      if (shard.damage.empty()) continue;
      ++state.damaged;
      log::warning(shard.damage);
    }
  }
  list.close();
  state.suffixes.assign(suffixes.begin(), suffixes.end());
  io::write_file(state_path, Json{{"fingerprint", state.fingerprint},
                                  {"suffixes", state.suffixes},
                                  {"damaged", state.damaged},
                                  {"compressed", state.is_compressed}}
                                 .dump());
  return state;
}

// The samples that are left, from the kept rows of the list, shard after shard.
class KeptSamples {
 public:
  explicit KeptSamples(const std::string& path) : rows_(path) { advance(); }

  std::vector<std::int64_t> of(std::size_t shard) {
    std::vector<std::int64_t> samples;
    for (; shard_ == shard; advance()) samples.push_back(sample_);
    return samples;
  }

 private:
  void advance() {
    std::string line;
    shard_ = static_cast<std::size_t>(-1);
    if (!std::getline(rows_, line)) return;
    const Json row = Json::parse(line);
    shard_ = row.at("shard");
    sample_ = row.at("sample");
  }

  std::ifstream rows_;
  std::size_t shard_ = 0;
  std::int64_t sample_ = 0;
};

// A shard with all files of some samples of another one.
void write_shard(const std::string& from, const std::string& to, const std::vector<std::string>& suffixes,
                 const std::vector<std::int64_t>& kept) {
  io::TarWriter writer(to);
  ShardReader reader(from, suffixes);
  std::int64_t at = 0;
  for (const std::int64_t wanted : kept) {
    for (; at < wanted; ++at) reader.next(false);
    const std::optional<ShardSample> sample = reader.next();
    ++at;
    FOVEA_CHECK(sample, "[curate] ", from, " has fewer samples than it had");
    for (const ShardMember& member : sample->members) writer.add(member.name, member.contents);
  }
  writer.commit();
}

void check(const CurateOptions& options, const std::vector<std::string>& shards) {
  FOVEA_CHECK(options.split.empty() && options.language_column.empty() && options.query_column.empty(),
              "[curate] webdataset shards have neither splits nor columns that could be added");
  std::set<std::string> names;
  for (const std::string& path : shards) {
    const std::string name = fs::path(path).filename().string();
    FOVEA_CHECK(names.insert(name).second, "[curate] two shards are called ", name,
                ", expected different names: the output has one of each");
    std::error_code unknown;
    FOVEA_CHECK(!fs::equivalent(path, fs::path(options.output) / name, unknown), "[curate] ", path,
                " is both input and output");
  }
}

// Archives are written without compression.
std::string output_name(const std::string& shard) {
  const std::string name = fs::path(shard).filename().string();
  return name.substr(0, name.find(".tar")) + ".tar";
}

}  // namespace

CurateReport curate_shards(const CurateOptions& options) {
  const std::vector<std::string> shards = shard_paths(options.inputs);
  check(options, shards);
  const std::string work = options.work.empty() ? options.output + ".work" : options.work;
  fs::create_directories(work);
  const ListState list = list_pairs(shards, options, work);
  FOVEA_CHECK(!list.is_compressed || (!options.duplicates && options.tests.empty() && options.scorer == nullptr),
              "[curate] compressed shards can be read from their beginning only, not picture by picture, as finding "
              "copies and scoring do\nhint: decompress them");
  CurateOptions pairs = options;
  pairs.inputs = {work + "/pairs.jsonl"};
  pairs.output = work + "/kept.jsonl";
  pairs.dropped = options.dropped.empty() ? "" : work + "/dropped.jsonl";
  pairs.work = work + "/passes";
  pairs.keep_work = true;
  pairs.columns = PairColumns();
  CurateReport report = Curation(pairs).run();
  report.damaged_shards = list.damaged;
  fs::create_directories(options.output);
  KeptSamples kept(pairs.output);
  const auto group = static_cast<std::size_t>(2 * num_threads());
  for (std::size_t first = 0; first < shards.size(); first += group) {
    std::vector<std::vector<std::int64_t>> samples;
    for (std::size_t i = first; i < std::min(first + group, shards.size()); ++i) samples.push_back(kept.of(i));
    parallel_for(std::ssize(samples), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        const std::string& shard = shards[first + i];
        write_shard(shard, options.output + "/" + output_name(shard), list.suffixes, samples[i]);
      }
    });
  }
  if (!options.dropped.empty()) io::write_file(options.dropped, io::read_file(pairs.dropped));
  if (!options.keep_work) fs::remove_all(work);
  return report;
}

}  // namespace fovea::data::detail
