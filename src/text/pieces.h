// A text cut into pieces, in one buffer that is reused.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::text::detail {

class Pieces {
 public:
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }

  void clear() {
    text_.clear();
    ends_.clear();
  }
  // Empty pieces are dropped.
  void add(std::string_view piece) {
    text_ += piece;
    close();
  }
  // The same in parts: what is appended to buffer() becomes a piece at close().
  std::string& buffer() { return text_; }
  void close() {
    if (text_.size() > (ends_.empty() ? 0 : ends_.back())) ends_.push_back(text_.size());
  }

 private:
  std::string text_;
  std::vector<std::size_t> ends_;
};

}  // namespace fovea::text::detail
