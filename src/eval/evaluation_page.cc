#include "fovea/eval/evaluation_page.h"

#include <algorithm>
#include <cmath>

#include "eval/chart.h"
#include "eval/page.h"
#include "fovea/core/error.h"
#include "fovea/io/file.h"

namespace fovea::eval {
namespace {

using detail::escape;
using detail::fixed;

constexpr const char* page_style = R"(
th.text, td.text { text-align: left; } .matrix { display: block; width: 100%; max-width: 60rem; height: auto; margin: 0 auto; }
.matrix text { fill: var(--text); font-size: 11px; } .matrix .count { font-size: 9px; text-anchor: middle; }
.right-cell { fill: var(--right); } .wrong-cell { fill: var(--wrong); } .frame { fill: none; stroke: var(--line); }
)";

// UTF-8 sequences, which is what a terminal's columns are for most scripts.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool is_figure(const std::string& text) {
  return text.empty() || text == "–" || std::isdigit(static_cast<unsigned char>(text[text[0] == '-'])) != 0;
}

bool holds_figures(const ScoreTable& table, std::size_t column) {
  return column > 0 &&
         std::all_of(table.rows.begin(), table.rows.end(), [&](const auto& row) { return is_figure(row.at(column)); });
}

std::string padded(const std::string& text, std::size_t width, bool to_the_right) {
  const std::string room(width - std::min(width, width_of(text)), ' ');
  return to_the_right ? room + text : text + room;
}

std::string table_section(const ScoreTable& table) {
  std::string out = table.title.empty() ? "" : concat("<h2>", escape(table.title), "</h2>\n");
  out += "<div class=\"wide card\" role=\"region\" tabindex=\"0\" aria-label=\"Scores\"><table>\n<thead><tr>";
  std::vector<bool> figures;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    figures.push_back(holds_figures(table, c));
    out += concat(figures[c] ? "<th scope=\"col\">" : "<th scope=\"col\" class=\"text\">", escape(table.columns[c]),
                  "</th>");
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += concat("<tr><th scope=\"row\">", escape(row.at(0)), "</th>");
    for (std::size_t c = 1; c < row.size(); ++c)
      out += concat(figures[c] ? "<td>" : "<td class=\"text\">", escape(row[c]), "</td>");
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  return table.note.empty() ? out : concat(out, "<p class=\"note\">", escape(table.note), "</p>\n");
}

std::string sweep_section(const EvaluationPage::Sweep& sweep) {
  detail::Curve curve{"accuracy", {}};
  double best = 0;
  for (const SweepPoint& point : sweep.points) {
    curve.points.push_back({std::log10(point.c), point.accuracy});
    best = std::max(best, point.accuracy);
  }
  return concat("<h2>", escape(sweep.title), "</h2>\n<div class=\"charts\">\n",
                detail::line_chart("Validation accuracy, percent", {curve}, concat("Best: ", fixed(best, 1), "."),
                                   {"logarithm (base 10) of C", "", false}),
                "</div>\n");
}

std::string svg_rect(const char* kind, double x, double y, double side, double opacity, const std::string& tip) {
  return concat("<rect class=\"", kind, "\" x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" width=\"", fixed(side, 1),
                "\" height=\"", fixed(side, 1), "\" fill-opacity=\"", fixed(opacity, 3), "\"><title>", escape(tip),
                "</title></rect>\n");
}

std::size_t longest_name(const std::vector<std::string>& names) {
  std::size_t longest = 0;
  for (const std::string& name : names) longest = std::max(longest, width_of(name));
  return longest;
}

// The matrix as shades: of a row's pictures, the share that is taken for the column. With the classes' names and the
// counts where there is room for them.
std::string confusion_section(const EvaluationPage::Confusion& confusion) {
  const std::size_t n = confusion.classes.size();
  const bool named = n <= 40, counted = n <= 20;
  const double side = named ? 22 : std::max(1.0, 880 / static_cast<double>(n)),
               longest = static_cast<double>(longest_name(confusion.classes));
  const double margin = named ? 14 + 6.5 * longest : 8;
  const double extent = side * static_cast<double>(n);
  std::string cells, names;
  for (std::size_t row = 0; row < n; ++row) {
    const auto* counts = confusion.counts.data() + row * n;
    std::int64_t total = 0;
    for (std::size_t c = 0; c < n; ++c) total += counts[c];
    const double y = margin + side * static_cast<double>(row);
    for (std::size_t c = 0; c < n; ++c) {
      if (counts[c] == 0) continue;
      const double x = margin + side * static_cast<double>(c);
      const double share = static_cast<double>(counts[c]) / static_cast<double>(total);
      cells += svg_rect(
          c == row ? "right-cell" : "wrong-cell", x, y, side, 0.08 + 0.92 * share,
          concat(confusion.classes[row], c == row ? " is right: " : concat(" taken for ", confusion.classes[c], ": "),
                 counts[c], " of ", total));
      if (counted)
        cells += concat("<text class=\"count\" x=\"", fixed(x + side / 2, 1), "\" y=\"", fixed(y + side / 2 + 3, 1),
                        "\">", counts[c], "</text>\n");
    }
    if (!named) continue;
    const std::string name = escape(confusion.classes[row]);
    const double middle = margin + side * static_cast<double>(row) + side / 2 + 4;
    names +=
        concat("<text x=\"", margin - 6, "\" y=\"", fixed(middle, 1), "\" text-anchor=\"end\">", name, "</text>\n");
    names += concat("<text transform=\"translate(", fixed(middle, 1), " ", margin - 6, ") rotate(-60)\">", name,
                    "</text>\n");
  }
  const double whole = margin + extent + (named ? margin / 2 : 8);
  return concat("<h2>", escape(confusion.title), "</h2>\n<div class=\"wide card\"><svg class=\"matrix\" viewBox=\"0 0 ",
                fixed(whole, 1), " ", fixed(margin + extent + 8, 1),
                "\" role=\"img\" aria-label=\"Confusion matrix\">\n<rect class=\"frame\" x=\"", margin, "\" y=\"",
                margin, "\" width=\"", fixed(extent, 1), "\" height=\"", fixed(extent, 1), "\"/>\n", cells, names,
                "</svg></div>\n<p class=\"note\">Row: the right class; column: the answer. Shade: share of the row's "
                "pictures.</p>\n");
}

}  // namespace

std::string to_text(const ScoreTable& table) {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    widths.push_back(width_of(table.columns[c]));
    for (const auto& row : table.rows) widths[c] = std::max(widths[c], width_of(row.at(c)));
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += concat(c == 0 ? "  " : "   ", padded(row[c], widths[c], holds_figures(table, c)));
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add(table.columns);
  for (const auto& row : table.rows) add(row);
  return out;
}

ScoreTable class_table(const ClassificationScores& scores, const std::vector<std::string>& classes) {
  ScoreTable table{"", {"class", "pictures", "right %", "most often taken for"}, {}};
  const std::size_t n = classes.size();
  for (std::size_t c = 0; c < n; ++c) {
    const auto* row = scores.confusion.data() + c * n;
    std::int64_t pictures = 0;
    std::size_t worst = n;
    for (std::size_t k = 0; k < n; ++k) {
      pictures += row[k];
      if (k != c && row[k] > (worst == n ? 0 : row[worst])) worst = k;
    }
    if (pictures == 0) continue;
    table.rows.push_back({classes[c], std::to_string(pictures),
                          fixed(class_accuracy(scores, static_cast<std::int64_t>(c)), 1),
                          worst == n ? "" : concat(classes[worst], " (", row[worst], ")")});
  }
  return table;
}

void write_evaluation_page(const std::string& path, const EvaluationPage& page) {
  std::string body = detail::fact_list(page.facts);
  for (const ScoreTable& table : page.tables) body += table_section(table);
  for (const auto& sweep : page.sweeps) body += sweep_section(sweep);
  for (const auto& confusion : page.confusions) body += confusion_section(confusion);
  io::write_file(path, detail::page(page.title, concat(page_style, detail::chart_style), body));
}

}  // namespace fovea::eval
