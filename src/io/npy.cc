#include "fovea/io/npy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "io/elements.h"
#include "io/input.h"

namespace fovea::io {
namespace {

using detail::Input;

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::int64_t version_bytes = 2;
constexpr std::int64_t max_header_bytes = 1 << 20;
constexpr std::size_t alignment = 64;  // of the first element, as numpy.save pads

struct FileType {
  std::string_view name;
  std::int64_t bytes;  // of one element in the file
  DType dtype;         // in memory
};
// Those that are written come first: f32 is written as <f4, not as <f2, and u8 as |u1, not as |b1.
constexpr std::array file_types{FileType{"<f4", 4, DType::f32}, FileType{"<f8", 8, DType::f64},
                                FileType{"<i4", 4, DType::i32}, FileType{"<i8", 8, DType::i64},
                                FileType{"|u1", 1, DType::u8},  FileType{"<f2", 2, DType::f32},
                                FileType{"|b1", 1, DType::u8}};

struct Header {
  FileType type{};
  bool fortran_order = false;
  Shape shape;
  std::int64_t data_begin = 0;
};

// The header's dict: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const Input& input, std::int64_t begin)
      : text_(text), input_(input), begin_(begin) {}

  Header parse() {
    Header header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !has_type) {
        header.type = type(), has_type = true;
      } else if (key == "fortran_order" && !has_order) {
        header.fortran_order = boolean(), has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = shape(), has_shape = true;
      } else {
        fail_here("a key ", key, " that is not one of descr, fortran_order and shape, each once");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size() || !has_type || !has_order || !has_shape)
      fail_here(at_ != text_.size() ? "text after the dict" : "one of descr, fortran_order and shape is missing");
    return header;
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail(input_.place(), ": the header at byte ", begin_ + static_cast<std::int64_t>(at_), ": ", parts...);
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    const bool found = at_ < text_.size() && text_[at_] == c;
    at_ += found;
    return found;
  }
  void expect(char c) {
    if (!accept(c)) fail_here("expected ", c);
  }
  bool accept_word(std::string_view word) {
    skip_space();
    const bool found = text_.substr(at_).starts_with(word);
    if (found) at_ += word.size();
    return found;
  }
  std::string_view quoted() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail_here("text without a closing quote");
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return inside;
  }
  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    fail_here("expected True or False");
  }
  FileType type() {
    if (accept('[')) fail_here("an array of records, expected an array of numbers");
    const std::string_view name = quoted();
    std::string known;
    for (const FileType& candidate : file_types) {
      if (name == candidate.name) return candidate;
      known += concat(known.empty() ? "" : ", ", candidate.name);
    }
    fail_here("element type ", name, ", expected one of ", known,
              "\nhint: in Python, numpy.save(path, array.astype(numpy.float32))");
  }
  std::int64_t whole_number() {
    skip_space();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text_[at_] - '0', &value))
        fail_here("an extent that overflows");
    }
    if (at_ == begin) fail_here("expected a whole number from 0");
    return value;
  }
  Shape shape() {
    Shape extents;
    expect('(');
    while (!accept(')')) {
      if (extents.rank() == Shape::max_rank) fail_here("more than ", Shape::max_rank, " axes");
      extents.push_back(whole_number());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return extents;
  }

  std::string_view text_;
  const Input& input_;
  std::int64_t begin_;
  std::size_t at_ = 0;
};

template <class Length>
std::int64_t read_length(const Input& input, std::int64_t at) {
  Length length = 0;
  input.read(at, &length, sizeof length);
  return length;
}

Header read_header(const Input& input) {
  const auto magic_bytes = static_cast<std::int64_t>(magic.size());
  const std::string begin = input.read(0, std::min(input.size(), magic_bytes + version_bytes));
  FOVEA_CHECK(std::string_view(begin).starts_with(magic) && std::ssize(begin) == magic_bytes + version_bytes,
              input.place(), " does not begin with NumPy's mark at byte 0, expected a file of numpy.save");
  const int version = static_cast<unsigned char>(begin[magic.size()]);
  FOVEA_CHECK(version >= 1 && version <= 3, input.place(), ": format version ", version, " at byte ", magic_bytes,
              ", expected 1 to 3");
  const std::int64_t length_at = magic_bytes + version_bytes;
  const std::int64_t text_at = length_at + (version == 1 ? 2 : 4);
  const std::int64_t length =
      version == 1 ? read_length<std::uint16_t>(input, length_at) : read_length<std::uint32_t>(input, length_at);
  FOVEA_CHECK(length <= max_header_bytes, input.place(), ": the header at byte ", text_at, " has ", length,
              " bytes, expected at most ", max_header_bytes);
  const std::string text = input.read(text_at, length);
  Header header = HeaderParser(text, input, text_at).parse();
  header.data_begin = text_at + length;
  return header;
}

Tensor read_array(const Input& input) {
  const Header header = read_header(input);
  const std::int64_t expected = detail::byte_count(header.shape, header.type.bytes);
  FOVEA_CHECK(expected == input.size() - header.data_begin, input.place(), ": ", input.size() - header.data_begin,
              " bytes from byte ", header.data_begin, " on, elements ", header.type.name, " of shape ", header.shape,
              " need ", expected < 0 ? "more than can be counted" : std::to_string(expected));
  Shape stored = header.shape;
  const int rank = stored.rank();
  if (header.fortran_order) {
    for (int axis = 0; axis < rank; ++axis) stored.set(axis, header.shape[rank - 1 - axis]);
  }
  Tensor elements = detail::read_elements(input, header.data_begin, stored, header.type.dtype, header.type.bytes);
  if (!header.fortran_order || rank < 2) return elements;
  Shape strides = header.shape;
  for (int axis = 0; axis < rank; ++axis) strides.set(axis, header.shape.outer(axis));
  return detail::gather(elements, 0, header.shape, strides);
}

std::string make_header(const Tensor& tensor) {
  const auto type = std::find_if(file_types.begin(), file_types.end(),
                                 [&](const FileType& candidate) { return candidate.dtype == tensor.dtype(); });
  std::string text = concat("{'descr': '", type->name, "', 'fortran_order': False, 'shape': ", tensor.shape(), ", }");
  const std::size_t before = magic.size() + version_bytes + sizeof(std::uint16_t);
  while ((before + text.size() + 1) % alignment != 0) text += ' ';
  text += '\n';
  const auto length = static_cast<std::uint16_t>(text.size());
  std::string header = concat(magic, '\1', '\0');
  header.append(reinterpret_cast<const char*>(&length), sizeof length);
  return header + text;
}

}  // namespace

Tensor load_npy(const std::string& path) { return read_array(Input("npy", path)); }

Tensor parse_npy(std::string_view contents, std::string_view name) { return read_array(Input("npy", name, contents)); }

void save_npy(const std::string& path, const Tensor& tensor) {
  FOVEA_CHECK(tensor.defined(), "[npy] ", path, ": the tensor is undefined");
  FOVEA_CHECK(tensor.dtype() != DType::bf16, "[npy] ", path, ": the tensor is bf16, which NumPy lacks",
              "\nhint: tensor.to(DType::f32) keeps its values");
  AtomicFile file(path);
  file.write(make_header(tensor));
  file.write(tensor.raw(), static_cast<std::size_t>(tensor.bytes()));
  file.commit();
}

}  // namespace fovea::io
