// Line charts as SVG. Private to the sources.
#pragma once

#include <string>
#include <vector>

namespace fovea::eval::detail {

struct Point {
  double x = 0, y = 0;       // a y that was not finite is NaN
  double low = y, high = y;  // an interval around y, drawn as a bar
};

struct Curve {
  std::string name;
  std::vector<Point> points;  // by rising x
  bool faint = false;         // in the colour of the curve before it, and not in the legend
};

// Means over a sliding window of `width` points that skip what is not finite.
std::vector<Point> smoothed(const std::vector<Point>& points, std::size_t width);

struct ChartAxes {
  std::string x_label = "step", y_label;
  bool log_x = false;  // marks at the points' own x, which must be above 0
};

// A figure with a title, the first curve on top, axes on round numbers, and a legend when there are several names; at
// most `max_curves` curves are drawn, each in its colour. Says so when no point is finite. `note` stands below, as
// text.
std::string line_chart(const std::string& title, const std::vector<Curve>& curves, const std::string& note = "",
                       const ChartAxes& axes = {});

// The same as an SVG document of its own, in colours for a white page.
std::string svg_document(const std::string& title, const std::vector<Curve>& curves, const std::string& note,
                         const ChartAxes& axes);

inline constexpr int max_curves = 8;

extern const char* const chart_style;  // for the page's <style>

}  // namespace fovea::eval::detail
