// VirtioPci: a virtio device as a transitional PCI function: the legacy registers in a range of
// ports, the modern ones in a page of memory that capabilities name, interrupts by INTA#. Owns: the
// queues, status and features. Does not own: the device. A driver that makes no sense finds
// DEVICE_NEEDS_RESET. See docs/devices.md; VIRTIO 1.1, 4.1.
#pragma once

#include <cstdint>
#include <vector>

#include "devices/bus/device.h"
#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/pci/pci_function.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtqueue.h"

namespace ringshift {

class StateArchive;

// The place of a function, and the parts of the machine that it reaches.
struct VirtioSurroundings {
  PciBuses& buses;
  VirtualClock& clock;
  DmaMemory& memory;
  uint64_t ram_bytes;   // of guest RAM, from 0
  InterruptLine& line;  // the slot's INTA#
};

class VirtioPci final : public PciFunction, private VirtioTransport {
 public:
  VirtioPci(const VirtioSurroundings& on, VirtioDevice& device);

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive) override;

  // The base address registers.
  static constexpr unsigned kLegacyBar = 0, kModernBar = 1;

 private:
  // A register of one of the two interfaces, by its meaning.
  enum class Register : uint8_t {
    DeviceFeatureSelect,
    DeviceFeature,
    DriverFeatureSelect,
    DriverFeature,
    LegacyDeviceFeature,
    LegacyDriverFeature,
    LegacyPageFrame,
    NoVector,
    QueueCount,
    Status,
    Generation,
    QueueSelect,
    QueueSize,
    LegacyQueueSize,
    QueueEnable,
    QueueNotifyOffset,
    QueueNotify,
    Descriptors,
    DescriptorsHigh,
    Available,
    AvailableHigh,
    Used,
    UsedHigh,
    InterruptStatus,
  };
  struct Place {
    unsigned at;
    unsigned bytes;
    Register name;
  };
  static const Place kLegacyPlaces[];
  static const Place kCommonPlaces[];

  class LegacyPorts final : public PortDevice {
   public:
    explicit LegacyPorts(VirtioPci& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    VirtioPci& owner_;
  };
  class ModernPage final : public MemoryDevice {
   public:
    explicit ModernPage(VirtioPci& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;

   private:
    VirtioPci& owner_;
  };

  // The interface for the device.
  [[nodiscard]] Virtqueue& queue(unsigned index) override { return queues_.at(index); }
  [[nodiscard]] DmaMemory& memory() override { return memory_; }
  [[nodiscard]] bool has_feature(uint64_t feature) const override {
    return (driver_features_ & offered_ & feature) != 0;
  }
  void serve_soon(unsigned index) override;
  void note_config_change() override;

  void before_config_read(unsigned first, unsigned length) override;
  void on_config_written(unsigned first, unsigned length) override;
  void add_capabilities();
  void access_by_window(bool is_write);

  template <typename Places>
  [[nodiscard]] uint32_t read_places(const Places& places, unsigned offset, unsigned width);
  template <typename Places>
  void write_places(const Places& places, unsigned offset, unsigned width, uint32_t value);
  [[nodiscard]] uint32_t read_device_config(unsigned offset, unsigned width) const;
  void write_device_config(unsigned offset, unsigned width, uint32_t value);
  [[nodiscard]] uint32_t value_of(Register name) const;
  [[nodiscard]] uint32_t queue_value_of(Register name) const;
  void set(Register name, uint32_t value);
  void set_of_queue(Register name, uint32_t value);
  void set_driver_feature(unsigned half, uint32_t value);
  void set_status(uint8_t value);
  void set_page_frame(uint32_t value);
  void set_address_half(Virtqueue::Ring ring, bool high, uint32_t value);
  void enable_queue();

  void reset();
  void tell_queues();
  void break_down();
  void raise(uint8_t reason);
  void update_line();
  [[nodiscard]] Virtqueue* selected() {
    return queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
  }
  [[nodiscard]] const Virtqueue* selected() const {
    return queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
  }
  [[nodiscard]] bool may_serve(const Virtqueue& queue) const;
  void serve(unsigned index);
  void serve_pending();

  // Not state: kind_, offered_, legacy_ports_, modern_page_: set when the function is made.
  DmaMemory& memory_;
  InterruptLine& line_;
  VirtioDevice& device_;
  VirtioKind kind_;
  uint64_t offered_;
  LegacyPorts legacy_ports_{*this};
  ModernPage modern_page_{*this};
  std::vector<Virtqueue> queues_;
  uint8_t status_ = 0;
  uint8_t interrupt_status_ = 0;
  uint64_t driver_features_ = 0;
  uint32_t device_feature_select_ = 0;
  uint32_t driver_feature_select_ = 0;
  uint16_t queue_select_ = 0;
  VirtualClock& clock_;
  uint32_t pending_ = 0;  // queues that want to be served again, by bits
  ClockTimer more_;
};

}  // namespace ringshift
