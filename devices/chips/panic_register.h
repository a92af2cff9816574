// PanicRegister: one byte by which a guest's kernel says that it has panicked ("pvpanic"): reading
// tells which events it takes, writing tells of them. As a port of the ISA bus here; pci_panic.h
// has it as a PCI function. See docs/devices.md; QEMU, docs/specs/pvpanic.rst.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/device.h"

namespace ringshift {

enum class PanicEvent : uint8_t {
  Panicked,     // nobody in the guest deals with it
  CrashLoaded,  // its crash kernel has taken over, and will
};

class PanicRegister final : public PortDevice {
 public:
  static constexpr uint16_t kUsualPort = 0x505;
  using OnEvent = std::function<void(PanicEvent)>;
  // on_event runs inside the access, and must only take note.
  explicit PanicRegister(OnEvent on_event) : on_event_(std::move(on_event)) {}

  [[nodiscard]] static uint8_t supported() { return kPanicked | kCrashLoaded; }
  void tell(uint8_t value) {
    if ((value & kPanicked) != 0) {
      on_event_(PanicEvent::Panicked);
    } else if ((value & kCrashLoaded) != 0) {
      on_event_(PanicEvent::CrashLoaded);
    }
  }

  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return supported(); }
  void write(uint16_t, AccessWidth, uint32_t value) override { tell(static_cast<uint8_t>(value)); }

 private:
  static constexpr uint8_t kPanicked = 1, kCrashLoaded = 2;
  OnEvent on_event_;
};

}  // namespace ringshift
