// Ps2Mouse: a mouse with three buttons and a wheel, as the second port of an 8042 finds it. Owns:
// its settings, movement that has not been reported, bytes that have not been taken. See
// docs/devices.md; IBM PS/2 Hardware Interface Technical Reference, auxiliary device; the wheel is
// that of the IntelliMouse.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace ringshift {

class StateArchive;

struct MouseMotion {
  int right = 0, up = 0;  // counts
  int wheel = 0;          // steps towards the person
  uint8_t buttons = 0;    // bit 0 left, 1 right, 2 middle: held now
};

class Ps2Mouse {
 public:
  // Pre: nothing; any byte may come at any time.
  void command(uint8_t byte);
  // Adds movement and buttons since the last call. They are lost while the mouse reports nothing.
  void move(const MouseMotion& motion);
  [[nodiscard]] bool has_output() const { return !output_.empty(); }
  uint8_t take_output();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  void take_argument(uint8_t of, uint8_t byte);
  void set_defaults();
  void forget_movement();
  void note_rate(uint8_t rate);
  void send(uint8_t byte);
  void send_status();
  void send_packet();
  void report();

  std::deque<uint8_t> output_;
  // The packet or the answer sent last, to be sent again on request.
  struct Said {
    std::array<uint8_t, 4> bytes{};  // the longest of both: an acknowledgement and the status
    size_t count = 0;
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
  };
  Said last_;
  MouseMotion pending_;
  bool has_news_ = false;  // there is something in pending_ to report
  uint8_t awaiting_argument_of_ = 0;
  uint8_t rate_ = 100, resolution_ = 2;
  uint8_t rates_seen_[3] = {};
  bool has_wheel_ = false;  // the host knows of it
  bool reporting_ = false, remote_ = false, doubles_ = false, echoes_ = false;
};

}  // namespace ringshift
