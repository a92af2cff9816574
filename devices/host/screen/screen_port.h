// ScreenPort: the way between a machine and a server of its screen, which outlives the machine. The
// server's thread asks for the screen and puts in keys; the vCPU hands over a copy when it is
// asked. Owns: the copy on its way, the input on its way (both bounded). Keeps: V4. See
// docs/screen.md.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "devices/host/inbox.h"
#include "devices/input/ps2_mouse.h"
#include "devices/screen/screen_content.h"

namespace ringshift {

class ScreenPort {
 public:
  // source: HostInput::source of its input.
  explicit ScreenPort(uint8_t source) : source_(source) {}
  ScreenPort(const ScreenPort&) = delete;
  ScreenPort& operator=(const ScreenPort&) = delete;
  [[nodiscard]] uint8_t source() const { return source_; }

  // ---- the vCPU's thread ----
  // Around the life of a machine. Input that a machine has not taken ends with it.
  void attach(Inbox& inbox);
  void detach();
  // Hands over the screen, if it was asked for.
  void give(const std::function<void(ScreenContent*)>& capture);
  // The guest has taken one input.
  void note_input_taken();

  // ---- the server's thread ----
  // Called on the vCPU's thread when the screen is there; must only take note. Before anything
  // else.
  void set_on_screen(std::function<void()> on_screen) { on_screen_ = std::move(on_screen); }
  void ask();
  // Exchanges *content for the screen handed over last. False: none has been since the last call.
  [[nodiscard]] bool take(ScreenContent* content);
  enum class Loss : uint8_t { Allowed, Forbidden };
  // False: too much is on its way, and these keys are lost. Keys that must not be lost end
  // something that was not lost, and so are bounded by that.
  [[nodiscard]] bool put_keys(std::vector<uint8_t> codes, Loss loss);
  // Never lost: if too much is on its way, movements become one.
  void put_motion(const MouseMotion& motion);

  static constexpr unsigned kMostOnTheirWay = 1024;

 private:
  void put_late_motion();

  const uint8_t source_;
  std::function<void()> on_screen_;
  ScreenContent spare_;  // vCPU thread
  std::mutex mutex_;     // guards the rest
  Inbox* inbox_ = nullptr;
  bool is_asked_ = false;
  bool is_there_ = false;
  ScreenContent there_;
  unsigned on_their_way_ = 0;
  bool has_late_motion_ = false;
  MouseMotion late_motion_;
};

}  // namespace ringshift
