// InterruptControllerPair: the two cascaded 8259A interrupt controllers of a PC. Owns: request,
// service and mask state of sixteen lines. Does not own: the devices behind them. See
// docs/devices.md; Intel 8259A datasheet 231468; 82371 (PIIX) for the edge/level registers.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "devices/bus/byte_ports.h"
#include "devices/interrupts/interrupt_line.h"

namespace ringshift {

class StateArchive;

// One controller chip. Knows nothing of the other one.
class Pic8259 {
 public:
  void set_line(unsigned input, bool asserted);
  // Bits of level-triggered inputs. PIIX: replaces the LTIM bit of ICW1, which is ignored.
  void set_level_triggered(uint8_t inputs);
  [[nodiscard]] uint8_t level_triggered() const { return level_triggered_; }

  [[nodiscard]] bool output() const { return output_; }
  // True: the input's request waits to be acknowledged, and is not masked.
  [[nodiscard]] bool is_requested(unsigned input) const;
  // INTA: the input now in service, or nothing if the request has gone (then input 7 is reported).
  std::optional<unsigned> acknowledge();
  [[nodiscard]] uint8_t vector_of(unsigned input) const {
    return static_cast<uint8_t>(vector_base_ | input);
  }

  [[nodiscard]] uint8_t read(uint16_t a0);
  void write(uint16_t a0, uint8_t value);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  enum class Expecting : uint8_t { Ocw, Icw2, Icw3, Icw4 };

  void start_initialization(uint8_t icw1);
  void continue_initialization(uint8_t value);
  void write_ocw2(uint8_t value);
  void write_ocw3(uint8_t value);
  void end_of_interrupt(std::optional<unsigned> input, bool rotate);
  // 0 is the highest priority; 8 means that no bit is set.
  [[nodiscard]] unsigned best_priority(uint8_t bits) const;
  [[nodiscard]] unsigned input_at(unsigned priority) const {
    return (lowest_priority_ + 1 + priority) & 7;
  }
  [[nodiscard]] std::optional<unsigned> deliverable() const;
  void update_output() { output_ = deliverable().has_value(); }

  // Not state: output_: it follows from the others.
  uint8_t lines_ = 0;
  uint8_t request_ = 0;     // IRR
  uint8_t in_service_ = 0;  // ISR
  uint8_t mask_ = 0xff;     // IMR; nothing can be delivered until the guest has programmed vectors
  uint8_t level_triggered_ = 0;
  uint8_t vector_base_ = 0;
  uint8_t cascade_ = 0;  // ICW3: which inputs have a slave (master) or the identity (slave)
  uint8_t lowest_priority_ = 7;
  Expecting expecting_ = Expecting::Ocw;
  bool single_ = false;
  bool needs_icw4_ = false;
  bool auto_eoi_ = false;
  bool rotate_on_auto_eoi_ = false;
  bool special_fully_nested_ = false;
  bool special_mask_ = false;
  bool read_in_service_ = false;
  bool poll_ = false;
  bool output_ = false;
};

class InterruptControllerPair {
 public:
  InterruptControllerPair();
  InterruptControllerPair(const InterruptControllerPair&) = delete;
  InterruptControllerPair& operator=(const InterruptControllerPair&) = delete;

  // Pre: irq < 16. Line 2 is the cascade input and is not wired to anything.
  [[nodiscard]] InterruptLine& line(unsigned irq);
  // The INTR wire to the processor; one load, for use at every exit.
  [[nodiscard]] bool pending() const { return output_; }
  // The processor's INTA cycles. Returns the vector, a spurious one if the request has gone.
  uint8_t acknowledge();
  // Called whenever INTR goes from low to high.
  void set_on_output(std::function<void()> on_output) { on_output_ = std::move(on_output); }

  // Sets the listener for every level that a device sets, called before the pair acts on it: an I/O
  // APIC has the same wires.
  void set_on_line(std::function<void(unsigned irq, bool asserted)> on_line) {
    on_line_ = std::move(on_line);
  }

  // The other way of its wires to the processor: whether it lets our INTR through, and whether a
  // line's interrupt waits there.
  struct OtherWay {
    std::function<bool()> passes_ours;
    std::function<bool(unsigned irq)> is_waiting;
  };
  void set_other_way(OtherWay way) { other_way_ = std::move(way); }
  // As InterruptLine::is_waiting, by either way. Pre: irq < 16.
  [[nodiscard]] bool is_waiting(unsigned irq) const;

  [[nodiscard]] PortDevice& master_ports() { return master_ports_; }  // 0x20-0x21
  [[nodiscard]] PortDevice& slave_ports() { return slave_ports_; }    // 0xa0-0xa1
  [[nodiscard]] PortDevice& elcr_ports() { return elcr_ports_; }      // 0x4d0-0x4d1

  // The levels of the wires are saved here, and not by the devices that drive them.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  class Line final : public InterruptLine {
   public:
    void connect(InterruptControllerPair& pair, unsigned irq) {
      pair_ = &pair;
      irq_ = irq;
    }
    void set_level(bool asserted) override { pair_->set_line(irq_, asserted); }
    [[nodiscard]] bool is_waiting() const override { return pair_->is_waiting(irq_); }

   private:
    InterruptControllerPair* pair_ = nullptr;
    unsigned irq_ = 0;
  };

  void set_line(unsigned irq, bool asserted);
  void update_output();
  [[nodiscard]] PortWindow window_of(Pic8259& chip);
  void write_elcr(uint16_t offset, uint8_t value);

  // Not state: lines_, output_: the chips know the levels, and the output is the first one's.
  // Not state: other_way_: a wire.
  Pic8259 master_;
  Pic8259 slave_;
  std::array<Line, 16> lines_;
  PortWindow master_ports_;
  PortWindow slave_ports_;
  PortWindow elcr_ports_;
  std::function<void()> on_output_;
  std::function<void(unsigned, bool)> on_line_;
  OtherWay other_way_;
  bool output_ = false;
};

}  // namespace ringshift
