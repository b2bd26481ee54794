// Files of torch.save, and archives and pickles made by hand that lie.
#include "fovea/io/torch_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::io {
namespace {

using tests::error_of;

std::string golden(const std::string& name) { return FOVEA_SOURCE_DIR "/tests/golden/torch/" + name; }

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks \"" << part << "\"";
}

void expect_same(const TensorMap& ours, const TensorMap& reference) {
  ASSERT_EQ(ours.size(), reference.size());
  for (const auto& [name, tensor] : reference) {
    ASSERT_TRUE(ours.contains(name)) << name;
    EXPECT_EQ(ours.at(name).dtype(), tensor.dtype()) << name;
    ASSERT_EQ(ours.at(name).shape(), tensor.shape()) << name;
    EXPECT_EQ(count_different_bits(ours.at(name), tensor), 0) << name;
  }
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
void put_all(std::string& out, std::initializer_list<T> values) {
  for (const T value : values) put(out, value);
}

// A ZIP archive of stored entries.
struct Zip {
  struct Entry {
    std::string name, bytes;
    std::uint16_t method = 0;
  };
  std::vector<Entry> entries;
  bool zip64 = false;  // sizes and offsets in ZIP64 fields

  std::string file() const {
    std::string out, directory;
    for (const Entry& entry : entries) {
      const std::uint64_t begin = out.size();
      const auto size = static_cast<std::uint32_t>(entry.bytes.size());
      put<std::uint32_t>(out, 0x04034b50);
      put_all<std::uint16_t>(out, {20, 0, entry.method, 0, 0});
      put_all<std::uint32_t>(out, {0, size, size});
      put(out, static_cast<std::uint16_t>(entry.name.size()));
      put<std::uint16_t>(out, 0);
      out += entry.name + entry.bytes;

      put<std::uint32_t>(directory, 0x02014b50);
      put_all<std::uint16_t>(directory, {20, 20, 0, entry.method, 0, 0});
      put<std::uint32_t>(directory, 0);
      for (int i = 0; i < 2; ++i) put(directory, zip64 ? 0xffffffffu : size);
      put(directory, static_cast<std::uint16_t>(entry.name.size()));
      const std::uint16_t extra_bytes = zip64 ? 28 : 0;
      put_all<std::uint16_t>(directory, {extra_bytes, 0, 0, 0, 0, 0});
      put(directory, zip64 ? 0xffffffffu : static_cast<std::uint32_t>(begin));
      directory += entry.name;
      if (zip64) {
        put_all<std::uint16_t>(directory, {1, 24});
        put_all<std::uint64_t>(directory, {size, size, begin});
      }
    }
    const std::uint64_t begin = out.size(), bytes = directory.size(), end64 = begin + bytes;
    out += directory;
    if (zip64) {
      put_all<std::uint32_t>(out, {0x06064b50, 44, 0, 0, 0, 0});
      put_all<std::uint64_t>(out, {entries.size(), entries.size(), bytes, begin});
      put_all<std::uint32_t>(out, {0x07064b50, 0});
      put(out, end64);
      put<std::uint32_t>(out, 1);
    }
    put_all<std::uint32_t>(out, {0x06054b50, 0});
    for (int i = 0; i < 2; ++i) put(out, static_cast<std::uint16_t>(entries.size()));
    put(out, zip64 ? 0xffffffffu : static_cast<std::uint32_t>(bytes));
    put(out, zip64 ? 0xffffffffu : static_cast<std::uint32_t>(begin));
    put<std::uint16_t>(out, 0);
    return out;
  }
};

// Pieces of pickles.
const std::string start = "\x80\x02";
std::string text(const std::string& content) {
  std::string out = "X";
  put(out, static_cast<std::uint32_t>(content.size()));
  return out + content;
}
std::string number(std::int32_t value) {
  std::string out = "J";
  put(out, value);
  return out;
}
std::string tuple(const std::vector<std::int32_t>& values) {
  std::string out = "(";
  for (const std::int32_t value : values) out += number(value);
  return out + "t";
}
std::string storage(const std::string& type, const std::string& key, std::int32_t count) {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + number(count) + "tQ";
}
std::string tensor(const std::string& from, std::int32_t offset, const std::vector<std::int32_t>& shape,
                   const std::vector<std::int32_t>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + from + number(offset) + tuple(shape) + tuple(strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}
const std::string twelve(48, '\0');

// An archive with this pickle and a storage "0" of 12 floats.
std::string archive(const std::string& pickle) { return Zip{{{"a/data.pkl", pickle}, {"a/data/0", twelve}}}.file(); }
std::string pickle_error(const std::string& pickle) {
  return error_of([&] { parse_torch(archive(pickle)); });
}
// As a value of a dict.
std::string value_error(const std::string& value) { return pickle_error(start + "}" + text("x") + value + "s."); }
std::string view_error(std::int32_t offset, const std::vector<std::int32_t>& shape,
                       const std::vector<std::int32_t>& strides) {
  return value_error(tensor(storage("FloatStorage", "0", 12), offset, shape, strides));
}

TEST(TorchFile, ReadsEveryTypeViewAndContainer) {
  const TensorMap tensors = load_torch(golden("types.pt"));
  expect_same(tensors, load_safetensors(golden("types.safetensors")));
  EXPECT_TRUE(tensors.at("views.base").shares_storage(tensors.at("views.rows")));
  EXPECT_FALSE(tensors.at("views.base").shares_storage(tensors.at("views.strided")));
  expect_same(load_torch(golden("alone.pt")), {{"tensor", from_values<float>({2}, {1, 2})}});
}

TEST(TorchFile, FindsTheStateDictOfACheckpoint) {
  const TensorMap saved = load_torch_state_dict(golden("state_dict.pt"));
  EXPECT_EQ(saved.size(), 7u);
  EXPECT_EQ(saved.at("0.weight").shape(), (Shape{2, 3}));
  EXPECT_EQ(saved.at("1.num_batches_tracked").dtype(), DType::i64);
  expect_same(load_torch_state_dict(golden("checkpoint.pt")), saved);
  expect_same(load_torch(golden("state_dict.pt")), saved);
  const TensorMap all = load_torch(golden("checkpoint.pt"));
  EXPECT_EQ(all.count("state_dict.0.weight"), 1u);
  EXPECT_EQ(all.count("optimizer.state.0.exp_avg"), 1u);
  expect_contains(error_of([] { load_torch_state_dict(golden("alone.pt")); }), "holds no dict");
  const tests::TempFolder folder;
  const std::string path = folder.write("x.pt", archive(start + "}" + text("lr") + "K\x01s."));
  expect_contains(error_of([&] { load_torch_state_dict(path); }), "its keys are lr");
}

TEST(TorchFile, RefusesOtherFormatsWithTheCommandThatConverts) {
  const auto refusal = [](const std::string& name) { return error_of([&] { load_torch(golden(name)); }); };
  expect_contains(refusal("legacy.pt"), "as PyTorch wrote before 1.6");
  expect_contains(refusal("legacy.pt"), "torch.save(torch.load(\"" + golden("legacy.pt"));
  expect_contains(refusal("script.pt"), "is a TorchScript archive");
  expect_contains(refusal("script.pt"), "torch.jit.load(\"" + golden("script.pt"));
  expect_contains(refusal("module.pt"), "byte 2 of the pickle: class torch.nn.modules.linear.Linear is not read");
  expect_contains(refusal("module.pt"), "torch.save(model.state_dict(), path)");
  expect_contains(refusal("protocol4.pt"), "pickle protocol 4, expected 2");
  expect_contains(refusal("int16.pt"), "class torch.ShortStorage is not read");
  expect_contains(refusal("expanded.pt"), "shape (1000,), strides (0,) and offset 0 repeats elements");
  expect_contains(refusal("missing.pt"), "missing.pt: No such file");
  expect_contains(error_of([] { load_torch(FOVEA_SOURCE_DIR); }), "is not a regular file");
  expect_contains(error_of([] { load_torch(golden("types.safetensors")); }), "does not begin as a ZIP archive");
}

TEST(TorchFile, ReadsZip64) {
  Zip zip{{{"a/data.pkl", start + tensor(storage("FloatStorage", "0", 12), 2, {2}, {1}) + "."}, {"a/data/0", twelve}}};
  zip.zip64 = true;
  expect_same(parse_torch(zip.file()), {{"tensor", zeros({2})}});
}

TEST(TorchFile, RefusesBadArchives) {
  const auto refusal = [](const Zip& zip) { return error_of([&] { parse_torch(zip.file(), "x.pt"); }); };
  const Zip::Entry pickle{"a/data.pkl", start + "N."};
  EXPECT_EQ(refusal({{pickle}}), "");
  expect_contains(refusal({{{"data.pkl", "N."}}}), "[torch] x.pt has no entry <folder>/data.pkl");
  expect_contains(refusal({{{"a/data.pkl", "N.", 8}}}), "entry a/data.pkl is compressed or encrypted");
  expect_contains(refusal({{pickle, pickle}}), "entry a/data.pkl occurs twice");
  expect_contains(refusal({{pickle, {"a/byteorder", "big"}}}), "entry a/byteorder does not say \"little\"");
  expect_contains(refusal({{pickle, {"a/constants.pkl", ""}}}), "is a TorchScript archive");
  expect_contains(refusal({{pickle, {"a/code/x.py", ""}}}), "is a TorchScript archive");
  const Zip lacking{{{"a/data.pkl", start + tensor(storage("FloatStorage", "0", 1), 0, {1}, {1}) + "."}}};
  expect_contains(refusal(lacking), "tensor \"tensor\" needs the entry a/data/0, which the archive lacks");
}

TEST(TorchFile, RefusesEntriesThatOverlap) {
  Zip zip{{{"a/data.pkl", start + "N."}, {"a/data/0", twelve}, {"a/data/1", twelve}}};
  std::string file = zip.file();
  // Both storages claim the whole file: as many bytes as the archive does not have.
  for (std::size_t at = file.find("PK\1\2"); at != std::string::npos; at = file.find("PK\1\2", at + 1)) {
    const auto size = static_cast<std::uint32_t>(file.size());
    std::memcpy(file.data() + at + 20, &size, 4);
    std::memcpy(file.data() + at + 24, &size, 4);
  }
  expect_contains(error_of([&] { parse_torch(file); }), "does not fit the file beside the others");
}

TEST(TorchFile, EveryTruncationAndEveryByteIsSafe) {
  const std::string whole = read_file(golden("types.pt"));
  for (std::size_t length = 0; length < whole.size(); length += 7)
    EXPECT_NE(error_of([&] { parse_torch(std::string_view(whole).substr(0, length)); }), "") << length;
  for (std::size_t at = 0; at < whole.size(); ++at) {  // any result but a crash
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    error_of([&] { parse_torch(changed); });
  }
}

TEST(TorchFile, RefusesOpcodesAndClassesOutsideItsList) {
  expect_contains(pickle_error(start + "cos\nsystem\n(" + text("true") + "tR."),
                  "byte 2 of the pickle: class os.system");
  expect_contains(pickle_error(start + "c__builtin__\neval\n."), "class __builtin__.eval is not read");
  expect_contains(pickle_error(start + "c__builtin__\neval"), "a line has no end");
  expect_contains(pickle_error(start + ")\x81."), "byte 3 of the pickle: opcode 129 (NEWOBJ) is not read");
  expect_contains(pickle_error(start + "(i."), "opcode 105 (INST)");
  expect_contains(pickle_error(start + "\x93."), "opcode 147 (STACK_GLOBAL)");
  expect_contains(pickle_error(std::string("\x80\x05.", 3)), "pickle protocol 5, expected 2");
  for (int opcode = 0; opcode < 256; ++opcode) pickle_error(start + static_cast<char>(opcode));
}

TEST(TorchFile, RefusesMalformedPickles) {
  const struct {
    std::string pickle, message;
  } bad[] = {
      {"", "1 bytes are needed, 0 are left"},
      {".", "ends with 0 values"},
      {"NN.", "ends with 2 values"},
      {"N(.", "ends with 1 values"},
      {"N.N", "1 bytes follow"},
      {"t.", "no mark is stacked"},
      {"K", "1 bytes are needed"},
      {"\x87.", "3 values are needed, 0 are stacked"},
      {"N(\x85.", "1 values are needed, 0 are stacked"},
      {"X\xff\xff\xff\xff.", "4294967295 bytes are needed"},
      {text("\xed\xa0\x80") + ".", "text that is not UTF-8"},
      {text("\xff") + ".", "text that is not UTF-8"},
      {"Na.", "a value is needed"},
      {")Na.", "added to a tuple, expected a list"},
      {"]NNs.", "added to a list, expected a dict"},
      {"}(Nu.", "a key without a value"},
      {"h\x05.", "memo index 5 was never written"},
      {"Nr\xff\xff\xff\xff.", "memo index 4294967295, expected less"},
      {"q\x01.", "a value is needed"},
      {"NQ.", "a persistent id that is not"},
      {"N)R.", "what is called is None, expected a class"},
      {"ccollections\nOrderedDict\nNR.", "arguments are None, expected a tuple"},
      {"ccollections\nOrderedDict\nN\x85R.", "called with 1 arguments, expected none"},
      {"ctorch\nFloatStorage\n)R.", "class torch.FloatStorage is called"},
      {"ctorch\nSize\nN\x85R.", "argument 0 is None, expected a tuple"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "called with 0 arguments, expected 6"},
      {"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR.", "argument 0 is None, expected a storage"},
      {"ctorch._utils\n_rebuild_parameter\n(NNNtR.", "argument 0 is None, expected a tensor"},
      {")}b.", "attributes (a dict) are given to a tuple"},
      {"}Nb.", "attributes (None) are given to a dict"},
      {"}NNs.", "neither text nor a whole number"},
      {"(" + text("storage") + "ctorch\nSize\n" + text("0") + text("cpu") + "K\x01tQ.", "class torch.Size is not a"},
      {storage("FloatStorage", "0", -1) + ".", "a storage has -1 elements"}};
  for (const auto& [pickle, message] : bad) expect_contains(pickle_error(start + pickle), message);
}

TEST(TorchFile, TensorsMustLieInTheirStorage) {
  EXPECT_EQ(view_error(0, {3, 4}, {4, 1}), "");
  EXPECT_EQ(view_error(0, {4, 3}, {1, 4}), "");
  EXPECT_EQ(view_error(100, {0, 4}, {4, 1}), "");  // no element at all
  expect_contains(view_error(1, {3, 4}, {4, 1}), "runs past its storage of 12 elements");
  expect_contains(view_error(0, {2}, {12}), "runs past its storage of 12 elements");
  expect_contains(view_error(-1, {1}, {1}), "does not fit its storage");
  expect_contains(view_error(0, {1, 1}, {1}), "does not fit its storage");
  expect_contains(view_error(0, {-1}, {1}), "is -1, expected at least 0");
  expect_contains(view_error(0, {1}, {-1}), "is -1, expected at least 0");
  expect_contains(view_error(0, {2000000000, 2000000000, 2000000000}, {0, 0, 0}), "overflows beside");
  expect_contains(view_error(0, {13}, {0}), "repeats elements of its storage");
  expect_contains(view_error(0, std::vector<std::int32_t>(9, 1), std::vector<std::int32_t>(9, 1)), "9 axes");
  const auto storage_error = [](const std::string& type, std::int32_t count) {
    return value_error(tensor(storage(type, "0", count), 0, {1}, {1}));
  };
  expect_contains(storage_error("FloatStorage", 13),
                  "has 48 bytes, tensor \"x\" needs 13 elements of a torch.FloatStorage");
  expect_contains(storage_error("DoubleStorage", 12), "needs 12 elements of a torch.DoubleStorage");
  EXPECT_EQ(storage_error("DoubleStorage", 6), "");
  const std::string two = "}(" + text("a") + tensor(storage("FloatStorage", "0", 12), 0, {1}, {1}) + text("b") +
                          tensor(storage("IntStorage", "0", 12), 0, {1}, {1}) + "u.";
  expect_contains(pickle_error(start + two), "another tensor for a torch.FloatStorage");
}

TEST(TorchFile, NestingIsBounded) {
  expect_contains(pickle_error(start + "]q\x01h\x01"
                                       "a."),
                  "nested deeper than 64 levels");  // a list in itself
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "]";
  expect_contains(pickle_error(start + deep + std::string(99, 'a') + "."), "nested deeper than 64 levels");
  // Each list holds the one before twice: 2^40 places.
  std::string laughs = "]Na";
  for (int i = 0; i < 40; ++i) laughs += "q\x01h\x01\x86";
  expect_contains(pickle_error(start + laughs + "."), "the names of nested values have more than");
  expect_contains(
      pickle_error(start + "}(" + text("a.b") + tensor(storage("FloatStorage", "0", 12), 0, {1}, {1}) + text("a") +
                   "}" + text("b") + tensor(storage("FloatStorage", "0", 12), 0, {1}, {1}) + "su."),
      "two tensors are named \"a.b\"");
}

TEST(TorchFile, CopiesOfSharedMemoryAreBounded) {
  std::string many = start + "](";
  for (int i = 0; i < 4000; ++i) many += tensor(storage("FloatStorage", "0", 5000), 0, {2, 2500}, {1, 2});
  const Zip zip{{{"a/data.pkl", many + "e."}, {"a/data/0", std::string(20000, '\0')}}};
  expect_contains(error_of([&] { parse_torch(zip.file()); }), "more than 16 times as large as the file");
}

}  // namespace
}  // namespace fovea::io
