#include "text/decoder.h"

#include <utility>

#include "fovea/text/clean.h"
#include "text/bpe_symbols.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

using Texts = std::vector<std::string>;

std::size_t total_size(const Texts& texts) {
  std::size_t size = 0;
  for (const std::string& text : texts) size += text.size();
  return size;
}

std::string joined(const Texts& texts) {
  std::string whole;
  whole.reserve(total_size(texts));
  for (const std::string& text : texts) whole += text;
  return whole;
}

std::string replace_all(const std::string& text, const std::string& what, std::string_view by) {
  return Pattern::of_string(what).replace(text, by);
}

// The byte that "<0x0A>" names, or -1.
int named_byte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || !piece.ends_with('>')) return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const int lower = c | 0x20;
    if (c >= '0' && c <= '9') {
      value = value * 16 + (c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value * 16 + (lower - 'a' + 10);
    } else {
      return -1;
    }
  }
  return value;
}

struct Apply {
  Texts pieces;

  Texts operator()(const DecoderSequence& sequence) {
    const std::size_t original = total_size(pieces);
    for (const Decoder& decoder : sequence.decoders) {
      pieces = decoder(std::move(pieces));
      check_growth(total_size(pieces), original);
    }
    return std::move(pieces);
  }
  Texts operator()(const ByteLevel&) {
    std::string bytes;
    for (const std::string& piece : pieces) bytes += unspell(piece).value_or(piece);
    return {replace_invalid_utf8(bytes)};
  }
  Texts operator()(const WordPieceDecoder& decoder) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      std::string& piece = pieces[i];
      if (i > 0) piece = piece.starts_with(decoder.prefix) ? piece.substr(decoder.prefix.size()) : ' ' + piece;
      if (decoder.cleanup) piece = clean_up(piece);
    }
    return std::move(pieces);
  }
  Texts operator()(const Metaspace& meta) {
    std::string mark;
    append_utf8(mark, static_cast<std::int32_t>(meta.replacement));
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const bool prefixed = i == 0 && meta.prepend_scheme != PrependScheme::never;
      pieces[i] = replace_all(pieces[i], mark, prefixed ? "" : " ");
    }
    return std::move(pieces);
  }
  // A run of bytes that is no text becomes as many replacement characters.
  Texts operator()(const ByteFallback&) {
    Texts out;
    std::string bytes;
    const auto flush = [&] {
      if (replace_invalid_utf8(bytes) == bytes) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\ufffd");
      }
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      if (const int byte = named_byte(piece); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(piece));
      }
    }
    flush();
    return out;
  }
  Texts operator()(const Fuse&) { return {joined(pieces)}; }
  Texts operator()(const StripCharacters& strip) {
    std::string mark;
    append_utf8(mark, static_cast<std::int32_t>(strip.content));
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (std::int64_t i = 0; i < strip.start && rest.starts_with(mark); ++i) rest.remove_prefix(mark.size());
      for (std::int64_t i = 0; i < strip.stop && rest.ends_with(mark); ++i) rest.remove_suffix(mark.size());
      piece = std::string(rest);
    }
    return std::move(pieces);
  }
  Texts operator()(const Replace& replace) {
    for (std::string& piece : pieces) piece = replace.pattern.replace(piece, replace.content);
    return std::move(pieces);
  }
  Texts operator()(const BpeDecoder& decoder) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      pieces[i] = replace_all(pieces[i], decoder.suffix, i + 1 < pieces.size() ? " " : "");
    }
    return std::move(pieces);
  }

  static std::string clean_up(std::string text) {
    constexpr std::pair<const char*, const char*> changes[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [what, by] : changes) text = replace_all(text, what, by);
    return text;
  }
};

}  // namespace

std::vector<std::string> Decoder::operator()(std::vector<std::string> pieces) const {
  const std::size_t original = total_size(pieces);
  std::vector<std::string> decoded = std::visit(Apply{std::move(pieces)}, part);
  check_growth(total_size(decoded), original);
  return decoded;
}

}  // namespace fovea::text::detail
