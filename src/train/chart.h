// Line charts as SVG. Private to the sources.
#pragma once

#include <string>
#include <vector>

namespace fovea::train::detail {

struct Point {
  double x = 0, y = 0;  // a y that was not finite is NaN
};

struct Curve {
  std::string name;
  std::vector<Point> points;  // by rising x
  bool faint = false;         // in the colour of the curve before it, and not in the legend
};

// Means over a sliding window of `width` points that skip what is not finite.
std::vector<Point> smoothed(const std::vector<Point>& points, std::size_t width);

// A figure with a title, the first curve on top, axes on round numbers, and a legend when there are several names; at
// most `max_curves` curves are drawn, each in its colour. Says so when no point is finite. `note` stands below, as
// text.
std::string line_chart(const std::string& title, const std::vector<Curve>& curves, const std::string& note = "");

inline constexpr int max_curves = 8;

extern const char* const chart_style;  // for the page's <style>

}  // namespace fovea::train::detail
