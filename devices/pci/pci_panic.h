// PciPanic: the register of panic_register.h as a PCI function, where drivers find it without ACPI.
// It holds nothing. See docs/devices.md; QEMU, docs/specs/pvpanic.rst.
#pragma once

#include <cstdint>
#include <utility>

#include "devices/chips/panic_register.h"
#include "devices/pci/pci_function.h"

namespace ringshift {

class PciPanic final : public PciFunction {
 public:
  PciPanic(PciBuses& buses, PanicRegister::OnEvent on_event)
      : PciFunction(buses, {.vendor = 0x1b36, .device = 0x0011, .class_code = 0x088000}, "pvpanic"),
        page_(std::move(on_event)) {
    add_memory_range(0, kPageSize, page_);
  }

 private:
  class Page final : public MemoryDevice {
   public:
    explicit Page(PanicRegister::OnEvent on_event) : register_(std::move(on_event)) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth) override {
      return offset == 0 ? PanicRegister::supported() : 0;
    }
    void write(uint64_t offset, AccessWidth, uint32_t value) override {
      if (offset == 0) register_.tell(static_cast<uint8_t>(value));
    }

   private:
    PanicRegister register_;
  };

  // Not state: page_, which holds nothing.
  Page page_;
};

}  // namespace ringshift
