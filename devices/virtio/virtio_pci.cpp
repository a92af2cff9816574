#include "devices/virtio/virtio_pci.h"

#include <bit>
#include <string>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kVirtioVendor = 0x1af4;
constexpr unsigned kMostQueues = 32;

// Bits of the device status (2.1).
constexpr uint8_t kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 64;
// Bits of the interrupt status (4.1.4.5).
constexpr uint8_t kQueueInterrupt = 1, kConfigInterrupt = 2;

// The legacy registers without those of MSI-X, and the device's configuration behind them
// (4.1.4.8).
constexpr unsigned kLegacyConfigAt = 0x14;
// The page of modern registers: the places in it are ours to choose.
constexpr unsigned kCommonBytes = 0x38, kIsrAt = 0x40, kDeviceConfigAt = 0x100, kNotifyAt = 0x200;
constexpr unsigned kNotifyMultiplier = 4;
constexpr unsigned kMostConfigBytes = kNotifyAt - kDeviceConfigAt;

// Capabilities in configuration space (4.1.4).
constexpr unsigned kCapabilitiesPointer = 0x34;
constexpr uint8_t kHasCapabilities = 0x10;     // of the PCI status
constexpr uint16_t kInterruptDisable = 0x400;  // of the PCI command
constexpr uint8_t kVendorSpecific = 9;
enum CapabilityType : uint8_t { kCommon = 1, kNotify, kIsr, kDeviceConfig, kWindow };
constexpr unsigned kCommonCap = 0x40, kNotifyCap = 0x50, kIsrCap = 0x64, kDeviceCap = 0x74;
constexpr unsigned kWindowCap = 0x84, kWindowBar = kWindowCap + 4, kWindowOffset = kWindowCap + 8;
constexpr unsigned kWindowLength = kWindowCap + 12, kWindowData = kWindowCap + 16;

bool overlaps(unsigned first, unsigned length, unsigned at, unsigned bytes) {
  return first < at + bytes && at < first + length;
}

}  // namespace

const VirtioPci::Place VirtioPci::kLegacyPlaces[] = {
    {0x00, 4, Register::LegacyDeviceFeature},
    {0x04, 4, Register::LegacyDriverFeature},
    {0x08, 4, Register::LegacyPageFrame},
    {0x0c, 2, Register::LegacyQueueSize},
    {0x0e, 2, Register::QueueSelect},
    {0x10, 2, Register::QueueNotify},
    {0x12, 1, Register::Status},
    {0x13, 1, Register::InterruptStatus},
};

const VirtioPci::Place VirtioPci::kCommonPlaces[] = {
    {0x00, 4, Register::DeviceFeatureSelect},
    {0x04, 4, Register::DeviceFeature},
    {0x08, 4, Register::DriverFeatureSelect},
    {0x0c, 4, Register::DriverFeature},
    {0x10, 2, Register::NoVector},
    {0x12, 2, Register::QueueCount},
    {0x14, 1, Register::Status},
    {0x15, 1, Register::Generation},
    {0x16, 2, Register::QueueSelect},
    {0x18, 2, Register::QueueSize},
    {0x1a, 2, Register::NoVector},
    {0x1c, 2, Register::QueueEnable},
    {0x1e, 2, Register::QueueNotifyOffset},
    {0x20, 4, Register::Descriptors},
    {0x24, 4, Register::DescriptorsHigh},
    {0x28, 4, Register::Available},
    {0x2c, 4, Register::AvailableHigh},
    {0x30, 4, Register::Used},
    {0x34, 4, Register::UsedHigh},
    {kIsrAt, 1, Register::InterruptStatus},
};

VirtioPci::VirtioPci(const VirtioSurroundings& on, VirtioDevice& device)
    : PciFunction(on.buses,
                  {.vendor = kVirtioVendor,
                   .device = device.kind().pci_device,
                   .class_code = device.kind().class_code,
                   .subsystem_vendor = kVirtioVendor,
                   .subsystem = device.kind().id,
                   .interrupt_pin = 1},
                  device.kind().name),
      memory_(on.memory),
      line_(on.line),
      device_(device),
      kind_(device.kind()),
      offered_(kind_.features | kVirtioAnyLayout | kVirtioIndirect | kVirtioEventIndex |
               kVirtioVersion1),
      clock_(on.clock),
      more_(on.clock, [this](Nanoseconds) { serve_pending(); }) {
  CHECK(kind_.queues <= kMostQueues && kind_.config_bytes <= kMostConfigBytes);
  for (unsigned i = 0; i < kind_.queues; ++i) {
    queues_.emplace_back(on.memory, on.ram_bytes, kind_.queue_entries);
  }
  add_port_range(kLegacyBar, std::bit_ceil(kLegacyConfigAt + kind_.config_bytes), legacy_ports_);
  add_memory_range(kModernBar, kPageSize, modern_page_);
  add_capabilities();
  device_.attach(*this);
}

// A device without a configuration has no capability that names one: drivers refuse a length of 0.
void VirtioPci::add_capabilities() {
  const bool has_config = kind_.config_bytes != 0;
  const struct {
    unsigned at;
    uint8_t bytes;
    CapabilityType type;
    uint8_t next;
    unsigned offset;
    unsigned length;
  } table[] = {
      {kCommonCap, 16, kCommon, kNotifyCap, 0, kCommonBytes},
      {kNotifyCap, 20, kNotify, kIsrCap, kNotifyAt, kNotifyMultiplier * kind_.queues},
      {kIsrCap, 16, kIsr, static_cast<uint8_t>(has_config ? kDeviceCap : kWindowCap), kIsrAt, 1},
      {kDeviceCap, 16, kDeviceConfig, kWindowCap, kDeviceConfigAt, kind_.config_bytes},
      {kWindowCap, 20, kWindow, 0, 0, 0},
  };
  set_config_byte(kStatus, kHasCapabilities);
  set_config_byte(kCapabilitiesPointer, kCommonCap);
  for (const auto& row : table) {
    if (row.type == kDeviceConfig && !has_config) continue;
    set_config_byte(row.at, kVendorSpecific);
    set_config_byte(row.at + 1, row.next);
    set_config_byte(row.at + 2, row.bytes);
    set_config_byte(row.at + 3, row.type);
    set_config_byte(row.at + 4, row.type == kWindow ? 0 : kModernBar);
    set_config_word(row.at + 8, static_cast<uint16_t>(row.offset));
    set_config_word(row.at + 12, static_cast<uint16_t>(row.length));
  }
  set_config_byte(kNotifyCap + 16, kNotifyMultiplier);
  make_writable(kWindowBar, 0xff);
  for (unsigned i = 0; i < 12; ++i) make_writable(kWindowOffset + i, 0xff);
}

// ---- registers ----

// Accesses of any width: the bytes of each register that they touch.
template <typename Places>
uint32_t VirtioPci::read_places(const Places& places, unsigned offset, unsigned width) {
  uint32_t all = 0;
  bool clears_interrupt = false;
  for (const Place& place : places) {
    if (!overlaps(offset, width, place.at, place.bytes)) continue;
    const uint32_t value = value_of(place.name);
    clears_interrupt |= place.name == Register::InterruptStatus;
    for (unsigned i = 0; i < place.bytes; ++i) {
      const unsigned at = place.at + i;
      if (at < offset || at >= offset + width) continue;
      all |= (value >> (8 * i) & 0xff) << (8 * (at - offset));
    }
  }
  if (clears_interrupt) {
    interrupt_status_ = 0;
    update_line();
  }
  return all;
}

template <typename Places>
void VirtioPci::write_places(const Places& places, unsigned offset, unsigned width,
                             uint32_t value) {
  for (const Place& place : places) {
    if (!overlaps(offset, width, place.at, place.bytes)) continue;
    uint32_t merged = value_of(place.name);
    for (unsigned i = 0; i < place.bytes; ++i) {
      const unsigned at = place.at + i;
      if (at < offset || at >= offset + width) continue;
      merged &= ~(0xffU << (8 * i));
      merged |= (value >> (8 * (at - offset)) & 0xff) << (8 * i);
    }
    set(place.name, merged);
  }
}

uint32_t VirtioPci::read_device_config(unsigned offset, unsigned width) const {
  uint32_t value = 0;
  for (unsigned i = 0; i < width; ++i) {
    const unsigned at = offset + i;
    const uint8_t byte = at < kind_.config_bytes ? device_.config_byte(at) : uint8_t{0};
    value |= uint32_t{byte} << (8 * i);
  }
  return value;
}

void VirtioPci::write_device_config(unsigned offset, unsigned width, uint32_t value) {
  for (unsigned i = 0; i < width && offset + i < kind_.config_bytes; ++i) {
    device_.write_config_byte(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint32_t VirtioPci::LegacyPorts::read(uint16_t offset, AccessWidth width) {
  const auto bytes = static_cast<unsigned>(width);
  if (offset >= kLegacyConfigAt) {
    return owner_.read_device_config(offset - kLegacyConfigAt, bytes);
  }
  return owner_.read_places(kLegacyPlaces, offset, bytes);
}

void VirtioPci::LegacyPorts::write(uint16_t offset, AccessWidth width, uint32_t value) {
  const auto bytes = static_cast<unsigned>(width);
  if (offset >= kLegacyConfigAt) {
    return owner_.write_device_config(offset - kLegacyConfigAt, bytes, value);
  }
  owner_.write_places(kLegacyPlaces, offset, bytes, value);
}

uint32_t VirtioPci::ModernPage::read(uint64_t offset, AccessWidth width) {
  const auto at = static_cast<unsigned>(offset);
  const auto bytes = static_cast<unsigned>(width);
  if (at >= kNotifyAt) return 0;
  if (at >= kDeviceConfigAt) return owner_.read_device_config(at - kDeviceConfigAt, bytes);
  return owner_.read_places(kCommonPlaces, at, bytes);
}

void VirtioPci::ModernPage::write(uint64_t offset, AccessWidth width, uint32_t value) {
  const auto at = static_cast<unsigned>(offset);
  const auto bytes = static_cast<unsigned>(width);
  if (at >= kNotifyAt) {
    // The place says which queue, as the value does (4.1.4.4).
    const unsigned index = (at - kNotifyAt) / kNotifyMultiplier;
    return owner_.set(Register::QueueNotify, index);
  }
  if (at >= kDeviceConfigAt) {
    return owner_.write_device_config(at - kDeviceConfigAt, bytes, value);
  }
  owner_.write_places(kCommonPlaces, at, bytes, value);
}

uint32_t VirtioPci::value_of(Register name) const {
  switch (name) {
    case Register::DeviceFeatureSelect:
      return device_feature_select_;
    case Register::DeviceFeature:
      return device_feature_select_ < 2
                 ? static_cast<uint32_t>(offered_ >> (32 * device_feature_select_))
                 : 0;
    case Register::DriverFeatureSelect:
      return driver_feature_select_;
    case Register::DriverFeature:
      return driver_feature_select_ < 2
                 ? static_cast<uint32_t>(driver_features_ >> (32 * driver_feature_select_))
                 : 0;
    case Register::LegacyDeviceFeature:
      return static_cast<uint32_t>(offered_);
    case Register::LegacyDriverFeature:
      return static_cast<uint32_t>(driver_features_);
    case Register::NoVector:
      return 0xffff;  // there is no MSI-X
    case Register::QueueCount:
      return static_cast<uint32_t>(queues_.size());
    case Register::Status:
      return status_;
    case Register::QueueSelect:
      return queue_select_;
    case Register::InterruptStatus:
      return interrupt_status_;
    case Register::Generation:  // what changes by itself is one byte: no read can be torn
    case Register::QueueNotify:
      return 0;
    default:
      return queue_value_of(name);
  }
}

// A queue that is not there has the size 0.
uint32_t VirtioPci::queue_value_of(Register name) const {
  const Virtqueue* queue = selected();
  if (queue == nullptr) return 0;
  const auto half = [queue](Virtqueue::Ring ring, unsigned shift) {
    return static_cast<uint32_t>(queue->address(ring) >> shift);
  };
  switch (name) {
    case Register::LegacyPageFrame:
      return queue->is_legacy() ? half(Virtqueue::Ring::Descriptors, 12) : 0;
    case Register::QueueSize:
    case Register::LegacyQueueSize:
      return queue->size();
    case Register::QueueEnable:
      return queue->is_enabled() ? 1 : 0;
    case Register::QueueNotifyOffset:
      return queue_select_;
    case Register::Descriptors:
      return half(Virtqueue::Ring::Descriptors, 0);
    case Register::DescriptorsHigh:
      return half(Virtqueue::Ring::Descriptors, 32);
    case Register::Available:
      return half(Virtqueue::Ring::Available, 0);
    case Register::AvailableHigh:
      return half(Virtqueue::Ring::Available, 32);
    case Register::Used:
      return half(Virtqueue::Ring::Used, 0);
    case Register::UsedHigh:
      return half(Virtqueue::Ring::Used, 32);
    default:
      return 0;
  }
}

void VirtioPci::set(Register name, uint32_t value) {
  switch (name) {
    case Register::DeviceFeatureSelect:
      device_feature_select_ = value;
      return;
    case Register::DriverFeatureSelect:
      driver_feature_select_ = value;
      return;
    case Register::DriverFeature:
      // The features agreed on stay until a reset (3.1.1).
      if (driver_feature_select_ < 2 && (status_ & kFeaturesOk) == 0) {
        set_driver_feature(driver_feature_select_, value);
      }
      return;
    case Register::LegacyDriverFeature:
      if ((status_ & kFeaturesOk) == 0) set_driver_feature(0, value);
      return;
    case Register::Status:
      return set_status(static_cast<uint8_t>(value));
    case Register::QueueSelect:
      queue_select_ = static_cast<uint16_t>(value);
      return;
    case Register::QueueNotify:
      ++counters().virtio_notifications;
      if (value < queues_.size()) serve(value);
      return;
    default:
      return set_of_queue(name, value);
  }
}

void VirtioPci::set_of_queue(Register name, uint32_t value) {
  Virtqueue* queue = selected();
  if (queue == nullptr) return;
  if (name == Register::LegacyPageFrame) return set_page_frame(value);
  if (queue->is_enabled()) return;
  switch (name) {
    case Register::QueueSize:
      return queue->set_size(static_cast<uint16_t>(value));
    case Register::QueueEnable:
      if (value == 1) enable_queue();
      return;
    case Register::Descriptors:
    case Register::DescriptorsHigh:
      return set_address_half(Virtqueue::Ring::Descriptors, name == Register::DescriptorsHigh,
                              value);
    case Register::Available:
    case Register::AvailableHigh:
      return set_address_half(Virtqueue::Ring::Available, name == Register::AvailableHigh, value);
    case Register::Used:
    case Register::UsedHigh:
      return set_address_half(Virtqueue::Ring::Used, name == Register::UsedHigh, value);
    default:
      return;
  }
}

void VirtioPci::set_address_half(Virtqueue::Ring ring, bool high, uint32_t value) {
  const uint64_t before = selected()->address(ring);
  const uint64_t after = high ? (before & 0xffffffff) | uint64_t{value} << 32
                              : (before & ~uint64_t{0xffffffff}) | value;
  selected()->set_address(ring, after);
}

void VirtioPci::enable_queue() {
  if (!selected()->enable()) break_down();
}

// 0 takes the queue back, and begins its rings anew.
void VirtioPci::set_page_frame(uint32_t value) {
  Virtqueue& queue = *selected();
  queue.reset();
  device_.forget(queue_select_);
  pending_ &= ~(1U << queue_select_);
  if (value != 0 && !queue.enable_legacy(value)) break_down();
}

void VirtioPci::set_driver_feature(unsigned half, uint32_t value) {
  const unsigned shift = 32 * half;
  driver_features_ &= ~(uint64_t{0xffffffff} << shift);
  driver_features_ |= uint64_t{value} << shift;
  tell_queues();
}

void VirtioPci::tell_queues() {
  for (Virtqueue& queue : queues_) {
    queue.set_features(has_feature(kVirtioIndirect), has_feature(kVirtioEventIndex));
  }
}

// FEATURES_OK stays clear where the driver wants features that were not offered, or does not know
// that the device is none of before version 1 (2.2, 6.1). Only we set DEVICE_NEEDS_RESET.
void VirtioPci::set_status(uint8_t value) {
  if (value == 0) return reset();
  const uint8_t before = status_;
  const bool agrees =
      (driver_features_ & ~offered_) == 0 && (driver_features_ & kVirtioVersion1) != 0;
  if ((before & kFeaturesOk) == 0 && !agrees) value &= static_cast<uint8_t>(~kFeaturesOk);
  status_ = static_cast<uint8_t>((value & ~kNeedsReset) | (before & (kNeedsReset | kFeaturesOk)));
  if ((status_ & ~before & kDriverOk) == 0) return;
  for (unsigned i = 0; i < queues_.size(); ++i) serve(i);
}

void VirtioPci::reset() {
  more_.cancel();
  pending_ = 0;
  device_.reset();
  for (Virtqueue& queue : queues_) queue.reset();
  status_ = 0;
  interrupt_status_ = 0;
  driver_features_ = 0;
  device_feature_select_ = driver_feature_select_ = 0;
  queue_select_ = 0;
  tell_queues();
  update_line();
}

// ---- queues ----

// Drivers of the legacy interface use queues before they set DRIVER_OK (3.1.2), and those of Linux
// before 2.6.34 never make the function a bus master.
bool VirtioPci::may_serve(const Virtqueue& queue) const {
  if ((status_ & kNeedsReset) != 0 || !queue.is_enabled()) return false;
  return queue.is_legacy() || ((status_ & kDriverOk) != 0 && is_bus_master());
}

void VirtioPci::serve(unsigned index) {
  Virtqueue& queue = queues_[index];
  if (!may_serve(queue)) return;
  const uint32_t bit = 1U << index;
  pending_ &= ~bit;
  const VirtioDevice::Served served = device_.serve(index);
  if (served == VirtioDevice::Served::Broken) return break_down();
  if (served == VirtioDevice::Served::More) {
    pending_ |= bit;
    const Nanoseconds pause = device_.pause();
    more_.arm(pause != 0 ? clock_.now() + pause : 0);
  }
  queue.ask_for_notification();
  if (queue.wants_interrupt()) raise(kQueueInterrupt);
}

void VirtioPci::serve_soon(unsigned index) {
  if (!may_serve(queues_.at(index))) return;
  pending_ |= 1U << index;
  more_.arm(0);
}

void VirtioPci::serve_pending() {
  const uint32_t wanted = pending_;
  for (unsigned i = 0; i < queues_.size(); ++i) {
    if ((wanted & 1U << i) != 0) serve(i);
  }
}

void VirtioPci::break_down() {
  ++counters().virtio_breakdowns;
  more_.cancel();
  pending_ = 0;
  status_ |= kNeedsReset;
  if ((status_ & kDriverOk) != 0) raise(kConfigInterrupt);
}

void VirtioPci::note_config_change() {
  if ((status_ & kDriverOk) != 0) raise(kConfigInterrupt);
}

void VirtioPci::raise(uint8_t reason) {
  interrupt_status_ |= reason;
  update_line();
}

void VirtioPci::update_line() {
  const bool is_disabled = (config_value(kCommand, AccessWidth::Word) & kInterruptDisable) != 0;
  line_.set_level(interrupt_status_ != 0 && !is_disabled);
}

// ---- configuration space ----

void VirtioPci::before_config_read(unsigned first, unsigned length) {
  if (overlaps(first, length, kWindowData, 4)) access_by_window(false);
}

void VirtioPci::on_config_written(unsigned first, unsigned length) {
  if (overlaps(first, length, kCommand, 2)) update_line();
  if (overlaps(first, length, kWindowData, 4)) access_by_window(true);
}

// An access to the page of registers by way of configuration space (4.1.4.7).
void VirtioPci::access_by_window(bool is_write) {
  const uint32_t offset = config_value(kWindowOffset, AccessWidth::Dword);
  const uint32_t length = config_value(kWindowLength, AccessWidth::Dword);
  const bool is_width = length == 1 || length == 2 || length == 4;
  if (!is_width || config_byte(kWindowBar) != kModernBar) return;
  if (offset % length != 0 || offset >= kPageSize) return;
  const auto width = static_cast<AccessWidth>(length);
  if (is_write) return modern_page_.write(offset, width, config_value(kWindowData, width));
  const uint32_t value = modern_page_.read(offset, width);
  for (unsigned i = 0; i < length; ++i) {
    set_config_byte(kWindowData + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

void VirtioPci::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  archive.field("status", status_);
  archive.field("interrupt status", interrupt_status_, 0, kQueueInterrupt | kConfigInterrupt);
  archive.field("driver features", driver_features_);
  archive.field("device feature select", device_feature_select_);
  archive.field("driver feature select", driver_feature_select_);
  archive.field("queue select", queue_select_);
  const bool had_fewer = archive.version() < 2 && kind_.queues_at_first != 0;
  const size_t queues = had_fewer ? kind_.queues_at_first : queues_.size();
  const auto all_queues = static_cast<uint32_t>((uint64_t{1} << queues) - 1);
  archive.field("pending", pending_, 0, all_queues);
  archive.part("more", more_);
  for (unsigned i = 0; i < queues; ++i) {
    archive.part("queue " + std::to_string(i), queues_[i]);
  }
  archive.part("device", device_);
  if (archive.has_loaded()) tell_queues();
}

}  // namespace ringshift
