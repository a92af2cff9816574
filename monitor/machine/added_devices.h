// AddedDevices: the devices that --device adds to those of every machine. Owns: those devices. Does
// not own: the buses, the interrupt controllers. A device has its ports even where the board has
// something already. See docs/devices.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/chips/panic_register.h"
#include "devices/chips/test_device.h"
#include "devices/interrupts/io_apic.h"
#include "devices/interrupts/pic8259.h"

namespace ringshift {

// An exit port: a guest that writes v there ends the machine with (v << 1) | 1.
struct DebugExitRequest {
  uint32_t first_port = 0x501;
  uint32_t ports = 2;
};
struct TestDeviceRequest {};
// An entropy device, which the PCI board makes.
struct VirtioRngRequest {};
// A balloon, which the PCI board makes.
struct VirtioBalloonRequest {
  bool deflates_on_oom = true;
  bool reports_free = true;
};
// The device by which the guest's kernel says that it has panicked: a port, or a function of the
// PCI board's.
struct PanicRequest {
  uint32_t port = PanicRegister::kUsualPort;
};
struct PciPanicRequest {};
// A watchdog timer, which the PCI board makes.
struct WatchdogRequest {};
using AddedDevice =
    std::variant<TestDeviceRequest, DebugExitRequest, VirtioRngRequest, VirtioBalloonRequest,
                 PanicRequest, PciPanicRequest, WatchdogRequest>;

// NAME[,KEY=VALUE,...] as typed; false with one line in *problem.
[[nodiscard]] bool parse_device(const std::string& text, std::vector<AddedDevice>* devices,
                                std::string* problem);
// Is one of this kind among them? E.g. wants<VirtioRngRequest>.
template <typename Request>
[[nodiscard]] bool wants(const std::vector<AddedDevice>& devices) {
  return std::any_of(devices.begin(), devices.end(), [](const AddedDevice& device) {
    return std::holds_alternative<Request>(device);
  });
}
// Is one among them that is on the PCI bus?
[[nodiscard]] bool want_pci(const std::vector<AddedDevice>& devices);

// The balloon among them; null: there is none.
[[nodiscard]] const VirtioBalloonRequest* wanted_balloon(const std::vector<AddedDevice>& devices);

class StateArchive;

struct AddedDeviceSurroundings {
  PortBus& ports;
  MemoryBus& memory;
  InterruptControllerPair& interrupts;
  IoApic* io_apic = nullptr;  // null: none
  std::function<void(uint8_t)> on_exit;
  std::function<void()> on_flush;
  PanicRegister::OnEvent on_panic = nullptr;  // null: no panic register is wanted
};

class AddedDevices {
 public:
  // Null with one line in *error if two of them want the same ports.
  [[nodiscard]] static std::unique_ptr<AddedDevices> create(const std::vector<AddedDevice>& wanted,
                                                            AddedDeviceSurroundings on,
                                                            std::string* error);

  // The set of devices is not state: they are those that the machine is made with.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  // Any byte of it, and the low byte of a wide write.
  class ExitPort final : public PortDevice {
   public:
    explicit ExitPort(std::function<void(uint8_t)> on_exit) : on_exit_(std::move(on_exit)) {}
    [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return 0; }
    void write(uint16_t, AccessWidth, uint32_t value) override {
      on_exit_(static_cast<uint8_t>(value << 1 | 1));
    }

   private:
    std::function<void(uint8_t)> on_exit_;
  };

  explicit AddedDevices(AddedDeviceSurroundings on) : on_(std::move(on)) {}
  [[nodiscard]] bool add(const TestDeviceRequest& request);
  [[nodiscard]] bool add(const DebugExitRequest& request);
  [[nodiscard]] bool add(const PanicRequest& request);
  // The PCI board's: one of a kind.
  [[nodiscard]] bool add(const VirtioRngRequest&) { return is_first(0); }
  [[nodiscard]] bool add(const VirtioBalloonRequest&) { return is_first(1); }
  [[nodiscard]] bool add(const PciPanicRequest&) { return is_first(2); }
  [[nodiscard]] bool add(const WatchdogRequest&) { return is_first(3); }
  [[nodiscard]] bool is_first(size_t kind) { return !std::exchange(is_there_[kind], true); }
  void set_line(unsigned line, bool asserted);

  // Not state: on_, exit_ports_: where they are put, and ports that hold nothing.
  // Not state: is_there_, panic_: devices of the PCI board's, and a port that holds nothing.
  AddedDeviceSurroundings on_;
  std::unique_ptr<TestDevice> test_device_;
  std::vector<std::unique_ptr<ExitPort>> exit_ports_;
  std::unique_ptr<PanicRegister> panic_;  // null: none
  std::array<bool, 4> is_there_{};
};

}  // namespace ringshift
