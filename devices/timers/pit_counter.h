// PitCounter: one counter of an 8254, as a function of time. It never ticks: every answer is
// computed from the tick at which counting began. Owns: mode, count, latches of one counter. Keeps:
// D2. See docs/devices.md; Intel 8254 datasheet 231164 ("Mode definitions", "Counter latch",
// "Read-back").
#pragma once

#include <cstdint>
#include <optional>

namespace ringshift {

class StateArchive;

class PitCounter {
 public:
  // control: the low six bits of the control word (access, mode, BCD). Access 0 is not passed here.
  void write_control(uint8_t control, int64_t tick);
  void write(uint8_t value, int64_t tick);
  [[nodiscard]] uint8_t read(int64_t tick);
  void latch_count(int64_t tick);
  void latch_status(int64_t tick);
  void set_gate(bool high, int64_t tick);

  [[nodiscard]] bool gate() const { return gate_; }
  [[nodiscard]] bool output(int64_t tick);
  [[nodiscard]] bool periodic() const { return mode_ == 2 || mode_ == 3; }
  // The first tick later than `after` at which OUT goes from low to high, if it will.
  [[nodiscard]] std::optional<int64_t> next_rising_edge(int64_t after);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  void load(int64_t count, int64_t tick);
  void restart(int64_t tick);
  // Lets a count written during a period take over once that period has ended.
  void apply_reload(int64_t tick);
  [[nodiscard]] int64_t elapsed(int64_t tick) const;
  [[nodiscard]] int64_t modulus() const { return bcd_ ? 10000 : 65536; }
  [[nodiscard]] uint16_t count_at(int64_t tick);
  [[nodiscard]] int64_t decode(uint16_t written) const;

  uint8_t mode_ = 0;
  uint8_t access_ = 3;  // 1 low byte, 2 high byte, 3 low then high
  bool bcd_ = false;
  bool gate_ = true;
  bool counting_ = false;       // a count has been loaded and, in modes 1 and 5, triggered
  bool null_count_ = true;      // the count register has not reached the counting element yet
  bool second_period_ = false;  // start_ is the end of an earlier period, so an edge of OUT itself
  int64_t count_ = 0;
  int64_t start_ = 0;                  // tick at which the counting element held count_
  std::optional<int64_t> paused_;      // elapsed ticks while the gate holds counting
  std::optional<int64_t> next_count_;  // written, waiting for the period's end or a trigger
  int64_t next_count_at_ = 0;          // modes 2 and 3: when it takes over
  uint8_t low_byte_ = 0;
  bool write_high_next_ = false;
  bool read_high_next_ = false;
  std::optional<uint16_t> latched_count_;
  std::optional<uint8_t> latched_status_;
};

}  // namespace ringshift
