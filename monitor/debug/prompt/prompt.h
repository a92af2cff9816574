// Prompt: the person at the console, after Ctrl-A c: keys into lines, lines into answers. Owns: the
// line being typed, and those before it. Does not own: terminal, target. Adds to the commands of
// commands.h those that let the guest go on and say where it is to stop. See docs/debugging.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "monitor/debug/debug_target.h"
#include "monitor/debug/prompt/line_editor.h"

namespace ringshift::debug {

class Prompt {
 public:
  // `print` gets text with plain newlines.
  explicit Prompt(std::function<void(const std::string&)> print)
      : print_(std::move(print)), editor_(print_, "(ringshift) ") {}

  // The guest stands: says where and why, and asks.
  void open(DebugTarget& target);
  enum class Wish : uint8_t { Stay, Step, Leave };
  // `may_control`: no debugger has the guest. Takes keys off the front, up to the one that ends a
  // line that lets the guest go on.
  [[nodiscard]] Wish take(std::span<const uint8_t>* keys, DebugTarget& target, bool may_control);

 private:
  [[nodiscard]] Wish take_key(uint8_t key, DebugTarget& target, bool may_control);
  [[nodiscard]] Wish run_line(const std::string& line, DebugTarget& target, bool may_control);
  [[nodiscard]] Wish control(const std::vector<std::string>& words, DebugTarget& target);
  void change_points(const std::vector<std::string>& words, DebugTarget& target);

  std::function<void(const std::string&)> print_;
  LineEditor editor_;
};

}  // namespace ringshift::debug
