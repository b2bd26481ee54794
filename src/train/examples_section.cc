#include "train/examples_section.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "eval/page.h"
#include "fovea/core/error.h"
#include "fovea/train/report.h"

namespace fovea::train::detail {

using eval::Match;
using eval::RetrievalExamples;
using eval::detail::escape;
using eval::detail::fixed;

const char* const examples_style = R"(
.queries { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.query h4 { margin: 0; font-size: 1rem; line-height: 1.3; overflow-wrap: anywhere; } .rank { margin: 0 0 .5rem; }
.answers { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .45rem; list-style: none; margin: 0; padding: 0; }
.answers .thumb { border: 3px solid var(--wrong); } .answers .yes .thumb { border-color: var(--right); }
.answers .mark { display: flex; flex-wrap: wrap; gap: 0 .4em; justify-content: center; }
.mark { font-size: .75rem; line-height: 1.4; white-space: nowrap; font-variant-numeric: tabular-nums; color: var(--wrong); }
.yes .mark { color: var(--right); font-weight: 700; }
.asked { display: grid; grid-template-columns: 6rem 1fr; gap: .9rem; align-items: start; }
.asked .thumb { border: 1px solid var(--line); }
.texts { list-style: none; margin: 0; padding: 0; } .texts li { display: flex; gap: .5rem; align-items: baseline; }
.texts li + li { border-top: 1px solid var(--line); } .texts .text { flex: 1; min-width: 0; overflow-wrap: anywhere;
font-size: .9rem; } .texts .yes .text { font-weight: 700; }
.matrix { display: block; width: 100%; min-width: 40rem; max-width: 56rem; height: auto; margin: 0 auto; }
.matrix text { fill: var(--text); font-size: 11px; } .matrix .soft { fill: var(--soft); }
.heat { fill: var(--accent); } .frame { fill: none; stroke: var(--line); } .right-pair { fill: none; stroke: var(--text); }
.best { fill: var(--page); stroke: var(--text); }
)";

namespace {

// The one place that says right or wrong: by word, sign and colour.
std::string mark(const RetrievalExamples::Answer& answer) {
  return concat("<span class=\"mark\">", answer.right ? "✓ right" : "✗ wrong", " <span>", fixed(answer.score, 2),
                "</span></span>");
}

std::string rank_note(const RetrievalExamples::Query& query, std::size_t candidates) {
  return concat("<p class=\"note rank\">best right answer: rank ", format_count(query.best_rank), " of ",
                format_count(static_cast<long long>(candidates)), "</p>\n");
}

const std::string& at(const std::vector<std::string>& names, std::int64_t i) {
  return names[static_cast<std::size_t>(i)];
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

std::string text_query(const RetrievalExamples& examples, const RetrievalExamples::Query& query) {
  std::string out = concat("<section class=\"card query\"><h4>“", escape(at(examples.texts, query.index)), "”</h4>\n",
                           rank_note(query, examples.pictures.size()), "<ol class=\"answers\">\n");
  for (const auto& answer : query.answers) {
    const std::string& path = at(examples.pictures, answer.index);
    out += concat("<li", answer.right ? " class=\"yes\">" : ">", eval::detail::picture(path, file_name(path)),
                  mark(answer), "</li>\n");
  }
  return out + "</ol></section>\n";
}

std::string picture_query(const RetrievalExamples& examples, const RetrievalExamples::Query& query) {
  const std::string& path = at(examples.pictures, query.index);
  std::string out =
      concat("<section class=\"card query asked\"><div>", eval::detail::picture(path, "Query: " + file_name(path)),
             "</div>\n<div>", rank_note(query, examples.texts.size()), "<ol class=\"texts\">\n");
  for (const auto& answer : query.answers) {
    out += concat("<li", answer.right ? " class=\"yes\">" : ">", "<span class=\"text\">",
                  escape(at(examples.texts, answer.index)), "</span> ", mark(answer), "</li>\n");
  }
  return out + "</ol></div></section>\n";
}

template <class Draw>
std::string queries(const RetrievalExamples& examples, const std::vector<RetrievalExamples::Query>& asked,
                    const char* title, Draw&& draw) {
  if (asked.empty()) return "";
  std::string out = concat("<h3>", title, "</h3>\n<div class=\"queries\">\n");
  for (const auto& query : asked) out += draw(examples, query);
  return out + "</div>\n";
}

// The first characters of a label, cut between UTF-8 sequences.
std::string shortened(const std::string& text) {
  constexpr int most = 26;
  int characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++characters > most) return text.substr(0, i) + "…";
  }
  return text;
}

// Similarities of `examples.pairs` as a square of shades between the lowest and the highest.
class Matrix {
 public:
  explicit Matrix(const RetrievalExamples& examples)
      : examples_(examples),
        count_(examples.pairs.size()),
        cell_(std::min(60.0, std::floor(side / static_cast<double>(count_)))) {
    for (const float value : examples.similarity) {
      if (!std::isfinite(value)) continue;
      low_ = std::min<double>(low_, value);
      high_ = std::max<double>(high_, value);
    }
  }

  bool drawable() const { return count_ > 0 && low_ <= high_; }

  std::string svg() const {
    const double square = cell_ * static_cast<double>(count_);
    std::string out =
        concat("<svg class=\"matrix\" viewBox=\"0 0 ", fixed(label_width + square + 2, 0), " ",
               fixed(top() + square + 46, 0), "\" role=\"img\" aria-label=\"", escape(summary()), "\">\n", labels());
    return out + shades() + diagonal_and_best() +
           concat("<rect class=\"frame\" x=\"", fixed(label_width, 0), "\" y=\"", fixed(top(), 0), "\" width=\"",
                  fixed(square, 0), "\" height=\"", fixed(square, 0), "\"/>\n") +
           scale_bar(top() + square + 14) + "</svg>\n";
  }

  std::string summary() const {
    double right = 0, others = 0;
    for (std::size_t row = 0; row < count_; ++row) {
      for (std::size_t column = 0; column < count_; ++column)
        (row == column ? right : others) +=
            value(row, column) / static_cast<double>(row == column ? count_ : count_ * (count_ - 1));
    }
    return concat("Mean similarity of the ", count_, " right pairs ", fixed(right, 2),
                  count_ > 1 ? concat(", of all others ", fixed(others, 2)) : "", ".");
  }

 private:
  static constexpr double side = 600, label_width = 172;
  static constexpr int levels = 24;

  double value(std::size_t row, std::size_t column) const { return examples_.similarity[row * count_ + column]; }
  double top() const { return cell_ + 6; }
  double x(std::size_t column) const { return label_width + cell_ * static_cast<double>(column); }
  double y(std::size_t row) const { return top() + cell_ * static_cast<double>(row); }

  std::string labels() const {
    std::string out;
    for (std::size_t i = 0; i < count_; ++i) {
      const Match& pair = examples_.pairs[i];
      const std::string& path = at(examples_.pictures, pair.image);
      out +=
          concat("<text text-anchor=\"end\" x=\"", fixed(label_width - 7, 0), "\" y=\"", fixed(y(i) + cell_ / 2 + 4, 1),
                 "\">", escape(shortened(at(examples_.texts, pair.text))), "</text>\n");
      const std::string uri = eval::detail::picture_uri(path);
      if (!uri.empty())
        out +=
            concat("<image x=\"", fixed(x(i) + 1, 0), "\" y=\"0\" width=\"", fixed(cell_ - 2, 0), "\" height=\"",
                   fixed(cell_ - 2, 0), "\" href=\"", uri, "\"><title>", escape(file_name(path)), "</title></image>\n");
    }
    return out;
  }

  // One path for each shade, so that the page stays small.
  std::string shades() const {
    std::array<std::string, levels + 1> paths;
    const std::string box = concat("h", fixed(cell_, 0), "v", fixed(cell_, 0), "h-", fixed(cell_, 0), "z");
    for (std::size_t row = 0; row < count_; ++row) {
      for (std::size_t column = 0; column < count_; ++column) {
        const double share = high_ > low_ ? (value(row, column) - low_) / (high_ - low_) : 1;
        if (!std::isfinite(share)) continue;
        paths[static_cast<std::size_t>(std::lround(share * levels))] +=
            concat("M", fixed(x(column), 0), " ", fixed(y(row), 0), box);
      }
    }
    std::string out = "<g class=\"heat\">\n";
    for (std::size_t level = 1; level < paths.size(); ++level) {
      if (!paths[level].empty())
        out += concat("<path fill-opacity=\"", fixed(static_cast<double>(level) / levels, 2), "\" d=\"", paths[level],
                      "\"/>\n");
    }
    return out + "</g>\n";
  }

  std::string diagonal_and_best() const {
    std::string out;
    for (std::size_t row = 0; row < count_; ++row) {
      out += concat("<rect class=\"right-pair\" x=\"", fixed(x(row) + .5, 1), "\" y=\"", fixed(y(row) + .5, 1),
                    "\" width=\"", fixed(cell_ - 1, 0), "\" height=\"", fixed(cell_ - 1, 0), "\"/>\n");
      std::size_t best = 0;
      for (std::size_t column = 1; column < count_; ++column) {
        if (value(row, column) > value(row, best)) best = column;
      }
      out += concat("<circle class=\"best\" cx=\"", fixed(x(best) + cell_ / 2, 1), "\" cy=\"",
                    fixed(y(row) + cell_ / 2, 1), "\" r=\"", fixed(std::min(4.0, cell_ / 5), 1), "\"/>\n");
    }
    return out;
  }

  std::string scale_bar(double at_y) const {
    constexpr double width = 10;
    std::string out = concat("<g class=\"heat\">\n");
    for (int level = 1; level <= levels; ++level)
      out += concat("<rect x=\"", fixed(label_width + (level - 1) * width, 0), "\" y=\"", fixed(at_y, 0), "\" width=\"",
                    fixed(width, 0), "\" height=\"10\" fill-opacity=\"", fixed(static_cast<double>(level) / levels, 2),
                    "\"/>\n");
    const double end = label_width + levels * width;
    const auto label = [&](double x, const char* anchor, const std::string& text) {
      return concat("<text class=\"soft\" text-anchor=\"", anchor, "\" x=\"", fixed(x, 0), "\" y=\"",
                    fixed(at_y + 26, 0), "\">", text, "</text>\n");
    };
    return out + "</g>\n" + label(label_width, "start", fixed(low_, 2)) + label(end, "end", fixed(high_, 2)) +
           label((label_width + end) / 2, "middle", "cosine");
  }

  const RetrievalExamples& examples_;
  std::size_t count_;
  double cell_;
  double low_ = INFINITY, high_ = -INFINITY;
};

std::string matrix_section(const RetrievalExamples& examples) {
  const Matrix matrix(examples);
  if (!matrix.drawable()) return "";
  return concat(
      "<h2>Similarity matrix</h2>\n<p class=\"note\">Captions from top to bottom, their pictures from left to "
      "right, so that the right pairs lie on the outlined diagonal. A dot marks the picture that a caption is "
      "most similar to. ",
      escape(matrix.summary()),
      "</p>\n<div class=\"wide card\" role=\"region\" tabindex=\"0\" aria-label=\"Similarity matrix\">", matrix.svg(),
      "</div>\n");
}

}  // namespace

std::string examples_section(const RetrievalExamples& examples) {
  if (examples.t2i.empty() && examples.i2t.empty()) return "";
  return concat(
      "<h2>What it finds</h2>\n<p class=\"note\">Queries of split ", escape(examples.split),
      ", chosen by a hash of their names, so that successes and failures come as they are. Beside each answer: "
      "its cosine.</p>\n",
      queries(examples, examples.t2i, "Text → image", text_query),
      queries(examples, examples.i2t, "Image → text", picture_query), matrix_section(examples));
}

}  // namespace fovea::train::detail
