#include "fovea/eval/search_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "fovea/core/rng.h"
#include "fovea/image/decode.h"
#include "fovea/image/preprocessor.h"
#include "fovea/io/safetensors.h"
#include "fovea/nn/visit.h"
#include "fovea/tensor/factory.h"

namespace fovea::eval {
namespace {

constexpr const char* format = "fovea-index/1";

std::uint64_t hash_bytes(std::uint64_t hash, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  for (; bytes >= sizeof(std::uint64_t); bytes -= sizeof(std::uint64_t), at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    hash = mix(hash, word);
  }
  return mix(hash, hash_name({at, bytes}));
}

// Size and time of a file; zeros when it cannot be found, which reading it will tell.
IndexedPicture describe(const std::string& root, std::string path) {
  struct stat info {};
  const std::string file = (std::filesystem::path(root) / path).string();
  if (::stat(file.c_str(), &info) != 0) return {std::move(path), 0, 0};
  constexpr std::int64_t nanoseconds = 1'000'000'000;
  return {std::move(path), info.st_size, info.st_mtim.tv_sec * nanoseconds + info.st_mtim.tv_nsec};
}

std::vector<IndexedPicture> describe_all(const std::string& root, std::vector<std::string> paths) {
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  std::vector<IndexedPicture> pictures;
  for (std::string& path : paths) pictures.push_back(describe(root, std::move(path)));
  return pictures;
}

const Tensor& part(const io::TensorMap& tensors, const std::string& name, DType dtype, const std::string& path) {
  const auto found = tensors.find(name);
  FOVEA_CHECK(found != tensors.end() && found->second.dtype() == dtype, "[index] ", path, " has no ", dtype,
              " tensor \"", name, "\"");
  return found->second;
}

std::vector<std::string> split_paths(const Tensor& bytes) {
  std::vector<std::string> paths;
  const auto* at = reinterpret_cast<const char*>(bytes.data<std::uint8_t>());
  for (const char* const end = at + bytes.numel(); at != end;) {
    const char* const stop = std::find(at, end, '\0');
    paths.emplace_back(at, stop);
    at = stop == end ? end : stop + 1;
  }
  return paths;
}

}  // namespace

std::string embedding_fingerprint(const models::ClipModel& model, const image::TransformConfig& transform) {
  std::uint64_t hash = hash_name(image::to_preprocessor_json(transform));
  for (const nn::ParamEntry& entry : nn::collect(model)) {
    const Tensor value = entry.value();
    hash = mix(hash, hash_name(concat(entry.path, value.dtype(), value.shape())));
    hash = hash_bytes(hash, value.raw(), static_cast<std::size_t>(value.bytes()));
  }
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[hash >> shift & 15];
  return digits;
}

IndexUpdate SearchIndex::update(const ClipEncoder& encoder, const std::string& new_root,
                                std::vector<std::string> paths) {
  const std::string new_fingerprint = embedding_fingerprint(encoder.model, encoder.transform);
  std::map<std::string, std::size_t> old_row;
  if (new_root == root && new_fingerprint == fingerprint) {
    for (std::size_t i = 0; i < pictures.size(); ++i) old_row[pictures[i].path] = i;
  }
  const std::vector<IndexedPicture> wanted = describe_all(new_root, std::move(paths));
  std::vector<std::int64_t> rows_from(wanted.size(), -1);  // in the old rows; -1: to be embedded
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto found = old_row.find(wanted[i].path);
    if (found != old_row.end() && pictures[found->second] == wanted[i]) {
      rows_from[i] = static_cast<std::int64_t>(found->second);
    } else {
      fresh.push_back(i);
    }
  }
  const EmbeddedPictures embedded =
      embed_pictures(encoder, static_cast<std::int64_t>(fresh.size()), [&](std::int64_t i) {
        const std::string& path = wanted[fresh[static_cast<std::size_t>(i)]].path;
        return image::read_image((std::filesystem::path(new_root) / path).string(), {.alpha = encoder.transform.alpha});
      });
  std::vector<std::int64_t> embedded_row(wanted.size(), -1);
  for (std::size_t r = 0; r < embedded.kept.size(); ++r)
    embedded_row[fresh[static_cast<std::size_t>(embedded.kept[r])]] = static_cast<std::int64_t>(r);

  IndexUpdate done;
  done.embedded = static_cast<std::int64_t>(embedded.kept.size());
  done.kept = static_cast<std::int64_t>(wanted.size() - fresh.size());
  done.dropped = std::ssize(pictures) - done.kept;
  for (const LeftOut& picture : embedded.left_out) done.left_out.push_back(picture.reason);
  FOVEA_CHECK(done.kept + done.embedded > 0, "[index] none of the ", wanted.size(), " pictures could be read",
              done.left_out.empty() ? "" : "; the first: " + done.left_out.front());
  Tensor new_rows({done.kept + done.embedded, encoder.model.config.embed});
  std::vector<IndexedPicture> new_pictures;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (rows_from[i] < 0 && embedded_row[i] < 0) continue;
    const auto to = std::ssize(new_pictures);
    new_rows.rows(to, to + 1)
        .copy_from(rows_from[i] >= 0 ? rows.rows(rows_from[i], rows_from[i] + 1)
                                     : embedded.rows.rows(embedded_row[i], embedded_row[i] + 1));
    new_pictures.push_back(wanted[i]);
  }
  root = new_root;
  fingerprint = new_fingerprint;
  pictures = std::move(new_pictures);
  rows = std::move(new_rows);
  return done;
}

void SearchIndex::save(const std::string& path) const {
  std::string names;
  Tensor files({std::ssize(pictures), 2}, DType::i64);
  auto* numbers = files.mutable_data<std::int64_t>();
  for (const IndexedPicture& picture : pictures) {
    names += picture.path + '\0';
    *numbers++ = picture.bytes;
    *numbers++ = picture.changed;
  }
  Tensor bytes({std::ssize(names)}, DType::u8);
  std::memcpy(bytes.mutable_raw(), names.data(), names.size());
  io::save_safetensors(path, {{"embeddings", rows}, {"paths", bytes}, {"files", files}},
                       {{"format", format}, {"root", root}, {"model", model_folder}, {"fingerprint", fingerprint}});
}

SearchIndex SearchIndex::load(const std::string& path) {
  io::Metadata metadata = io::load_safetensors_metadata(path);
  FOVEA_CHECK(metadata["format"] == format, "[index] ", path, " is not a search index",
              "\nhint: `search --model DIR --data PICTURES --index FILE` makes one");
  const io::TensorMap tensors = io::load_safetensors(path);
  SearchIndex index{
      metadata["root"], metadata["model"], metadata["fingerprint"], {}, part(tensors, "embeddings", DType::f32, path)};
  const Tensor& files = part(tensors, "files", DType::i64, path);
  const std::vector<std::string> paths = split_paths(part(tensors, "paths", DType::u8, path));
  const std::int64_t count = std::ssize(paths);
  FOVEA_CHECK(count > 0 && index.rows.rank() == 2 && index.rows.dim(0) == count && files.shape() == Shape({count, 2}),
              "[index] ", path, " has ", count, " paths, embeddings of ", index.rows.shape(), " and files of ",
              files.shape());
  const auto* numbers = files.data<std::int64_t>();
  for (std::size_t i = 0; i < paths.size(); ++i)
    index.pictures.push_back({paths[i], numbers[2 * i], numbers[2 * i + 1]});
  return index;
}

}  // namespace fovea::eval
