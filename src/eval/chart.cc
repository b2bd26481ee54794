#include "eval/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "eval/page.h"
#include "fovea/core/error.h"

namespace fovea::eval::detail {

// What a document of its own needs too: strokes, in colours for a light page.
#define FOVEA_CURVE_STYLE                                                                                 \
  ".curve { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }\n"              \
  ".bar { stroke-width: 1.25; } .faint { opacity: .3; stroke-width: 1.25; }\n"                            \
  ".c0 { stroke: #1f66c9; } .c1 { stroke: #c4540a; } .c2 { stroke: #16805a; } .c3 { stroke: #a03a8c; }\n" \
  ".c4 { stroke: #8a6a00; } .c5 { stroke: #5b5bd6; } .c6 { stroke: #b02a4a; } .c7 { stroke: #4a6572; }\n"

const char* const chart_style = FOVEA_CURVE_STYLE R"(
.charts { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .35rem; }
.chart { display: block; width: 100%; height: auto; } .chart text { fill: var(--soft); font-size: 12.5px; }
.grid line { stroke: var(--line); } .legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .3rem 0 0;
padding: 0; list-style: none; font-size: .8rem; color: var(--soft); } .legend svg { width: 1.1rem; height: .6rem; }
@media (prefers-color-scheme: dark) {
.c0 { stroke: #6cabff; } .c1 { stroke: #ff9f5a; } .c2 { stroke: #4cc9a0; } .c3 { stroke: #e58fd3; }
.c4 { stroke: #e0bf4f; } .c5 { stroke: #a3a3ff; } .c6 { stroke: #ff8aa5; } .c7 { stroke: #a5bcc8; }
}
)";

namespace {

// Neither infinite nor so far away that an axis would overflow.
bool drawable(const Point& point) { return std::abs(point.y) < 1e100 && std::abs(point.x) < 1e100; }

// An axis from low to high on which `unit` is a round number; or a logarithmic one with marks of its own.
struct Axis {
  double low = 0, high = 1, unit = 1;
  std::vector<double> own_marks{};

  bool logarithmic() const { return !own_marks.empty(); }
  double at(double value) const {  // 0..1
    return logarithmic() ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  }
  int marks() const {  // the number of the last
    return static_cast<int>(logarithmic() ? std::ssize(own_marks) - 1 : std::lround((high - low) / unit));
  }
  double mark(int i) const { return logarithmic() ? own_marks[static_cast<std::size_t>(i)] : low + i * unit; }
  std::string label(int i) const;
};

Axis make_axis(double low, double high, int marks, double least_unit) {
  if (high - low <= 1e-6 * std::max(std::abs(low), std::abs(high))) {  // a flat curve is a line in the middle
    const double room = std::max(low == 0 ? 1 : std::abs(low) / 10, least_unit);
    low -= room, high += room;
  }
  const double rough = (high - low) / marks, power = std::pow(10, std::floor(std::log10(rough)));
  const double factor = rough / power;
  const double unit = std::max(least_unit, power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10));
  return {std::floor(low / unit) * unit, std::ceil(high / unit) * unit, unit};
}

// With a mark at each of the values, or at some of them when they are many.
Axis make_log_axis(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  constexpr std::size_t most = 7;
  const std::size_t step = (values.size() + most - 1) / most;
  std::vector<double> marks;
  for (std::size_t i = 0; i < values.size(); i += step) marks.push_back(values[i]);
  const double low = values.front(), high = values.back();
  return low < high ? Axis{low, high, 1, marks} : Axis{low / 2, high * 2, 1, marks};
}

// Short: 250, 0.004, 12k, 3e-6.
std::string Axis::label(int i) const {
  if (logarithmic()) {
    char text[32];
    std::snprintf(text, sizeof text, mark(i) < 1e5 ? "%.6g" : "%.3g", mark(i));
    return text;
  }
  const double value = std::abs(mark(i)) < unit / 2 ? 0 : mark(i), largest = std::max(std::abs(low), std::abs(high));
  const double thousands = largest >= 10000 && unit >= 100 ? 1000 : 1;
  if (value != 0 && (largest >= 1e7 || largest < 2e-3)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    std::string short_form = text;
    if (const std::size_t e = short_form.find('e'); e != std::string::npos && short_form[e + 2] == '0')
      short_form.erase(e + 2, 1);  // 3e-06
    if (const std::size_t plus = short_form.find('+'); plus != std::string::npos) short_form.erase(plus, 1);
    return short_form;
  }
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(unit / thousands) - 1e-9)), 0, 12);
  return fixed(value / thousands, decimals) + (thousands > 1 && value != 0 ? "k" : "");
}

constexpr double width = 420, height = 240, left = 54, right = 12, top = 10, bottom = 36;  // user units

double x_of(const Axis& axis, double x) { return left + axis.at(x) * (width - left - right); }
double y_of(const Axis& axis, double y) { return height - bottom - axis.at(y) * (height - top - bottom); }

std::string svg_text(double x, double y, const char* anchor, const std::string& text) {
  return concat("<text x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" text-anchor=\"", anchor, "\">", text,
                "</text>\n");
}
std::string svg_line(double x1, double y1, double x2, double y2) {
  return concat("<line x1=\"", fixed(x1, 1), "\" y1=\"", fixed(y1, 1), "\" x2=\"", fixed(x2, 1), "\" y2=\"",
                fixed(y2, 1), "\"/>\n");
}

std::string svg_grid(const Axis& x, const Axis& y, const ChartAxes& axes) {
  std::string out = "<g class=\"grid\">\n";
  const double floor = height - bottom;
  for (int i = 0; i <= y.marks(); ++i) {
    const double at = y_of(y, y.mark(i));
    out += svg_line(left, at, width - right, at) + svg_text(left - 7, at + 4, "end", y.label(i));
  }
  for (int i = 0; i <= x.marks(); ++i) {
    const double at = x_of(x, x.mark(i));
    out += svg_line(at, floor, at, floor + 4);
    out += svg_text(std::min(at, width - right - 4), floor + 17, "middle", x.label(i));
  }
  if (!axes.y_label.empty()) out += svg_text(left, top - 4, "start", escape(axes.y_label));
  return out + svg_text((left + width - right) / 2, height - 4, "middle", escape(axes.x_label)) + "</g>\n";
}

// Means of neighbours, so that a long run is no larger than a page needs.
std::vector<Point> thinned(const std::vector<Point>& points) {
  constexpr std::size_t enough = 300;
  if (points.size() <= enough) return points;
  const std::size_t group = (points.size() + enough - 1) / enough;
  std::vector<Point> out;
  for (std::size_t begin = 0; begin < points.size(); begin += group) {
    const std::size_t end = std::min(begin + group, points.size());
    Point mean{0, 0, 0, 0};
    for (std::size_t i = begin; i < end; ++i) {
      mean.x += points[i].x / static_cast<double>(end - begin);
      mean.y += points[i].y / static_cast<double>(end - begin);
    }
    mean.low = mean.high = mean.y;
    out.push_back(mean);
  }
  return out;
}

// The path of the curve; it breaks where a value was not finite.
std::string svg_path(const Curve& curve, std::size_t color, const Axis& x, const Axis& y) {
  std::string path;
  bool drawing = false;
  for (const Point& point : curve.points) {
    if (!drawable(point)) {
      drawing = false;
      continue;
    }
    path += concat(drawing ? 'L' : 'M', fixed(x_of(x, point.x), 1), ' ', fixed(y_of(y, point.y), 1));
    if (!drawing) path += "h0";  // with round caps, a point without neighbours is a dot
    drawing = true;
  }
  std::string bars;
  for (const Point& point : curve.points) {
    if (!drawable(point) || !(point.low < point.high)) continue;
    const double at = x_of(x, point.x), low = y_of(y, point.low), high = y_of(y, point.high);
    bars += concat('M', fixed(at, 1), ' ', fixed(low, 1), 'V', fixed(high, 1), 'M', fixed(at - 4, 1), ' ',
                   fixed(low, 1), "h8M", fixed(at - 4, 1), ' ', fixed(high, 1), "h8");
  }
  const std::string of_color = concat("c", color, curve.faint ? " faint" : "");
  if (!bars.empty()) bars = concat("<path class=\"curve bar ", of_color, "\" d=\"", bars, "\"/>\n");
  return concat("<path class=\"curve ", of_color, "\" d=\"", path, "\"/>\n", bars);
}

std::string legend(const std::vector<Curve>& curves) {
  std::string out;
  int shown = 0;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    if (curves[i].faint) continue;
    ++shown;
    out += concat("<li><svg viewBox=\"0 0 18 10\" aria-hidden=\"true\"><line class=\"curve c", i,
                  "\" x1=\"2\" y1=\"5\" x2=\"16\" y2=\"5\"/></svg> ", escape(curves[i].name), "</li>");
  }
  return shown > 1 ? concat("<ul class=\"legend\">", out, "</ul>\n") : "";
}

// What stands inside the <svg> element; empty when no point is finite.
std::string svg_body(const std::vector<Curve>& curves, const ChartAxes& axes) {
  std::vector<double> xs, ys;
  for (const Curve& curve : curves) {
    for (const Point& point : curve.points) {
      if (!drawable(point)) continue;
      xs.push_back(point.x);
      for (const double y : {point.y, point.low, point.high}) {
        if (std::abs(y) < 1e100) ys.push_back(y);
      }
    }
  }
  if (ys.empty()) return "";
  const auto [low_x, high_x] = std::minmax_element(xs.begin(), xs.end());
  const auto [low_y, high_y] = std::minmax_element(ys.begin(), ys.end());
  const Axis x = axes.log_x ? make_log_axis(xs) : make_axis(*low_x, *high_x, 5, 1);
  const Axis y = make_axis(*low_y, *high_y, 4, 0);
  std::string paths;
  for (std::size_t i = curves.size(); i-- > 0;) {  // the first on top
    const std::size_t color = curves[i].faint && i > 0 ? i - 1 : i;
    paths += svg_path(curves[i], color, x, y);
  }
  return svg_grid(x, y, axes) + paths;
}

// At most max_curves of them, none longer than a page needs.
std::vector<Curve> drawn(const std::vector<Curve>& curves) {
  std::vector<Curve> some(curves.begin(), curves.begin() + std::min<std::ptrdiff_t>(max_curves, std::ssize(curves)));
  for (Curve& curve : some) curve.points = thinned(curve.points);
  return some;
}

}  // namespace

std::vector<Point> smoothed(const std::vector<Point>& points, std::size_t window) {
  std::vector<Point> out;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t reach = std::min({window / 2, i, points.size() - 1 - i});  // the same on both sides
    double sum = 0;
    int count = 0;
    for (std::size_t k = i - reach; k <= i + reach; ++k) {
      if (!std::isfinite(points[k].y)) continue;
      sum += points[k].y;
      ++count;
    }
    const double mean = count > 0 ? sum / count : std::nan("");
    out.push_back({points[i].x, mean, mean, mean});
  }
  return out;
}

std::string line_chart(const std::string& title, const std::vector<Curve>& curves, const std::string& note,
                       const ChartAxes& axes) {
  const std::vector<Curve> some = drawn(curves);
  const std::string head = concat("<figure class=\"card\"><figcaption>", escape(title), "</figcaption>\n");
  const std::string body = svg_body(some, axes);
  if (body.empty()) return head + "<p class=\"note\">No finite value was logged.</p></figure>\n";
  return concat(head, "<svg class=\"chart\" viewBox=\"0 0 ", width, " ", height, "\" role=\"img\" aria-label=\"",
                escape(title), " over ", escape(axes.x_label), note.empty() ? "" : ": " + escape(note), "\">\n", body,
                "</svg>\n", legend(some), note.empty() ? "" : concat("<p class=\"note\">", escape(note), "</p>\n"),
                "</figure>\n");
}

std::string svg_document(const std::string& title, const std::vector<Curve>& curves, const std::string& note,
                         const ChartAxes& axes) {
  constexpr double head = 34, line = 16;
  const std::vector<Curve> some = drawn(curves);
  std::string names;
  double below = height + head + line;
  for (std::size_t i = 0; i < some.size(); ++i, below += line) {
    names += concat("<line class=\"curve c", i, "\" x1=\"", left, "\" y1=\"", below - 4, "\" x2=\"", left + 16,
                    "\" y2=\"", below - 4, "\"/>", svg_text(left + 22, below, "start", escape(some[i].name)));
  }
  if (!note.empty())
    names += concat("<text class=\"small\" x=\"", left, "\" y=\"", below, "\">", escape(note), "</text>\n");
  const double whole = below + line / 2;
  return concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", width, " ", whole, "\" width=\"",
                1.5 * width, "\" height=\"", 1.5 * whole, "\" role=\"img\" aria-label=\"", escape(title),
                "\">\n<style>\n" FOVEA_CURVE_STYLE
                "text { fill: #596070; font: 12px system-ui, \"DejaVu Sans\", sans-serif; } "
                ".grid line { stroke: #dfe2e8; }\n"
                ".title { font-size: 14px; font-weight: 600; fill: #1b1e24; } .small { font-size: 10px; }\n"
                "</style>\n<rect width=\"",
                width, "\" height=\"", whole, "\" fill=\"#fff\"/>\n<text class=\"title\" x=\"12\" y=\"18\">",
                escape(title), "</text>\n<g transform=\"translate(0 ", head, ")\">\n", svg_body(some, axes), "</g>\n",
                names, "</svg>\n");
}

}  // namespace fovea::eval::detail
