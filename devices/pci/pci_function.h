// PciFunction: the configuration space of one PCI function, and where its address ranges are. Owns:
// the 256 bytes, the ranges' claims on the buses. Does not own: the buses, the devices behind the
// ranges. Keeps: D1. See docs/devices.md; PCI Local Bus Specification 2.1, chapter 6.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "devices/bus/bus.h"
#include "devices/bus/device.h"

namespace ringshift {

class StateArchive;

// The bus that PCI devices are attached to. on_memory_map_changed runs inside a port write, after a
// memory range has come, gone or moved; it must only take note.
struct PciBuses {
  PortBus& ports;
  MemoryBus& memory;
  std::function<void()> on_memory_map_changed;
};

struct PciIdentity {
  uint16_t vendor = 0;
  uint16_t device = 0;
  uint32_t class_code = 0;  // base class, sub-class, interface: 24 bits
  uint8_t revision = 0;
  uint16_t subsystem_vendor = 0x1af4;
  uint16_t subsystem = 0x1100;
  uint8_t interrupt_pin = 0;  // 1: INTA#; 0: none
};

class PciFunction {
 public:
  PciFunction(PciBuses& buses, const PciIdentity& identity, std::string name);
  virtual ~PciFunction() = default;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  // Sets the place on the bus: slot * 8 + function. Before the guest runs.
  void set_place(unsigned slot_and_function) { place_ = slot_and_function; }
  // Any width at its natural alignment. Pre: offset + width <= 256.
  [[nodiscard]] uint32_t read_config(unsigned offset, AccessWidth width);
  void write_config(unsigned offset, AccessWidth width, uint32_t value);

  // The configuration space; ranges are decoded where it says.
  static constexpr unsigned kStateVersion = 1;
  virtual void visit_state(StateArchive& archive);

 protected:
  static constexpr unsigned kCommand = 0x04, kStatus = 0x06, kHeaderType = 0x0e;
  static constexpr unsigned kFirstBar = 0x10, kRomBar = 0x30, kInterruptLine = 0x3c;
  static constexpr uint16_t kCommandIo = 1, kCommandMemory = 2, kCommandMaster = 4;

  // Called before each configuration read: a register that follows something else is set here.
  virtual void before_config_read(unsigned /*first*/, unsigned /*length*/) {}
  // Called after each configuration write, with the registers as they are now.
  virtual void on_config_written(unsigned /*first*/, unsigned /*length*/) {}

  [[nodiscard]] uint8_t config_byte(unsigned offset) const { return config_[offset]; }
  [[nodiscard]] uint32_t config_value(unsigned offset, AccessWidth width) const;
  void set_config_byte(unsigned offset, uint8_t value) { config_[offset] = value; }
  void set_config_word(unsigned offset, uint16_t value);
  // Lets the guest change these bits; it may change none that are not named here.
  void make_writable(unsigned offset, uint8_t mask) { writable_[offset] = mask; }
  void make_header_multifunction() { config_[kHeaderType] |= 0x80; }
  [[nodiscard]] bool is_bus_master() const { return (config_[kCommand] & kCommandMaster) != 0; }

  // Base address registers 0 to 5, and the expansion ROM. Pre: bytes is a power of two; a port
  // range of at most 256, a memory range of at least a page.
  void add_port_range(unsigned bar, uint32_t bytes, PortDevice& device);
  void add_memory_range(unsigned bar, uint32_t bytes, MemoryDevice& device);
  void add_rom(uint32_t bytes, MemoryDevice& device);

  // The range that answers where two lie over each other. Ranges 0 to 5, the ROM, and one more that
  // a function may place by itself.
  static constexpr unsigned kRanges = 7, kRomRange = 6, kOwnRange = 7;
  [[nodiscard]] DecodeRank rank_of(unsigned range) const { return pci_rank(place_, range); }

 private:
  struct Range {
    uint32_t bytes = 0;  // 0: there is none
    PortDevice* ports = nullptr;
    MemoryDevice* memory = nullptr;
    uint32_t claimed_at = 0;  // 0: not decoded
  };
  [[nodiscard]] static unsigned register_of(unsigned range) {
    return range == kRomRange ? kRomBar : kFirstBar + 4 * range;
  }
  void add_range(unsigned index, const Range& range);
  void claim(const Range& range, DecodeRank rank);
  void release(const Range& range, DecodeRank rank);
  [[nodiscard]] uint32_t wanted_address(unsigned index) const;
  void place_ranges();

  // Not state: name_, place_, ranges_: the function's identity, and facts that follow from its
  // registers.
  PciBuses& buses_;
  std::string name_;
  unsigned place_ = 0;
  std::array<uint8_t, 256> config_{};
  std::array<uint8_t, 256> writable_{};
  std::array<Range, kRanges> ranges_{};
};

}  // namespace ringshift
