// What the tape calls while a Profiler is alive. Private to the sources.
#pragma once

#include <span>

#include "fovea/autograd/var.h"

namespace fovea {

struct ProfileHook {
  static bool on();  // on this thread
  static void recorded(const char* op, const Var& y, std::span<const Var> inputs);

  // Around a node's backward function and the release of what it kept. Backward functions may contain whole passes.
  class Backward {
   public:
    explicit Backward(const Node& node) : on_(ProfileHook::on()) {
      if (on_) open(node);
    }
    ~Backward() {
      if (on_) close();
    }
    Backward(const Backward&) = delete;
    Backward& operator=(const Backward&) = delete;

    // After the function: what it has read and written.
    void ran(const Node& node, const Tensor& dy) {
      if (on_) count(node, dy);
    }

   private:
    static void open(const Node& node);
    void close() const;
    void count(const Node& node, const Tensor& dy);

    bool on_;
    double bytes_ = 0;
  };
};

}  // namespace fovea
