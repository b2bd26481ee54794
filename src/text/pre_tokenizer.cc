#include "text/pre_tokenizer.h"

#include <utility>

#include "fovea/text/split.h"
#include "text/bpe_symbols.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

struct Part {
  Range range;
  bool match;
};

// The whole text as matches and what lies between them.
std::vector<Part> cover(std::string_view text, const std::vector<Range>& matches) {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (const Range match : matches) {
    if (done < match.begin) parts.push_back({{done, match.begin}, false});
    parts.push_back({match, true});
    done = match.end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, false});
  return parts;
}

// The same for single code points that satisfy a predicate.
template <class F>
std::vector<Part> cover_if(std::string_view text, F&& matches) {
  std::vector<Range> found;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (matches(point.value)) found.push_back({at, at + point.bytes});
    at += point.bytes;
  }
  return cover(text, found);
}

// Adds to each match the part before it, unless that is a match too.
std::vector<Part> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<Part> merged;
  bool after_match = false;
  for (const auto& [range, match] : parts) {
    if (match && !after_match && !merged.empty()) {
      merged.back().range.end = range.end;
    } else {
      merged.push_back({range, false});
    }
    after_match = match;
  }
  return merged;
}

std::vector<Part> merge_with_next(const std::vector<Part>& parts) {
  std::vector<Part> merged;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    Range range = parts[i].range;
    if (parts[i].match && i + 1 < parts.size() && !parts[i + 1].match) range.end = parts[++i].range.end;
    merged.push_back({range, false});
  }
  return merged;
}

std::vector<Part> join_alike(const std::vector<Part>& parts) {
  std::vector<Part> joined;
  for (const Part& part : parts) {
    if (!joined.empty() && joined.back().match == part.match) {
      joined.back().range.end = part.range.end;
    } else {
      joined.push_back(part);
    }
  }
  return joined;
}

// Adds the parts to `out` as the behavior has it. Returns whether the first one begins where the text does.
bool add_parts(std::string_view text, std::vector<Part> parts, Behavior behavior, Pieces& out) {
  if (behavior == Behavior::merged_with_previous) parts = merge_with_previous(parts);
  if (behavior == Behavior::merged_with_next) parts = merge_with_next(parts);
  if (behavior == Behavior::contiguous) parts = join_alike(parts);
  const std::size_t before = out.size();
  bool at_start = false;
  for (const auto& [range, match] : parts) {
    if (behavior == Behavior::removed && match) continue;
    out.add(text.substr(range.begin, range.end - range.begin));
    if (out.size() == before + 1 && range.begin == 0) at_start = true;
  }
  return at_start;
}

class Apply {
 public:
  Apply(Pieces& pieces, Pieces& spare, bool& at_start) : pieces_(pieces), spare_(spare), at_start_(at_start) {}

  void operator()(const PreTokenizerSequence& sequence) {
    for (const PreTokenizer& pre_tokenizer : sequence.pretokenizers) pre_tokenizer(pieces_, spare_, at_start_);
  }
  void operator()(const Split& split) {
    const bool by_words = split.invert && split.behavior == Behavior::removed && split.pattern.is_regex();
    const bool clip = by_words && split.pattern.text() == clip_pattern;
    const bool open_clip = by_words && split.pattern.text() == open_clip_pattern;
    each([&](std::string_view piece) {
      if (clip || open_clip) {
        const auto words = split_words(piece, open_clip ? Case::ignored : Case::matters);
        for (const std::string_view word : words) spare_.add(word);
        return !words.empty() && words.front().data() == piece.data();
      }
      std::vector<Part> parts = cover(piece, split.pattern.matches(piece));
      if (split.invert) {
        for (Part& part : parts) part.match = !part.match;
      }
      return add_parts(piece, std::move(parts), split.behavior, spare_);
    });
  }
  void operator()(const ByteLevel& level) {
    std::string prefixed;
    each([&](std::string_view piece) {
      if (level.add_prefix_space && !piece.starts_with(' ')) {
        prefixed = ' ';
        prefixed += piece;
        piece = prefixed;
      }
      if (level.use_regex) {
        for (const std::string_view word : split_gpt2_words(piece)) add_spelled(word);
      } else {
        add_spelled(piece);
      }
      return true;
    });
  }
  void operator()(const Whitespace&) {
    each([&](std::string_view piece) {
      const auto kind_of = [](std::int32_t c) { return is_white_space(c) ? 0 : is_word_character(c) ? 1 : 2; };
      std::size_t begin = 0;
      int kind = 0;
      const auto add = [&](std::size_t end) {
        if (kind != 0) spare_.add(piece.substr(begin, end - begin));
      };
      for (std::size_t at = 0; at < piece.size();) {
        const CodePoint point = code_point_at(piece, at);
        if (kind_of(point.value) != kind) {
          add(at);
          begin = at;
          kind = kind_of(point.value);
        }
        at += point.bytes;
      }
      add(piece.size());
      return !piece.empty() && kind_of(code_point_at(piece, 0).value) != 0;
    });
  }
  void operator()(const WhitespaceSplit&) { cut(is_white_space, Behavior::removed); }
  void operator()(const BertPreTokenizer&) {
    cut(is_white_space, Behavior::removed);
    cut(is_punctuation, Behavior::isolated);
  }
  void operator()(const Digits& digits) {
    cut(is_number, digits.individual_digits ? Behavior::isolated : Behavior::contiguous);
  }
  void operator()(const Punctuation& punctuation) { cut(is_punctuation, punctuation.behavior); }
  void operator()(const Metaspace& meta) {
    std::string mark, text;
    append_utf8(mark, static_cast<std::int32_t>(meta.replacement));
    bool first = at_start_;
    each([&](std::string_view piece) {
      text.clear();
      for (const char c : piece) {
        if (c == ' ') {
          text += mark;
        } else {
          text += c;
        }
      }
      const bool wanted = meta.prepend_scheme == PrependScheme::always ||
                          (meta.prepend_scheme == PrependScheme::first && std::exchange(first, false));
      if (wanted && !text.starts_with(mark)) text.insert(0, mark);
      if (!meta.split) {
        spare_.add(text);
        return true;
      }
      return add_parts(text, cover(text, Pattern::of_string(mark).matches(text)), Behavior::merged_with_next, spare_);
    });
  }

 private:
  // Replaces all pieces by what f adds to `spare_` for each; f returns whether its first one begins where the piece
  // does.
  template <class F>
  void each(F&& f) {
    spare_.clear();
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const bool kept = f(pieces_[i]);
      if (i == 0) at_start_ = at_start_ && kept;
    }
    std::swap(pieces_, spare_);
  }
  template <class F>
  void cut(F&& matches, Behavior behavior) {
    each([&](std::string_view piece) { return add_parts(piece, cover_if(piece, matches), behavior, spare_); });
  }
  void add_spelled(std::string_view word) {
    append_spelled(spare_.buffer(), word);
    spare_.close();
  }

  Pieces &pieces_, &spare_;
  bool& at_start_;
};

}  // namespace

void PreTokenizer::operator()(Pieces& pieces, Pieces& spare, bool& at_start) const {
  std::visit(Apply(pieces, spare, at_start), part);
}

}  // namespace fovea::text::detail
