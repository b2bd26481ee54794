#include "fovea/optim/layer_decay.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace fovea::optim {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "layers", "layer3": what lists blocks. ("layer" alone lists the convolutions of one.)
bool lists_blocks(std::string_view name) {
  return name == "layers" || (name.starts_with("layer") && is_number(name.substr(5)));
}

// The path up to its block's number; empty when it is in none.
std::string_view block_of(std::string_view path) {
  std::string_view name, block;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (is_number(part) && lists_blocks(name)) block = path.substr(0, end);
    name = part;
    begin = end + 1;
  }
  return block;
}

}  // namespace

void decay_layer_rates(const std::vector<nn::ParamEntry>& entries, std::string_view prefix, double decay) {
  FOVEA_CHECK(decay > 0 && decay <= 1, "[layer_decay] decay is ", decay, ", expected a number of (0, 1]");
  std::vector<std::string_view> blocks;  // in the order of the forward pass, which is that of the fields
  for (const nn::ParamEntry& entry : entries) {
    const std::string_view block = block_of(entry.path);
    if (entry.path.starts_with(prefix) && !block.empty() && (blocks.empty() || blocks.back() != block))
      blocks.push_back(block);
  }
  // 0 before the blocks, then the number of the block, counted from 1, and one more behind them.
  std::size_t position = 0;
  for (const nn::ParamEntry& entry : entries) {
    const bool counted = entry.begin > 0;  // a later part of one parameter
    if (!entry.path.starts_with(prefix) || counted) continue;
    const std::string_view block = block_of(entry.path);
    if (!block.empty()) {
      position = static_cast<std::size_t>(std::find(blocks.begin(), blocks.end(), block) - blocks.begin()) + 1;
    } else if (position > 0) {
      position = blocks.size() + 1;
    }
    const std::size_t head = blocks.size() + (blocks.empty() ? 0 : 1);
    entry.leaf->lr_scale *= std::pow(decay, static_cast<double>(head - position));
  }
}

}  // namespace fovea::optim
