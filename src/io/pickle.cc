#include "io/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "fovea/core/error.h"

namespace fovea::io::detail {
namespace {

using Kind = PickleValue::Kind;
using Ref = std::uint32_t;

constexpr std::size_t max_values = std::size_t{1} << 23;  // also bounds the stack and the memo
constexpr std::size_t max_long_bytes = 8;
constexpr const char* save_hint =
    "\nhint: only dicts, lists, numbers, text and tensors are read; in Python, torch.save(model.state_dict(), path) "
    "writes "
    "a file that holds nothing else";

enum class Class { ordered_dict, rebuild_tensor, rebuild_parameter, size, storage };
struct KnownClass {
  std::string_view module, name;
  Class kind;
  DType dtype = DType::f32;
  std::int64_t file_bytes = 0;
};
constexpr std::array known_classes{KnownClass{"collections", "OrderedDict", Class::ordered_dict},
                                   KnownClass{"torch._utils", "_rebuild_tensor_v2", Class::rebuild_tensor},
                                   KnownClass{"torch._utils", "_rebuild_parameter", Class::rebuild_parameter},
                                   KnownClass{"torch", "Size", Class::size},
                                   KnownClass{"torch", "FloatStorage", Class::storage, DType::f32, 4},
                                   KnownClass{"torch", "DoubleStorage", Class::storage, DType::f64, 8},
                                   KnownClass{"torch", "HalfStorage", Class::storage, DType::f32, 2},
                                   KnownClass{"torch", "BFloat16Storage", Class::storage, DType::bf16, 2},
                                   KnownClass{"torch", "LongStorage", Class::storage, DType::i64, 8},
                                   KnownClass{"torch", "IntStorage", Class::storage, DType::i32, 4},
                                   KnownClass{"torch", "ByteStorage", Class::storage, DType::u8, 1},
                                   KnownClass{"torch", "BoolStorage", Class::storage, DType::u8, 1}};

const char* name_of(Kind kind) {
  constexpr std::array names{"None",   "a bool", "an int",  "a float",   "a str",   "a tuple",
                             "a list", "a dict", "a class", "a storage", "a tensor"};
  return names[static_cast<std::size_t>(kind)];
}

// Names of what other tools' pickles hold, for errors; the rest is shown as a number.
const char* opcode_name(unsigned char opcode) {
  switch (opcode) {
    case 0x81: return "NEWOBJ";
    case 0x82:
    case 0x83:
    case 0x84: return "EXT";
    case 0x8c: return "SHORT_BINUNICODE";
    case 0x8f: return "EMPTY_SET";
    case 0x92: return "NEWOBJ_EX";
    case 0x93: return "STACK_GLOBAL";
    case 0x94: return "MEMOIZE";
    case 0x95: return "FRAME";
    case 'i': return "INST";
    case 'o': return "OBJ";
    case 'P': return "PERSID";
    default: return "unknown";
  }
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = byte < 0x80   ? 1
                               : byte < 0xc2 ? 0
                               : byte < 0xe0 ? 2
                               : byte < 0xf0 ? 3
                               : byte < 0xf5 ? 4
                                             : 0;
    if (length == 0 || text.size() - i < length) return false;
    std::uint32_t point = length == 1 ? byte : byte & (0x7fu >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3fu);
    }
    const bool surrogate = point >= 0xd800 && point < 0xe000;
    if ((length == 3 && (point < 0x800 || surrogate)) || (length == 4 && (point < 0x10000 || point > 0x10ffff)))
      return false;
    i += length;
  }
  return true;
}

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& place) : bytes_(bytes), place_(place) {}

  Pickle read() {
    while (step()) {
    }
    check(stack_.size() == 1 && marks_.empty(), "the pickle ends with ", stack_.size(), " values, expected 1");
    check(at_ == bytes_.size(), bytes_.size() - at_, " bytes follow the pickle's end");
    pickle_.root = stack_[0];
    return std::move(pickle_);
  }

 private:
  template <class... Parts>
  void check(bool good, const Parts&... parts) const {
    if (!good) [[unlikely]]
      fail(place_, ": byte ", begin_, " of the pickle: ", parts...);
  }

  // Input.
  std::string_view take(std::size_t count) {
    check(count <= bytes_.size() - at_, count, " bytes are needed, ", bytes_.size() - at_,
          " are left\nhint: the file is cut short");
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T take_number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take_line() {
    const std::size_t end = bytes_.find('\n', at_);
    check(end != std::string_view::npos, "a line has no end");
    const std::string_view line = take(end - at_);
    ++at_;
    return line;
  }

  // Stack.
  const PickleValue& value(Ref ref) const { return pickle_.values[ref]; }
  PickleValue& value(Ref ref) { return pickle_.values[ref]; }
  void push_ref(Ref ref) {
    check(stack_.size() < max_values, "more than ", max_values, " values are stacked");
    stack_.push_back(ref);
  }
  void push(PickleValue made) {
    check(pickle_.values.size() < max_values, "more than ", max_values, " values");
    pickle_.values.push_back(std::move(made));
    push_ref(static_cast<Ref>(pickle_.values.size() - 1));
  }
  void push_integer(std::int64_t number) { push({Kind::integer, number, {}}); }
  // The values above the last mark may be popped, those below only by what takes the mark.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Ref top() const {
    check(stack_.size() > floor(), "a value is needed, the stack is empty");
    return stack_.back();
  }
  Ref pop() {
    const Ref ref = top();
    stack_.pop_back();
    return ref;
  }
  std::vector<Ref> pop_last(std::size_t count) {
    check(stack_.size() - floor() >= count, count, " values are needed, ", stack_.size() - floor(), " are stacked");
    std::vector<Ref> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<Ref> pop_mark() {
    check(!marks_.empty(), "no mark is stacked");
    std::vector<Ref> items = pop_last(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  // One opcode; false at the last.
  bool step() {
    begin_ = at_;
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    switch (opcode) {
      case 0x80: protocol(); break;
      case '.': return false;
      case '(': mark(); break;
      case 'N': push({}); break;
      case 0x88: push({Kind::boolean, 1, {}}); break;
      case 0x89: push({Kind::boolean, 0, {}}); break;
      case 'J': push_integer(take_number<std::int32_t>()); break;
      case 'K': push_integer(take_number<std::uint8_t>()); break;
      case 'M': push_integer(take_number<std::uint16_t>()); break;
      case 0x8a: long_integer(take_number<std::uint8_t>()); break;
      case 'G': take(sizeof(double)), push({Kind::number, 0, {}}); break;
      case 'X': text(); break;
      case ')': push({Kind::tuple, 0, {}}); break;
      case 't': push({Kind::tuple, 0, {}, pop_mark()}); break;
      case 0x85:
      case 0x86:
      case 0x87: push({Kind::tuple, 0, {}, pop_last(opcode - 0x84u)}); break;
      case ']': push({Kind::list, 0, {}}); break;
      case 'a': append(Kind::list, pop_last(1)); break;
      case 'e': append(Kind::list, pop_mark()); break;
      case '}': push({Kind::dict, 0, {}}); break;
      case 's': append(Kind::dict, pop_last(2)); break;
      case 'u': append(Kind::dict, pop_mark()); break;
      case 'q': put(take_number<std::uint8_t>()); break;
      case 'r': put(take_number<std::uint32_t>()); break;
      case 'h': get(take_number<std::uint8_t>()); break;
      case 'j': get(take_number<std::uint32_t>()); break;
      case 'c': global(); break;
      case 'Q': persistent_id(); break;
      case 'R': reduce(); break;
      case 'b': build(); break;
      default: refuse_opcode(opcode);
    }
    return true;
  }

  [[noreturn]] void refuse_opcode(unsigned char opcode) const {
    fail(place_, ": byte ", begin_, " of the pickle: opcode ", static_cast<int>(opcode), " (", opcode_name(opcode),
         ") is not read", save_hint);
  }

  void protocol() {
    const int version = take_number<std::uint8_t>();
    check(version == 2, "pickle protocol ", version,
          ", expected 2\nhint: torch.save without pickle_protocol= writes it");
  }
  void mark() {
    check(marks_.size() < max_values, "more than ", max_values, " marks are stacked");
    marks_.push_back(stack_.size());
  }

  // Little-endian, two's complement, as few bytes as hold it. What does not fit 64 bits is never one of ours.
  void long_integer(std::size_t count) {
    const std::string_view digits = take(count);
    if (count > max_long_bytes) return push({Kind::number, 0, {}});
    std::uint64_t number = count > 0 && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
    std::memcpy(&number, digits.data(), count);
    push_integer(static_cast<std::int64_t>(number));
  }

  void text() {
    const std::string_view content = take(take_number<std::uint32_t>());
    check(is_utf8(content), "text that is not UTF-8");
    push({Kind::text, 0, content});
  }

  void append(Kind kind, const std::vector<Ref>& items) {
    PickleValue& container = value(top());
    check(container.kind == kind, "items are added to ", name_of(container.kind), ", expected ", name_of(kind));
    check(kind != Kind::dict || items.size() % 2 == 0, "a dict gets a key without a value");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  void put(std::size_t index) {
    check(index < max_values, "memo index ", index, ", expected less than ", max_values);
    if (index >= memo_.size()) memo_.resize(index + 1, no_ref);
    memo_[index] = top();
  }
  void get(std::size_t index) {
    check(index < memo_.size() && memo_[index] != no_ref, "memo index ", index, " was never written");
    push_ref(memo_[index]);
  }

  void global() {
    const std::string_view module = take_line(), name = take_line();
    for (std::size_t i = 0; i < known_classes.size(); ++i) {
      if (known_classes[i].module == module && known_classes[i].name == name)
        return push({Kind::global, static_cast<std::int64_t>(i), {}});
    }
    check(false, "class ", module, ".", name, " is not read", save_hint);
  }
  const KnownClass& class_of(const PickleValue& global, const char* what) const {
    check(global.kind == Kind::global, what, " is ", name_of(global.kind), ", expected a class");
    return known_classes[static_cast<std::size_t>(global.integer)];
  }

  // An argument, which must be of this kind.
  const PickleValue& argument(const PickleValue& tuple, std::size_t i, Kind kind) const {
    const PickleValue& item = value(tuple.items[i]);
    check(item.kind == kind, "argument ", i, " is ", name_of(item.kind), ", expected ", name_of(kind));
    return item;
  }

  // ("storage", torch.FloatStorage, key, device, elements)
  void persistent_id() {
    const PickleValue& id = value(pop());
    check(id.kind == Kind::tuple && id.items.size() == 5 && argument(id, 0, Kind::text).text == "storage",
          "a persistent id that is not (\"storage\", class, key, device, elements)");
    const KnownClass& known = class_of(value(id.items[1]), "a storage's class");
    check(known.kind == Class::storage, "class ", known.module, ".", known.name, " is not a storage");
    const std::int64_t count = argument(id, 4, Kind::integer).integer;
    check(count >= 0, "a storage has ", count, " elements");
    pickle_.storages.push_back(
        {argument(id, 2, Kind::text).text, known.name.data(), known.dtype, known.file_bytes, count});
    push({Kind::storage, static_cast<std::int64_t>(pickle_.storages.size() - 1), {}});
  }

  void reduce() {
    const Ref arguments_ref = pop();
    const PickleValue& arguments = value(arguments_ref);
    const KnownClass& known = class_of(value(pop()), "what is called");
    check(arguments.kind == Kind::tuple, "arguments are ", name_of(arguments.kind), ", expected a tuple");
    const std::size_t count = arguments.items.size();
    switch (known.kind) {
      case Class::ordered_dict:
        check(count == 0, "OrderedDict is called with ", count, " arguments, expected none");
        return push({Kind::dict, 0, {}});
      case Class::size:
        check(count == 1, "torch.Size is called with ", count, " arguments, expected 1");
        argument(arguments, 0, Kind::tuple);
        return push_ref(arguments.items[0]);
      case Class::rebuild_tensor:
        check(count == 6 || count == 7, "_rebuild_tensor_v2 is called with ", count, " arguments, expected 6");
        return rebuild_tensor(arguments);
      case Class::rebuild_parameter:
        check(count == 3, "_rebuild_parameter is called with ", count, " arguments, expected 3");
        argument(arguments, 0, Kind::tensor);
        return push_ref(arguments.items[0]);
      case Class::storage: check(false, "class ", known.module, ".", known.name, " is called");
    }
  }

  Shape extents(const PickleValue& tuple) const {
    check(tuple.items.size() <= Shape::max_rank, "a tensor has ", tuple.items.size(), " axes, expected at most ",
          Shape::max_rank);
    Shape shape;
    for (std::size_t i = 0; i < tuple.items.size(); ++i) {
      const std::int64_t extent = argument(tuple, i, Kind::integer).integer;
      check(extent >= 0, "an extent or a stride is ", extent, ", expected at least 0");
      shape.push_back(extent);
    }
    return shape;
  }

  // (storage, offset, shape, strides, requires_grad, hooks)
  void rebuild_tensor(const PickleValue& arguments) {
    TorchView view{static_cast<std::size_t>(argument(arguments, 0, Kind::storage).integer),
                   argument(arguments, 1, Kind::integer).integer, extents(argument(arguments, 2, Kind::tuple)),
                   extents(argument(arguments, 3, Kind::tuple))};
    check_view(view);
    pickle_.views.push_back(view);
    push({Kind::tensor, static_cast<std::int64_t>(pickle_.views.size() - 1), {}});
  }

  // Every element must lie in the storage. A tensor with more elements than its storage repeats some by a stride of 0:
  // a few bytes could then ask for any amount of memory.
  void check_view(const TorchView& view) const {
    const TorchStorage& storage = pickle_.storages[view.storage];
    const auto refuse = [&](const char* reason) {
      check(false, "a tensor of shape ", view.shape, ", strides ", view.strides, " and offset ", view.offset, reason,
            " ", storage.count, " elements");
    };
    if (view.shape.rank() != view.strides.rank() || view.offset < 0) refuse(" does not fit its storage of");
    std::int64_t count = 1, last = view.offset;
    for (int axis = 0; axis < view.shape.rank(); ++axis) {
      std::int64_t step = 0;
      if (__builtin_mul_overflow(count, view.shape[axis], &count) ||
          __builtin_mul_overflow(std::max<std::int64_t>(view.shape[axis] - 1, 0), view.strides[axis], &step) ||
          __builtin_add_overflow(last, step, &last))
        refuse(" overflows beside its storage of");
    }
    if (count > 0 && last >= storage.count) refuse(" runs past its storage of");
    if (count > storage.count) refuse(" repeats elements of its storage of");
  }

  // Attributes of an OrderedDict, such as a state dict's _metadata, are dropped.
  void build() {
    const PickleValue& state = value(pop());
    check(state.kind == Kind::dict && value(top()).kind == Kind::dict, "attributes (", name_of(state.kind),
          ") are given to ", name_of(value(top()).kind), ", expected a dict for an OrderedDict", save_hint);
  }

  static constexpr Ref no_ref = std::numeric_limits<Ref>::max();
  std::string_view bytes_;
  const std::string& place_;
  std::size_t at_ = 0, begin_ = 0;  // begin_: of the opcode in work
  std::vector<Ref> stack_, memo_;
  std::vector<std::size_t> marks_;
  Pickle pickle_;
};

}  // namespace

Pickle parse_pickle(std::string_view bytes, const std::string& place) {
  static_assert(std::endian::native == std::endian::little);
  return Reader(bytes, place).read();
}

}  // namespace fovea::io::detail
