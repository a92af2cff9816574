// VirtioDevice / VirtioTransport: one kind of virtio device, and its way to its driver: features,
// configuration, queues, interrupts. Derived: virtio_blk, virtio_net, virtio_rng; virtio_pci. See
// docs/devices.md; VIRTIO 1.1, chapters 2 and 5.
#pragma once

#include <cstdint>

#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"
#include "devices/virtio/virtqueue.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

class StateArchive;

// Features that are the transport's (VIRTIO 1.1, 6 and 6.3); the others are the device's.
inline constexpr uint64_t kVirtioAnyLayout = uint64_t{1} << 27;
inline constexpr uint64_t kVirtioIndirect = uint64_t{1} << 28;
inline constexpr uint64_t kVirtioEventIndex = uint64_t{1} << 29;
inline constexpr uint64_t kVirtioVersion1 = uint64_t{1} << 32;

struct VirtioKind {
  const char* name = "";
  uint16_t id = 0;          // VIRTIO 1.1, 5
  uint16_t pci_device = 0;  // of a transitional function (4.1.2.1)
  uint32_t class_code = 0;  // as PciIdentity has it
  uint64_t features = 0;    // the device's own
  unsigned queues = 1;
  unsigned queues_at_first = 0;  // in states of version 1 of the function; 0: as many
  uint16_t queue_entries = Virtqueue::kMostDescriptors;
  unsigned config_bytes = 0;
};

class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  // Pre: the device has this queue.
  [[nodiscard]] virtual Virtqueue& queue(unsigned index) = 0;
  [[nodiscard]] virtual DmaMemory& memory() = 0;
  // Have both sides agreed to it?
  [[nodiscard]] virtual bool has_feature(uint64_t feature) const = 0;
  // The host has something for this queue: VirtioDevice::serve is called when the clock is looked
  // at, and not before this returns.
  virtual void serve_soon(unsigned queue) = 0;
  // One byte of the configuration is another one now, and the driver is to look.
  virtual void note_config_change() = 0;
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // The same at all times.
  [[nodiscard]] virtual VirtioKind kind() const = 0;
  // A byte of the configuration. Pre: offset < kind().config_bytes.
  [[nodiscard]] virtual uint8_t config_byte(unsigned offset) const = 0;
  virtual void write_config_byte(unsigned /*offset*/, uint8_t /*value*/) {}
  // As at power-on; queues are the transport's.
  virtual void reset() = 0;
  // The driver has taken a queue back, with all that waited in it or was under way.
  virtual void forget(unsigned /*queue*/) {}
  // Serves the requests that wait in a queue in use, about a megabyte at most. More: there is more,
  // and it wants to be called again soon. Broken: the driver has made no sense, and nothing is
  // served until it resets the device.
  enum class Served : uint8_t { All, More, Broken };
  [[nodiscard]] virtual Served serve(unsigned queue) = 0;

  // How long after More: nanoseconds of the host's time; 0: as soon as the processor has gone on.
  [[nodiscard]] virtual Nanoseconds pause() { return 0; }

  // Once, before the guest runs.
  void attach(VirtioTransport& transport) { transport_ = &transport; }
  static constexpr unsigned kStateVersion = 1;
  virtual void visit_state(StateArchive& archive) = 0;

 protected:
  [[nodiscard]] VirtioTransport& transport() const {
    CHECK(transport_ != nullptr);
    return *transport_;
  }

 private:
  VirtioTransport* transport_ = nullptr;
};

}  // namespace ringshift
