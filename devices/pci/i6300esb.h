// I6300esb: the watchdog timer of Intel's 6300ESB: two stages, each with a time of its own; a
// driver that is alive begins anew before the second one ends. Does not own: the action then. See
// docs/devices.md; Intel 6300ESB I/O Controller Hub Datasheet (300641), chapter 16.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/virtual_clock.h"
#include "devices/pci/pci_function.h"

namespace ringshift {

class StateArchive;

class I6300esb final : public PciFunction {
 public:
  // on_expiry: the second stage has ended; it runs while the clock is looked at, and must only take
  // note. has_fired: it did so in an earlier life of this machine.
  I6300esb(PciBuses& buses, VirtualClock& clock, std::function<void()> on_expiry, bool has_fired);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 private:
  class Page final : public MemoryDevice {
   public:
    explicit Page(I6300esb& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;

   private:
    I6300esb& owner_;
  };
  // A protected register takes one write after two numbers at the reload register (16.5.1).
  enum class Lock : uint8_t { Closed, FirstNumber, Open };

  void on_config_written(unsigned first, unsigned length) override;
  void write_register(unsigned offset, uint32_t value);
  void write_reload(uint16_t value);
  void start_stage(unsigned stage);
  void on_stage_end();
  [[nodiscard]] bool is_enabled() const;

  // Not state: page_: where its registers are.
  VirtualClock& clock_;
  std::function<void()> on_expiry_;
  Page page_{*this};
  uint32_t preload_[2] = {0xfffff, 0xfffff};  // of the stages, in ticks
  uint8_t stage_ = 0;
  Lock lock_ = Lock::Closed;
  bool was_enabled_ = false;
  bool is_locked_ = false;  // the lock register is as it is until power goes
  bool has_fired_;
  ClockTimer timer_;
};

}  // namespace ringshift
