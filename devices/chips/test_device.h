// TestDevice: the device that test-suites for processors of PCs look for ("pc-testdev"): ports that
// give back the written value, interrupt lines to be set by hand, memory that is a device's. Owns:
// its registers, 64 KiB of bytes. Does not own: the interrupt controllers. See docs/devices.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "devices/bus/bus.h"
#include "devices/bus/byte_ports.h"
#include "devices/bus/device.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

class TestDevice {
 public:
  static constexpr unsigned kLines = 24;
  // set_line: an input of the interrupt controllers, below kLines. on_flush: a page of the guest's
  // is to be mapped anew; runs inside a port write, and must only take note.
  TestDevice(std::function<void(unsigned line, bool asserted)> set_line,
             std::function<void()> on_flush);
  TestDevice(const TestDevice&) = delete;
  TestDevice& operator=(const TestDevice&) = delete;

  // False: another added device is there.
  [[nodiscard]] bool attach(PortBus& ports, MemoryBus& memory);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  // Four bytes, as wide as they are written and read.
  class Register final : public PortDevice {
   public:
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

    void visit_state(StateArchive& archive) { archive.field("register", value_); }

   private:
    uint32_t value_ = 0;
  };
  class Flush final : public PortDevice {
   public:
    explicit Flush(std::function<void()> on_flush) : on_flush_(std::move(on_flush)) {}
    [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return ~uint32_t{0}; }
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    std::function<void()> on_flush_;
  };
  class Memory final : public MemoryDevice {
   public:
    static constexpr uint64_t kBytes = 0x10000;
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;

    void visit_state(StateArchive& archive) { archive.memory("memory", bytes_); }

   private:
    std::array<uint8_t, kBytes> bytes_{};
  };

  // Not state: flush_: it holds nothing.
  std::function<void(unsigned, bool)> set_line_;
  Register register_;
  Flush flush_;
  PortWindow bytes_;  // the same register, always byte by byte
  PortWindow lines_;
  Memory memory_;
};

}  // namespace ringshift
