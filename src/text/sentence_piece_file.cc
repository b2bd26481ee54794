#include <bit>

#include "fovea/core/error.h"
#include "text/sentence_piece.h"

namespace fovea::text::detail {
namespace {

// One message of protocol buffers: a row of fields, each a number of its own with a value.
class Message {
 public:
  Message(std::string_view bytes, std::size_t offset, const std::string& source)
      : bytes_(bytes), offset_(offset), source_(source) {}

  // Steps to the next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field_ = key >> 3;
    wire_ = static_cast<int>(key & 7);
    if (wire_ == 0) {
      number_ = varint();
    } else if (wire_ == 1 || wire_ == 5) {
      value_ = take(wire_ == 1 ? 8 : 4);
    } else {
      if (wire_ != 2) refuse(concat("a field of wire type ", wire_, ", expected 0, 1, 2 or 5"));
      value_ = take(varint());
    }
    return true;
  }
  std::uint64_t field() const { return field_; }

  // The value of the field, of the wanted kind.
  std::uint64_t number() const {
    want(0, "a whole number");
    return number_;
  }
  float floating() const {
    want(5, "a 32-bit number");
    std::uint32_t word = 0;
    for (std::size_t k = 4; k-- > 0;) word = word << 8 | static_cast<unsigned char>(value_[k]);
    return std::bit_cast<float>(word);
  }
  std::string_view bytes() const {
    want(2, "bytes");
    return value_;
  }
  Message message() const { return {bytes(), offset_ + at_ - value_.size(), source_}; }

  [[noreturn]] void refuse(const std::string& found) const {
    fail("[tokenizer] ", source_, ": at byte ", offset_ + at_, " is ", found,
         "\nhint: a SentencePiece model is the .model file that the trainer writes");
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    refuse("a number of more than 64 bits");
  }
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) refuse(concat("a field of ", count, " bytes, ", bytes_.size() - at_, " are left"));
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  void want(int wire, const char* kind) const {
    if (wire_ != wire) refuse(concat("field ", field_, " of another kind, expected ", kind));
  }

  std::string_view bytes_, value_;
  std::size_t offset_, at_ = 0;  // of the message in the file; of what is read next in the message
  const std::string& source_;
  std::uint64_t field_ = 0, number_ = 0;
  int wire_ = 0;
};

SentencePieceFile::Piece read_piece(Message message) {
  SentencePieceFile::Piece piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.bytes();
    if (message.field() == 2) piece.score = message.floating();
    if (message.field() != 3) continue;
    if (message.number() < 1 || message.number() > 6) message.refuse(concat("a piece of type ", message.number()));
    piece.type = static_cast<SentencePieceFile::Type>(message.number());
  }
  if (piece.text.empty()) message.refuse("a piece without text");
  return piece;
}

void read_training(Message message, SentencePieceFile& file) {
  while (message.next()) {
    switch (message.field()) {
      case 3:
        if (message.number() != 1 && message.number() != 2)
          message.refuse(concat("model_type ", message.number(), ", expected 1 (unigram) or 2 (bpe)"));
        file.algorithm = static_cast<SentencePieceFile::Algorithm>(message.number());
        break;
      case 24: file.whitespace_as_suffix = message.number() != 0; break;
      case 35: file.byte_fallback = message.number() != 0; break;
      case 41: file.start = static_cast<std::int32_t>(message.number()); break;
      case 42: file.end = static_cast<std::int32_t>(message.number()); break;
      case 44: file.unknown_surface = message.bytes(); break;
      default: break;
    }
  }
}

void read_normalization(Message message, SentencePieceFile::Normalization& rules) {
  while (message.next()) {
    switch (message.field()) {
      case 2: rules.charsmap = message.bytes(); break;
      case 3: rules.add_dummy_prefix = message.number() != 0; break;
      case 4: rules.remove_extra_whitespaces = message.number() != 0; break;
      case 5: rules.escape_whitespaces = message.number() != 0; break;
      default: break;
    }
  }
}

}  // namespace

SentencePieceFile SentencePieceFile::parse(std::string_view bytes, const std::string& source) {
  SentencePieceFile file;
  Message message(bytes, 0, source);
  while (message.next()) {
    switch (message.field()) {
      case 1: file.pieces.push_back(read_piece(message.message())); break;
      case 2: read_training(message.message(), file); break;
      case 3: read_normalization(message.message(), file.normalization); break;
      case 5: read_normalization(message.message(), file.denormalization); break;
      default: break;
    }
  }
  const auto id_or_none = [&](std::int32_t id) { return id >= 0 && id < std::ssize(file.pieces) ? id : -1; };
  file.start = id_or_none(file.start);
  file.end = id_or_none(file.end);
  return file;
}

}  // namespace fovea::text::detail
