// SignalInlet: signals of a process that waits by poll(), as something to wait for. Owns: the
// descriptor they come from; they stay blocked in this process. See signalfd(2).
#pragma once

#include <initializer_list>

namespace ringshift::manager {

class SignalInlet {
 public:
  SignalInlet() = default;
  ~SignalInlet();
  SignalInlet(const SignalInlet&) = delete;
  SignalInlet& operator=(const SignalInlet&) = delete;

  // False with errno.
  [[nodiscard]] bool open(std::initializer_list<int> numbers);
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // 0: none has come.
  [[nodiscard]] int take();

 private:
  int descriptor_ = -1;
};

}  // namespace ringshift::manager
