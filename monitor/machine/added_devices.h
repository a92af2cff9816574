// AddedDevices: what --device puts on the board besides what every machine has. Owns: those
// devices. Does not own: the buses, the interrupt controllers. A device has its ports even where
// the board has something already. See docs/devices.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "devices/bus/bus.h"
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
using AddedDevice = std::variant<TestDeviceRequest, DebugExitRequest, VirtioRngRequest>;

// NAME[,KEY=VALUE,...] as typed; false with one line in *problem.
[[nodiscard]] bool parse_device(const std::string& text, std::vector<AddedDevice>* devices,
                                std::string* problem);
// Is an entropy device among them?
[[nodiscard]] bool wants_entropy(const std::vector<AddedDevice>& devices);

class StateArchive;

struct AddedDeviceSurroundings {
  PortBus& ports;
  MemoryBus& memory;
  InterruptControllerPair& interrupts;
  IoApic* io_apic = nullptr;  // null: none
  std::function<void(uint8_t)> on_exit;
  std::function<void()> on_flush;
};

class AddedDevices {
 public:
  // Null with one line in *error if two of them want the same ports.
  [[nodiscard]] static std::unique_ptr<AddedDevices> create(const std::vector<AddedDevice>& wanted,
                                                            AddedDeviceSurroundings on,
                                                            std::string* error);

  // Which devices there are is not state: they are those the machine is made with.
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
  [[nodiscard]] bool add(const VirtioRngRequest& request);
  void set_line(unsigned line, bool asserted);

  // Not state: on_, exit_ports_: where they are put, and ports that hold nothing.
  // Not state: has_entropy_: the device is the PCI board's.
  AddedDeviceSurroundings on_;
  std::unique_ptr<TestDevice> test_device_;
  std::vector<std::unique_ptr<ExitPort>> exit_ports_;
  bool has_entropy_ = false;
};

}  // namespace ringshift
