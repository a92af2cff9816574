// EthernetPhy: the registers of a gigabit transceiver behind MDIO, an 88E1011 as the 82540EM has
// it. Its link is up when the network's is. Owns: the registers. See IEEE 802.3, 22.2.4; Intel
// 317453, 13.4.9 and 8.
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

class EthernetPhy {
 public:
  static constexpr unsigned kRegisters = 32;
  EthernetPhy() { reset(); }

  void reset() {
    registers_ = {};
    registers_[kControl] = kAutoNegotiate | kDuplex | kGigabit;
    registers_[kAdvertised] = 0x0de1;      // 10 and 100, both ways, pause
    registers_[kGigabitControl] = 0x0e00;  // 1000 full duplex
    registers_[kSpecificControl] = 0x0068;
    registers_[kExtendedControl] = 0x0d60;
  }

  [[nodiscard]] uint16_t read(unsigned number, bool is_up) const {
    constexpr uint16_t kAbilities = 0x7949, kLink = 0x0004, kNegotiated = 0x0020;
    switch (number) {
      case kStatus:
        return static_cast<uint16_t>(kAbilities | (is_up ? kLink | kNegotiated : 0));
      case 2:
        return 0x0141;  // who made it, and which one
      case 3:
        return 0x0c20;
      case 5:  // the partner's abilities
        return is_up ? 0x45e1 : 0;
      case 6:
        return is_up ? 0x0001 : 0;
      case 10:  // the partner can do 1000, and both receivers are good
        return is_up ? 0x3c00 : 0;
      case 15:
        return 0x3000;
      case 17:  // 1000 full duplex, resolved, link
        return is_up ? 0xac08 : 0x0008;
      default:
        return number < kRegisters ? registers_[number] : uint16_t{0};
    }
  }

  // True: negotiation begins anew, and the link comes up again.
  bool write(unsigned number, uint16_t value) {
    if (number == kControl) {
      constexpr uint16_t kRestart = 0x0200, kReset = 0x8000;
      if ((value & kReset) != 0) reset();
      // These two are done at once.
      else
        registers_[kControl] = static_cast<uint16_t>(value & ~kRestart);
      return (value & (kReset | kRestart)) != 0;
    }
    constexpr uint32_t kWritable = 1U << kAdvertised | 1U << 7 | 1U << kGigabitControl |
                                   1U << kSpecificControl | 1U << 18 | 1U << kExtendedControl |
                                   1U << 24 | 1U << 25 | 1U << 29 | 1U << 30;
    if (number < kRegisters && (kWritable >> number & 1) != 0) registers_[number] = value;
    return false;
  }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) { archive.numbers("registers", registers_); }

 private:
  static constexpr unsigned kControl = 0, kStatus = 1, kAdvertised = 4, kGigabitControl = 9;
  static constexpr unsigned kSpecificControl = 16, kExtendedControl = 20;
  static constexpr uint16_t kAutoNegotiate = 0x1000, kDuplex = 0x0100, kGigabit = 0x0040;
  std::array<uint16_t, kRegisters> registers_{};
};

}  // namespace ringshift
