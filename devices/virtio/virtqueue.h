// Virtqueue: a split virtqueue: where a driver puts buffers, and where they are given back. Owns:
// where the rings are, how far they have been used. Does not own: the rings, which lie in guest RAM
// and are the guest's to spoil: whatever is in them, a call here ends, touches RAM only, and takes
// at most kMostDescriptors. See docs/devices.md; VIRTIO 1.1, 2.6.
#pragma once

#include <cstdint>

#include "devices/bus/dma_memory.h"
#include "devices/virtio/guest_buffer.h"

namespace ringshift {

class StateArchive;

// The buffers of one request: first the parts that the device reads, then those that it writes.
struct DescriptorChain {
  uint16_t head = 0;  // by which it is given back
  GuestBuffer readable;
  GuestBuffer writable;
};

class Virtqueue {
 public:
  // The longest chain, an indirect table's entries among them: no queue is larger.
  static constexpr unsigned kMostDescriptors = 256;

  // Pre: most_entries is a power of two, at most kMostDescriptors.
  Virtqueue(DmaMemory& memory, uint64_t ram_bytes, uint16_t most_entries);

  // As at power-on: not in use.
  void reset();
  // The rings where a driver of the modern interface says, and one of the legacy interface (2.6.2).
  // False: they do not lie in RAM, and the queue is not in use. Pre: not in use.
  [[nodiscard]] bool enable();
  [[nodiscard]] bool enable_legacy(uint32_t page_frame);
  [[nodiscard]] bool is_enabled() const { return enabled_; }
  [[nodiscard]] bool is_legacy() const { return legacy_; }
  // Registers. Writes are for a queue that is not in use; a size that is none changes nothing.
  [[nodiscard]] uint16_t size() const { return size_; }
  void set_size(uint16_t size);
  enum class Ring : uint8_t { Descriptors, Available, Used };
  [[nodiscard]] uint64_t address(Ring ring) const { return addresses_[index_of(ring)]; }
  void set_address(Ring ring, uint64_t address) { addresses_[index_of(ring)] = address; }
  // Sets the features that the driver has agreed to (2.6.5.3, 2.6.7).
  void set_features(bool indirect, bool event_index);

  // The next chain; the queue must be in use. Broken: the rings make no sense.
  enum class Taken : uint8_t { None, Chain, Broken };
  [[nodiscard]] Taken take(DescriptorChain* chain);
  // The last `count` chains that were taken wait again, the first of them first.
  void put_back(uint16_t count) {
    next_available_ = static_cast<uint16_t>(next_available_ - count);
  }
  // True: take() has a request, or will find that the rings make no sense.
  [[nodiscard]] bool has_waiting();
  // The chain is the driver's again; `written` bytes of its writable part have been written.
  void give_back(uint16_t head, uint64_t written);
  // Tells the driver from where on it must notify the device.
  void ask_for_notification();
  // Does the driver want to be interrupted for what has been given back since this was last asked?
  [[nodiscard]] bool wants_interrupt();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Descriptor {
    uint64_t address = 0;
    uint32_t bytes = 0;
    uint16_t flags = 0;
    uint16_t next = 0;
  };
  [[nodiscard]] static constexpr unsigned index_of(Ring ring) {
    return static_cast<unsigned>(ring);
  }
  [[nodiscard]] bool is_in_ram(uint64_t address, uint64_t bytes) const {
    return address <= ram_bytes_ && bytes <= ram_bytes_ - address;
  }
  [[nodiscard]] uint16_t read_word(uint64_t address) const;
  void write_word(uint64_t address, uint16_t value);
  [[nodiscard]] Descriptor read_descriptor(uint64_t address) const;
  [[nodiscard]] bool walk(uint16_t head, DescriptorChain* chain) const;
  [[nodiscard]] bool add(const Descriptor& descriptor, DescriptorChain* chain) const;

  // Not state: ram_bytes_, most_entries_: set when the machine and the device are made.
  // Not state: indirect_, event_index_: the driver's features, which the transport keeps.
  DmaMemory& memory_;
  uint64_t ram_bytes_;
  uint16_t most_entries_;
  bool indirect_ = false;
  bool event_index_ = false;
  bool enabled_ = false;
  bool legacy_ = false;
  uint16_t size_;
  uint64_t addresses_[3] = {};
  uint16_t next_available_ = 0;  // in the driver's count, as the others
  uint16_t next_used_ = 0;
  uint16_t told_used_ = 0;  // next_used_ when wants_interrupt() was last asked
};

}  // namespace ringshift
