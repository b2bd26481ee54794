// Pickles as torch.save writes them (protocol 2; cpython/Lib/pickletools.py lists the opcodes), read without running
// anything: a closed list of opcodes and classes, and an error for all others. Private to the sources.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/dtype.h"
#include "fovea/core/shape.h"

namespace fovea::io::detail {

// Elements in memory, as the persistent id of a pickle names them.
struct TorchStorage {
  std::string_view key;        // the archive's entry data/<key> holds the elements
  const char* type = nullptr;  // "FloatStorage", for errors
  DType dtype = DType::f32;
  std::int64_t file_bytes = 0;  // of an element in the file: 2 for halves, which are widened to f32
  std::int64_t count = 0;
};

// A view of a storage, in elements.
struct TorchView {
  std::size_t storage = 0;  // index into Pickle::storages
  std::int64_t offset = 0;
  Shape shape, strides;
};

// One value of a pickle. Values refer to each other by their index, and may do so in a circle.
struct PickleValue {
  enum class Kind : std::uint8_t { none, boolean, integer, number, text, tuple, list, dict, global, storage, tensor };
  Kind kind = Kind::none;
  std::int64_t integer = 0;            // also of booleans; index of globals, storages and tensors
  std::string_view text;               // UTF-8
  std::vector<std::uint32_t> items{};  // of dicts: key, value, key, value
};

struct Pickle {
  std::vector<PickleValue> values;
  std::vector<TorchStorage> storages;
  std::vector<TorchView> views;
  std::uint32_t root = 0;
};

// Reads a pickle; the result refers to its bytes. Throws Error opening with `place` and naming the byte for malformed
// bytes and for any opcode, class or call that is not in the list. Memory stays proportional to the pickle's bytes.
Pickle parse_pickle(std::string_view bytes, const std::string& place);

}  // namespace fovea::io::detail
