#include "fovea/io/torch_file.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "fovea/core/error.h"
#include "io/elements.h"
#include "io/input.h"
#include "io/pickle.h"
#include "io/zip.h"

namespace fovea::io {
namespace {

using detail::Input;
using detail::Pickle;
using detail::PickleValue;
using detail::TorchStorage;
using detail::TorchView;
using Kind = PickleValue::Kind;

constexpr const char* kind = "torch";
constexpr const char* pickle_entry = "data.pkl";
constexpr std::int64_t max_pickle_bytes = std::int64_t{1} << 28;
constexpr int max_depth = 64;
constexpr std::int64_t max_name_bytes = std::int64_t{1}
                                        << 28;  // of all names; a nested list can hold itself many times
constexpr std::int64_t max_copies = 16;         // bytes copied out of views, in multiples of the file's
constexpr std::array state_dict_keys{"state_dict", "model_state_dict", "model", "module", "net"};

std::string quoted_command(const std::string& body) { return "\nhint: in Python: import torch; " + body; }

// What is not an archive of torch.save's present format, by its first bytes.
void check_magic(const Input& input) {
  const std::string magic = input.read(0, std::min<std::int64_t>(input.size(), 4));
  if (magic.starts_with("PK\3\4")) return;
  if (magic.starts_with("\x80"))
    fail(input.place(), " is a pickle without an archive, as PyTorch wrote before 1.6",
         quoted_command("torch.save(torch.load(\"" + input.name() + "\", map_location=\"cpu\"), \"converted.pt\")"));
  fail(input.place(), " does not begin as a ZIP archive at byte 0, expected a file of torch.save");
}

class Archive {
 public:
  explicit Archive(const Input& input) : input_(input) {
    check_magic(input);
    directory_ = detail::read_zip_directory(input);
    find_prefix();
    refuse_torch_script();
    check_byte_order();
    const auto found = directory_.find(prefix_ + pickle_entry);
    FOVEA_CHECK(found->second.bytes <= max_pickle_bytes, input.place(), ": ", found->first, " has ",
                found->second.bytes, " bytes, expected at most ", max_pickle_bytes);
    pickle_bytes_ = read(*found);
    pickle_ = detail::parse_pickle(pickle_bytes_, input.place() + ": " + found->first);
  }

  const Input& input() const { return input_; }
  const Pickle& pickle() const { return pickle_; }

  Tensor tensor(const TorchView& view, const std::string& name) {
    const Tensor elements = storage(pickle_.storages[view.storage], name);
    if (view.shape.numel() == 0) return Tensor(view.shape, elements.dtype());
    return is_contiguous(view) ? elements.segment(view.offset, view.shape) : copy(elements, view, name);
  }

 private:
  // The archive's only folder, named after the file that was first written.
  void find_prefix() {
    for (const auto& [name, entry] : directory_) {
      const std::size_t slash = name.find('/');
      if (slash != std::string::npos && name.substr(slash + 1) == pickle_entry) {
        prefix_ = name.substr(0, slash + 1);
        return;
      }
    }
    fail(input_.place(), " has no entry <folder>/", pickle_entry, ", expected a file of torch.save");
  }

  void refuse_torch_script() const {
    const auto code = directory_.lower_bound(prefix_ + "code/");
    const bool has_code = code != directory_.end() && code->first.starts_with(prefix_ + "code/");
    FOVEA_CHECK(!has_code && !directory_.contains(prefix_ + "constants.pkl"), input_.place(),
                " is a TorchScript archive, a program with its weights, expected a state dict",
                quoted_command("torch.save(torch.jit.load(\"" + input_.name() +
                               "\", map_location=\"cpu\").state_dict(), \"state_dict.pt\")"));
  }

  void check_byte_order() const {
    const auto found = directory_.find(prefix_ + "byteorder");
    if (found == directory_.end()) return;  // before PyTorch 2.1
    constexpr std::int64_t longest = 16;
    FOVEA_CHECK(found->second.bytes <= longest && read(*found) == "little", input_.place(), ": entry ", found->first,
                " does not say \"little\": elements of another byte order are not read");
  }

  std::string read(const detail::ZipDirectory::value_type& item) const {
    return input_.read(detail::zip_data_begin(input_, item.first, item.second), item.second.bytes);
  }

  // The elements of a storage, read once.
  Tensor storage(const TorchStorage& wanted, const std::string& name) {
    const std::string entry_name = concat(prefix_, "data/", wanted.key);
    const auto loaded = storages_.find(entry_name);
    if (loaded != storages_.end()) {
      FOVEA_CHECK(loaded->second.type == wanted.type && loaded->second.elements.numel() == wanted.count, input_.place(),
                  ": tensor \"", name, "\" takes entry ", entry_name, " for a torch.", wanted.type, " of ",
                  wanted.count, " elements, another tensor for a torch.", loaded->second.type, " of ",
                  loaded->second.elements.numel());
      return loaded->second.elements;
    }
    const auto found = directory_.find(entry_name);
    FOVEA_CHECK(found != directory_.end(), input_.place(), ": tensor \"", name, "\" needs the entry ", entry_name,
                ", which the archive lacks");
    const std::int64_t expected = detail::byte_count({wanted.count}, wanted.file_bytes);
    FOVEA_CHECK(found->second.bytes == expected, input_.place(), ": entry ", entry_name, " has ", found->second.bytes,
                " bytes, tensor \"", name, "\" needs ", wanted.count, " elements of a torch.", wanted.type);
    const std::int64_t begin = detail::zip_data_begin(input_, entry_name, found->second);
    const Tensor elements = detail::read_elements(input_, begin, {wanted.count}, wanted.dtype, wanted.file_bytes);
    storages_.emplace(entry_name, Loaded{wanted.type, elements});
    return elements;
  }

  static bool is_contiguous(const TorchView& view) {
    std::int64_t expected = 1;
    for (int axis = view.shape.rank() - 1; axis >= 0; --axis) {
      if (view.shape[axis] != 1 && view.strides[axis] != expected) return false;
      expected *= view.shape[axis];
    }
    return true;
  }

  Tensor copy(const Tensor& elements, const TorchView& view, const std::string& name) {
    copied_bytes_ += view.shape.numel() * size_of(elements.dtype());
    FOVEA_CHECK(copied_bytes_ / max_copies <= input_.size(), input_.place(), ": tensor \"", name,
                "\": the views of shared memory are more than ", max_copies, " times as large as the file");
    return detail::gather(elements, view.offset, view.shape, view.strides);
  }

  struct Loaded {
    const char* type;
    Tensor elements;
  };

  const Input& input_;
  detail::ZipDirectory directory_;
  std::string prefix_, pickle_bytes_;
  Pickle pickle_;
  std::map<std::string, Loaded> storages_;
  std::int64_t copied_bytes_ = 0;
};

// Tensors of nested containers by the names of their places.
class Collector {
 public:
  explicit Collector(Archive& archive) : archive_(archive) {}

  TensorMap collect(std::uint32_t root) {
    visit(root, "", 0);
    return std::move(tensors_);
  }

 private:
  void visit(std::uint32_t ref, const std::string& name, int depth) {
    const PickleValue& value = archive_.pickle().values[ref];
    const std::string& place = archive_.input().place();
    FOVEA_CHECK(depth <= max_depth, place, ": ", name, " is nested deeper than ", max_depth, " levels");
    name_bytes_ += static_cast<std::int64_t>(sizeof name + name.size());
    FOVEA_CHECK(name_bytes_ <= max_name_bytes, place, ": the names of nested values have more than ", max_name_bytes,
                " bytes, at ", name.substr(0, 100));
    if (value.kind == Kind::tensor) {
      const std::string& own = name.empty() && depth == 0 ? alone_ : name;
      const TorchView& view = archive_.pickle().views[static_cast<std::size_t>(value.integer)];
      FOVEA_CHECK(tensors_.emplace(own, archive_.tensor(view, own)).second, place, ": two tensors are named \"", own,
                  "\"");
    } else if (value.kind == Kind::dict) {
      for (std::size_t i = 0; i < value.items.size(); i += 2)
        visit(value.items[i + 1], join(name, key_of(value.items[i]), depth), depth + 1);
    } else if (value.kind == Kind::list || value.kind == Kind::tuple) {
      for (std::size_t i = 0; i < value.items.size(); ++i)
        visit(value.items[i], join(name, std::to_string(i), depth), depth + 1);
    }
  }

  static std::string join(const std::string& name, const std::string& key, int depth) {
    return depth == 0 ? key : name + "." + key;
  }

  std::string key_of(std::uint32_t ref) const {
    const PickleValue& key = archive_.pickle().values[ref];
    if (key.kind == Kind::text) return std::string(key.text);
    if (key.kind == Kind::integer) return std::to_string(key.integer);
    fail(archive_.input().place(), ": a dict has a key that is neither text nor a whole number");
  }

  const std::string alone_ = "tensor";
  Archive& archive_;
  TensorMap tensors_;
  std::int64_t name_bytes_ = 0;
};

// The dict that holds the model's tensors.
std::uint32_t find_state_dict(const Archive& archive) {
  const Pickle& pickle = archive.pickle();
  const auto is_tensor = [&](std::uint32_t ref) { return pickle.values[ref].kind == Kind::tensor; };
  const PickleValue& root = pickle.values[pickle.root];
  FOVEA_CHECK(root.kind == Kind::dict, archive.input().place(), " holds no dict, expected a state dict");
  std::string keys;
  for (std::size_t i = 0; i < root.items.size(); i += 2) {
    if (is_tensor(root.items[i + 1])) return pickle.root;
    const PickleValue& key = pickle.values[root.items[i]];
    if (key.kind == Kind::text && keys.size() < 1000) keys += concat(keys.empty() ? "" : ", ", key.text);
  }
  for (const std::string_view wanted : state_dict_keys) {
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue &key = pickle.values[root.items[i]], &value = pickle.values[root.items[i + 1]];
      if (key.kind == Kind::text && key.text == wanted && value.kind == Kind::dict) return root.items[i + 1];
    }
  }
  fail(archive.input().place(), " holds no state dict: no value of its dict is a tensor, and none of its keys is the ",
       "usual one\nhint: its keys are ", keys.empty() ? "none" : keys);
}

TensorMap read_all(const Input& input) {
  Archive archive(input);
  return Collector(archive).collect(archive.pickle().root);
}

}  // namespace

TensorMap load_torch(const std::string& path) { return read_all(Input(kind, path)); }

TensorMap parse_torch(std::string_view contents, std::string_view name) {
  return read_all(Input(kind, name, contents));
}

TensorMap load_torch_state_dict(const std::string& path) {
  const Input input(kind, path);
  Archive archive(input);
  return Collector(archive).collect(find_state_dict(archive));
}

}  // namespace fovea::io
