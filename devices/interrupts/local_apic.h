// LocalApic: the processor's own interrupt controller and timer, memory-mapped at 0xfee00000. Owns:
// its registers, the timer's deadline. Does not own: the wires of the 8259 pair, which pass through
// it in virtual wire mode. Keeps: D2. See docs/devices.md; SDM 3A chapter 10.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "devices/bus/device.h"
#include "devices/bus/virtual_clock.h"

namespace ringshift {

class StateArchive;

inline constexpr uint64_t kLocalApicBase = 0xfee00000;
inline constexpr uint64_t kLocalApicBytes = 0x1000;
inline constexpr uint32_t kLocalApicHertz = 25'000'000;  // of the timer, before it is divided

enum class TriggerMode : uint8_t { Edge, Level };
enum class SpecialMessage : uint8_t { Smi = 2, Nmi = 4, Init = 5 };  // as a delivery mode
enum class DestinationMode : uint8_t { Physical, Logical };

class LocalApic final : public MemoryDevice {
 public:
  explicit LocalApic(VirtualClock& clock);

  // Registers lie on 16-byte boundaries and are accessed as whole doublewords.
  [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
  void write(uint64_t offset, AccessWidth width, uint32_t value) override;

  // An interrupt of its own is to be delivered; one load, for use at every exit.
  [[nodiscard]] bool pending() const { return pending_; }
  // Pre: pending(). The vector now in service.
  uint8_t acknowledge();
  // The 8259 pair's INTR reaches the processor (virtual wire mode, SDM 3A 10.1).
  [[nodiscard]] bool passes_external() const { return passes_external_; }

  // A message from the bus: is it for us, and here it is. Vectors below 16 are an error.
  [[nodiscard]] bool is_addressed(uint8_t destination, DestinationMode mode) const;
  // False: it is not heard, because the APIC is disabled.
  bool deliver(uint8_t vector, TriggerMode mode);
  // Messages for us that are no interrupts with a vector: heard while software has it disabled too.
  void deliver_special(SpecialMessage message);
  // An NMI waits; any more meanwhile are the same one.
  [[nodiscard]] bool nmi_pending() const { return nmi_pending_; }
  void take_nmi() { nmi_pending_ = false; }

  // Bit 11 of IA32_APIC_BASE: without it the processor has no local APIC. Coming back is a reset.
  void set_enabled(bool enabled);
  [[nodiscard]] bool enabled() const { return enabled_; }
  // An interrupt with this vector waits to be acknowledged.
  [[nodiscard]] bool is_requested(uint8_t vector) const;

  // Called when an interrupt becomes deliverable that was not.
  void set_on_output(std::function<void()> on_output) { on_output_ = std::move(on_output); }
  // Sets the listener for messages that nothing here can obey: it gets the message's name.
  void set_on_refusal(std::function<void(const char*)> tell) { on_refusal_ = std::move(tell); }
  // Sets the listener for each end of a level-triggered interrupt: the I/O APIC.
  void set_on_end(std::function<void(uint8_t)> on_end) { on_end_ = std::move(on_end); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  static constexpr unsigned kWords = 8;
  using Vectors = std::array<uint32_t, kWords>;  // one bit a vector
  enum Lvt : uint8_t { kTimer, kThermal, kCounters, kLint0, kLint1, kErrorEntry, kLvts };

  void reset();
  [[nodiscard]] uint32_t read_register(unsigned index);
  void write_register(unsigned index, uint32_t value);
  void write_lvt(Lvt entry, uint32_t value);
  void write_spurious(uint32_t value);
  void send_message();
  void send_special();
  [[nodiscard]] bool sends_to_us() const;
  void end_of_interrupt();
  void note_error(uint32_t bits);
  void raise_local(Lvt entry);
  void start_timer();
  void change_divider(uint32_t divide);
  void on_timer();
  [[nodiscard]] Nanoseconds timer_period() const;
  [[nodiscard]] uint32_t timer_count();
  [[nodiscard]] uint8_t processor_priority() const;
  [[nodiscard]] bool is_software_enabled() const;
  void update();

  // Not state: pending_, passes_external_: they follow from the registers.
  VirtualClock& clock_;
  std::function<void()> on_output_;
  std::function<void(uint8_t)> on_end_;
  std::function<void(const char*)> on_refusal_;
  bool enabled_ = true;
  bool pending_ = false;
  bool nmi_pending_ = false;
  bool passes_external_ = true;
  uint32_t id_ = 0;
  uint32_t task_priority_ = 0;
  uint32_t logical_destination_ = 0;
  uint32_t destination_format_ = ~0U;
  uint32_t spurious_ = 0xff;
  Vectors in_service_{}, trigger_mode_{}, request_{};
  uint32_t error_status_ = 0, error_noted_ = 0;
  uint32_t command_low_ = 0, command_high_ = 0;
  std::array<uint32_t, kLvts> lvt_{};
  uint32_t initial_count_ = 0;
  uint32_t divide_ = 0;
  Nanoseconds timer_end_ = 0;
  ClockTimer timer_;
};

}  // namespace ringshift
