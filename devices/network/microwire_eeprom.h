// MicrowireEeprom: a serial memory of 64 words (a 93C46) as a driver reads it, bit by bit, through
// the four wires of EECD. Nothing is written to it: commands but READ do nothing. Owns: the words,
// how far a command is. See Intel 317453, 5 and 13.4.3.
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

class MicrowireEeprom {
 public:
  static constexpr unsigned kWords = 64;
  explicit MicrowireEeprom(const std::array<uint16_t, kWords>& words) : words_(words) {}

  [[nodiscard]] uint16_t word(unsigned at) const { return at < kWords ? words_[at] : uint16_t{0}; }

  // The wires as the driver holds them now: clock, select, data in.
  void set_wires(bool clock, bool select, bool data) {
    if (!select) {
      bits_ = 0;
      received_ = 0;
      output_ = true;
    } else if (clock && !clock_) {
      clock_in(data);
    }
    clock_ = clock;
  }
  [[nodiscard]] bool output() const { return output_; }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) {
    archive.field("clock", clock_);
    archive.field("output", output_);
    archive.field("received", received_);
    archive.field("bits", bits_);
  }

 private:
  // A start bit, two of the command, six of the address; then a zero and the word's bits.
  static constexpr unsigned kCommandBits = 9, kWordBits = 16;
  static constexpr unsigned kRead = 6;
  void clock_in(bool data) {
    if (bits_ == 0 && !data) return;  // no start bit yet
    if (bits_ < kCommandBits) {
      received_ = static_cast<uint16_t>(received_ << 1 | (data ? 1 : 0));
      ++bits_;
      if (bits_ == kCommandBits) output_ = false;
      return;
    }
    const bool reads = received_ >> 6 == kRead;
    const unsigned at = bits_ - kCommandBits;
    if (!reads || at >= kWordBits) return;
    output_ = (word(received_ & (kWords - 1)) >> (kWordBits - 1 - at) & 1) != 0;
    ++bits_;
  }

  // Not state: words_: set when it is made.
  std::array<uint16_t, kWords> words_;
  bool clock_ = false;
  bool output_ = true;
  uint16_t received_ = 0;  // the command's bits
  uint8_t bits_ = 0;       // clocked since it was selected
};

}  // namespace ringshift
