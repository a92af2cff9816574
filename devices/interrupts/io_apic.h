// IoApic: the 82093AA: 24 inputs, each with an entry that says which message its interrupt becomes.
// Owns: the redirection table, the levels of the wires. Does not own: the local APIC the messages
// go to. See docs/devices.md; Intel 82093AA datasheet 290566.
#pragma once

#include <array>
#include <cstdint>

#include "devices/bus/device.h"
#include "devices/interrupts/local_apic.h"

namespace ringshift {

class StateArchive;

inline constexpr uint64_t kIoApicBase = 0xfec00000;
inline constexpr uint64_t kIoApicBytes = 0x1000;

class IoApic final : public MemoryDevice {
 public:
  static constexpr unsigned kInputs = 24;

  explicit IoApic(LocalApic& local) : local_(local) { entries_.fill(kMasked); }

  // Pre: input < kInputs.
  void set_input(unsigned input, bool asserted);
  // An edge here would be lost: the local APIC has the one before in its request register still.
  [[nodiscard]] bool is_waiting(unsigned input) const;
  // A level-triggered interrupt with this vector has been served.
  void end_of_interrupt(uint8_t vector);

  // Offset 0 selects a register, 0x10 is its window.
  [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
  void write(uint64_t offset, AccessWidth width, uint32_t value) override;

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  static constexpr uint64_t kMasked = 1U << 16;

  [[nodiscard]] uint32_t read_register() const;
  void write_register(uint32_t value);
  void write_entry(unsigned input, unsigned half, uint32_t value);
  void serve(unsigned input);

  LocalApic& local_;
  std::array<uint64_t, kInputs> entries_{};
  uint32_t levels_ = 0;  // by input
  uint32_t selected_ = 0;
  uint32_t id_ = 0;
};

}  // namespace ringshift
