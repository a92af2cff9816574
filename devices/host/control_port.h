// ControlPort: the way between a machine and a page that controls it, which outlives the machine:
// its serial port in both directions, its figures, wishes. Owns: the bytes and wishes on their way
// (all of it bounded). Keeps: V4. See docs/screen.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "devices/host/inbox.h"

namespace ringshift {

class ControlPort {
 public:
  // The serial port's latest output, kept for pages that are opened later.
  static constexpr size_t kKeptOutput = 64 * 1024;
  static constexpr size_t kMostInput = 16 * 1024;

  // source: HostInput::source of typed keys.
  explicit ControlPort(uint8_t source) : source_(source) {}
  ControlPort(const ControlPort&) = delete;
  ControlPort& operator=(const ControlPort&) = delete;

  // ---- the vCPU's thread ----
  // Around the life of a machine, which has a power button or none.
  void attach(Inbox& inbox, bool has_power_button);
  void detach();
  void transmit(uint8_t byte);
  // So many bytes of the serial port's input have found the guest.
  void note_input_taken(size_t count);
  // Makes the figures, if they were asked for.
  void give_figures(const std::function<std::string()>& figures);

  // ---- the server's thread ----
  [[nodiscard]] bool has_machine();
  [[nodiscard]] bool has_power_button();
  // A wish of HostInput's kinds that count once. False: there is no machine now.
  bool wish(HostInput::Kind kind);
  // Bytes beyond kMostInput are lost, as keys of a terminal are.
  void type(std::span<const uint8_t> bytes);
  void ask_figures();
  // False: no new ones have come.
  [[nodiscard]] bool take_figures(std::string* figures);
  // The serial port's output since `*place`, a count of its bytes, which moves on.
  [[nodiscard]] std::string output_since(uint64_t* place);

 private:
  const uint8_t source_;
  std::mutex mutex_;  // guards the rest
  Inbox* inbox_ = nullptr;
  std::deque<uint8_t> output_;
  uint64_t said_ = 0;  // bytes, in all
  size_t input_on_its_way_ = 0;
  bool has_power_button_ = false;
  bool wants_figures_ = false;
  bool has_figures_ = false;
  std::string figures_;
};

}  // namespace ringshift
