#include "fovea/eval/robustness.h"

#include <array>
#include <cmath>
#include <map>

namespace fovea::eval {

SourceGap source_gap(std::span<const SourcedAnswer> answers) {
  struct Side {
    std::int64_t pictures = 0, right = 0;
    double accuracy() const { return 100 * static_cast<double>(right) / static_cast<double>(pictures); }
  };
  std::map<std::int64_t, std::array<Side, 2>> groups;
  for (const SourcedAnswer& answer : answers) {
    Side& side = groups[answer.group][answer.held_out];
    ++side.pictures;
    side.right += answer.right;
  }
  std::erase_if(groups,
                [](const auto& group) { return group.second[0].pictures == 0 || group.second[1].pictures == 0; });
  SourceGap result;
  result.groups = std::ssize(groups);
  if (groups.empty()) return result;
  const auto n = static_cast<double>(groups.size());
  for (const auto& [group, sides] : groups) {
    result.seen_pictures += sides[0].pictures;
    result.held_out_pictures += sides[1].pictures;
    result.seen += sides[0].accuracy() / n;
    result.held_out += sides[1].accuracy() / n;
  }
  result.gap = result.seen - result.held_out;
  double squares = 0;
  for (const auto& [group, sides] : groups)
    squares += std::pow(sides[0].accuracy() - sides[1].accuracy() - result.gap, 2);
  if (groups.size() > 1) result.interval = 1.96 * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace fovea::eval
