#include "fovea/io/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "fovea/io/file.h"
#include "io/elements.h"
#include "io/input.h"
#include "io/json.h"

namespace fovea::io {
namespace {

using detail::byte_count;
using detail::Input;
using Json = nlohmann::json;

constexpr std::int64_t length_bytes = 8;
constexpr std::int64_t max_header_bytes = 100'000'000;  // the reference implementation's limit
constexpr std::int64_t header_alignment = 8;
constexpr const char* kind = "safetensors";
constexpr const char* metadata_key = "__metadata__";

struct FileType {
  const char* name;
  std::int64_t bytes;  // of one element in the file
  DType dtype;         // in memory
};
// Those that are written come first: f32 is written as F32, not as F16, and u8 as U8, not as BOOL.
constexpr std::array file_types{FileType{"F32", 4, DType::f32},   FileType{"F64", 8, DType::f64},
                                FileType{"BF16", 2, DType::bf16}, FileType{"I32", 4, DType::i32},
                                FileType{"I64", 8, DType::i64},   FileType{"U8", 1, DType::u8},
                                FileType{"F16", 2, DType::f32},   FileType{"BOOL", 1, DType::u8}};

struct Entry {
  std::string name;
  FileType type{};
  Shape shape;
  std::int64_t begin = 0, end = 0;  // bytes from the start of the data
};

struct Header {
  std::vector<Entry> entries;
  Metadata metadata;
  std::int64_t data_begin = 0;  // byte in the file
};

std::string place_of(const Input& file, const std::string& tensor) {
  return concat(file.place(), ": tensor \"", tensor, "\"");
}

FileType parse_type(const Json& entry, const std::string& place) {
  const auto found = entry.find("dtype");
  FOVEA_CHECK(found != entry.end() && found->is_string(), place, " has no \"dtype\" text in the header");
  std::string known;
  for (const FileType& type : file_types) {
    if (*found == type.name) return type;
    known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  fail(place, " has element type ", found->dump(), ", expected one of ", known);
}

// A count in the header. The parser yields unsigned integers for all that is neither negative nor fractional.
std::int64_t parse_count(const Json& value, const std::string& what) {
  FOVEA_CHECK(value.is_number_unsigned() &&
                  value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
              what, " is ", value.dump(), ", expected a whole number from 0");
  return value.get<std::int64_t>();
}

Shape parse_shape(const Json& entry, const std::string& place) {
  const auto found = entry.find("shape");
  FOVEA_CHECK(found != entry.end() && found->is_array(), place, " has no \"shape\" list in the header");
  FOVEA_CHECK(found->size() <= Shape::max_rank, place, " has ", found->size(), " axes, expected at most ",
              Shape::max_rank);
  Shape shape;
  for (const Json& extent : *found) shape.push_back(parse_count(extent, place + ": an extent of \"shape\""));
  return shape;
}

Entry parse_entry(const Input& file, const std::string& name, const Json& json) {
  const std::string place = place_of(file, name);
  FOVEA_CHECK(json.is_object(), place, " is ", json.type_name(), " in the header, expected an object");
  Entry entry{name, parse_type(json, place), parse_shape(json, place), 0, 0};
  const auto offsets = json.find("data_offsets");
  FOVEA_CHECK(offsets != json.end() && offsets->is_array() && offsets->size() == 2, place,
              " has no \"data_offsets\" [begin, end] in the header");
  entry.begin = parse_count((*offsets)[0], place + ": data_offsets[0]");
  entry.end = parse_count((*offsets)[1], place + ": data_offsets[1]");
  FOVEA_CHECK(entry.begin <= entry.end, place, " ends at data byte ", entry.end, ", before it begins at ", entry.begin);
  const std::int64_t expected = byte_count(entry.shape, entry.type.bytes);
  FOVEA_CHECK(expected >= 0, place, ": shape ", entry.shape, " overflows");
  FOVEA_CHECK(entry.end - entry.begin == expected, place, " has ", entry.end - entry.begin, " bytes at data byte ",
              entry.begin, ", ", entry.type.name, " ", entry.shape, " needs ", expected);
  return entry;
}

Metadata parse_metadata(const Input& file, const Json& json) {
  FOVEA_CHECK(json.is_object(), file.place(), ": ", metadata_key, " is ", json.type_name(), ", expected an object");
  Metadata metadata;
  for (const auto& [key, value] : json.items()) {
    FOVEA_CHECK(value.is_string(), file.place(), ": ", metadata_key, ".", key, " is ", value.type_name(),
                ", expected text");
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// The tensors must cover the data from its first to its last byte, each byte once.
void check_tiling(const Input& file, Header& header) {
  const auto by_place = [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  };
  std::sort(header.entries.begin(), header.entries.end(), by_place);
  const std::int64_t data_bytes = file.size() - header.data_begin;
  std::int64_t next = 0;
  for (const Entry& entry : header.entries) {
    const std::string place = place_of(file, entry.name);
    FOVEA_CHECK(entry.begin == next, place, " begins at byte ", header.data_begin + entry.begin, ", expected ",
                header.data_begin + next,
                entry.begin < next ? ": it overlaps the one before" : ": bytes before it belong to none");
    // Compared in data bytes: a forged offset near 2^63 must not overflow by adding the header's length.
    FOVEA_CHECK(entry.end <= data_bytes, place, " needs ", entry.end, " data bytes, the file has ", data_bytes,
                " after byte ", header.data_begin, "\nhint: the file is cut short");
    next = entry.end;
  }
  FOVEA_CHECK(next == data_bytes, file.place(), ": ", data_bytes - next, " bytes from byte ", header.data_begin + next,
              " on belong to no tensor");
}

Header read_header(const Input& file) {
  const std::string& place = file.place();
  FOVEA_CHECK(file.size() >= length_bytes, place, " has ", file.size(), " bytes, expected at least ", length_bytes,
              "\nhint: this is not a safetensors file");
  std::uint64_t length = 0;
  file.read(0, &length, length_bytes);
  FOVEA_CHECK(length <= static_cast<std::uint64_t>(max_header_bytes), place, ": the header's length at byte 0 is ",
              length, ", expected at most ", max_header_bytes, "\nhint: this is not a safetensors file");
  const auto header_bytes = static_cast<std::int64_t>(length);
  FOVEA_CHECK(header_bytes <= file.size() - length_bytes, place, ": the header at byte ", length_bytes, " has ",
              header_bytes, " bytes, the file ends after ", file.size() - length_bytes,
              "\nhint: the file is cut short");
  const std::string text = file.read(length_bytes, header_bytes);
  FOVEA_CHECK(!text.empty() && text[0] == '{', place, ": the header at byte ", length_bytes, " does not begin with {");

  const Json json = detail::parse_json<Json>(text, place, static_cast<std::size_t>(length_bytes));
  Header header;
  header.data_begin = length_bytes + header_bytes;
  for (const auto& [name, value] : json.items()) {
    if (name == metadata_key) {
      header.metadata = parse_metadata(file, value);
    } else {
      header.entries.push_back(parse_entry(file, name, value));
    }
  }
  check_tiling(file, header);
  return header;
}

Tensor read_tensor(const Input& file, const Header& header, const Entry& entry) {
  return detail::read_elements(file, header.data_begin + entry.begin, entry.shape, entry.type.dtype, entry.type.bytes);
}

// Single precision to half, to the nearest, ties to even.
std::uint16_t narrow_to_half(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((word >> 16) & 0x8000u);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude == 0) return sign;
  if (magnitude >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
  // Halves are multiples of 2^-24; those from 2^-14 on have 11 significant bits.
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f 2^exponent, 1/2 <= f < 1
  const int last_bit = std::max(exponent - 11, -24);
  const auto multiple = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, -last_bit)));
  // Consecutive halves have consecutive bits, so a mantissa that was rounded up to 2048 carries into the exponent.
  const std::uint32_t bits = last_bit == -24 ? multiple : (static_cast<std::uint32_t>(last_bit + 24) << 10) + multiple;
  return static_cast<std::uint16_t>(sign | bits);
}

// The type a tensor has in the file.
const FileType& type_for_writing(DType dtype, FloatFormat floats) {
  if (dtype == DType::f32 && floats == FloatFormat::bf16) dtype = DType::bf16;
  const bool half = dtype == DType::f32 && floats == FloatFormat::f16;
  return *std::find_if(file_types.begin(), file_types.end(), [&](const FileType& type) {
    return half ? std::string_view(type.name) == "F16" : type.dtype == dtype;
  });
}

void write_elements(AtomicFile& file, const Tensor& tensor, FloatFormat floats) {
  if (tensor.dtype() == DType::f32 && floats == FloatFormat::f16) {
    std::vector<std::uint16_t> halves(static_cast<std::size_t>(tensor.numel()));
    std::transform(tensor.data<float>(), tensor.data<float>() + tensor.numel(), halves.begin(), narrow_to_half);
    file.write(halves.data(), halves.size() * sizeof halves[0]);
    return;
  }
  const Tensor stored = tensor.dtype() == DType::f32 && floats == FloatFormat::bf16 ? tensor.to(DType::bf16) : tensor;
  file.write(stored.raw(), static_cast<std::size_t>(stored.bytes()));
}

// The tensors in the order of their data: with wider elements first, no tensor needs padding to be aligned.
std::vector<const TensorMap::value_type*> data_order(const TensorMap& tensors, FloatFormat floats) {
  std::vector<const TensorMap::value_type*> order;
  for (const auto& item : tensors) order.push_back(&item);
  const auto width = [&](const auto* item) { return type_for_writing(item->second.dtype(), floats).bytes; };
  std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return width(a) > width(b); });
  return order;
}

std::string make_header(const std::vector<const TensorMap::value_type*>& order, const Metadata& metadata,
                        FloatFormat floats) {
  Json json = Json::object();
  if (!metadata.empty()) json[metadata_key] = metadata;
  std::int64_t offset = 0;
  for (const auto* item : order) {
    const auto& [name, tensor] = *item;
    const FileType& type = type_for_writing(tensor.dtype(), floats);
    const std::int64_t bytes = tensor.numel() * type.bytes;
    json[name] = {{"dtype", type.name},
                  {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
                  {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = json.dump();
  while (text.size() % header_alignment != 0) text += ' ';
  return text;
}

TensorMap read_tensors(const Input& file) {
  const Header header = read_header(file);
  TensorMap tensors;
  for (const Entry& entry : header.entries) tensors.emplace(entry.name, read_tensor(file, header, entry));
  return tensors;
}

}  // namespace

TensorMap load_safetensors(const std::string& path) { return read_tensors(Input(kind, path)); }

TensorMap parse_safetensors(std::string_view contents, std::string_view name) {
  return read_tensors(Input(kind, name, contents));
}

Metadata load_safetensors_metadata(const std::string& path) { return read_header(Input(kind, path)).metadata; }

TensorMap load_sharded_safetensors(const std::string& index_path) {
  const std::string place = "[safetensors] " + index_path;
  const Json json = detail::parse_json<Json>(read_file(index_path), place);
  FOVEA_CHECK(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), place,
              " has no object \"weight_map\"");
  std::map<std::string, TensorMap> files;
  TensorMap tensors;
  for (const auto& [name, file] : json["weight_map"].items()) {
    FOVEA_CHECK(file.is_string() && file.get<std::string>().find('/') == std::string::npos, place, ": weight_map.",
                name, " is ", file.dump(), ", expected the name of a file beside the index");
    const auto shard = file.get<std::string>();
    if (!files.contains(shard))
      files.emplace(shard, load_safetensors(index_path.substr(0, index_path.rfind('/') + 1) + shard));
    auto entry = files.at(shard).extract(name);
    FOVEA_CHECK(!entry.empty(), place, ": weight_map has \"", name, "\" in ", shard, ", which does not hold it");
    tensors.insert(std::move(entry));
  }
  for (const auto& [shard, rest] : files) {
    FOVEA_CHECK(rest.empty(), place, ": ", shard, " holds \"", rest.begin()->first,
                "\", which weight_map does not name");
  }
  return tensors;
}

void save_safetensors(const std::string& path, const TensorMap& tensors, const Metadata& metadata, FloatFormat floats) {
  for (const auto& [name, tensor] : tensors) {
    FOVEA_CHECK(tensor.defined(), "[safetensors] ", path, ": tensor \"", name, "\" is undefined");
    FOVEA_CHECK(name != metadata_key, "[safetensors] ", path, ": the name ", metadata_key, " is reserved");
  }
  const auto order = data_order(tensors, floats);
  std::string header;
  try {
    header = make_header(order, metadata, floats);
  } catch (const Json::exception& error) {
    fail("[safetensors] ", path, ": a name or the metadata is not UTF-8: ", error.what());
  }
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(&length, length_bytes);
  file.write(header);
  for (const auto* item : order) write_elements(file, item->second, floats);
  file.commit();
}

}  // namespace fovea::io
