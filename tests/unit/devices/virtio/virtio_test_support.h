// A virtio function on buses of its own, and a driver of either interface that sets it up and puts
// chains into its queues as VIRTIO 1.1 says, or as nobody should.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/storage/disk_backend.h"
#include "devices/virtio/random_source.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_pci.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {

class TestMedium final : public DiskBackend {
 public:
  explicit TestMedium(size_t size, bool locked = false) : content(size), locked_(locked) {
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<uint8_t>(i / 512 + i);
  }
  [[nodiscard]] uint64_t bytes() const override { return content.size(); }
  [[nodiscard]] bool read_only() const override { return locked_; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    if (broken) return false;
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(offset), to.size(), to.begin());
    return true;
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    if (broken || locked_) return false;
    std::copy(from.begin(), from.end(), content.begin() + static_cast<ptrdiff_t>(offset));
    return true;
  }
  [[nodiscard]] bool flush() override {
    ++flushes;
    return !broken;
  }
  [[nodiscard]] bool can_discard() const override { return !locked_; }
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override {
    discarded.push_back({offset, count});
    return !broken;
  }

  struct Part {
    uint64_t offset = 0, count = 0;
    bool operator==(const Part&) const = default;
  };
  std::vector<uint8_t> content;
  std::vector<Part> discarded;
  int flushes = 0;
  bool broken = false;

 private:
  bool locked_;
};

// Bytes that count up: a source that repeats itself.
class CountingSource final : public RandomSource {
 public:
  void fill(std::span<uint8_t> bytes) override {
    for (uint8_t& byte : bytes) byte = next++;
  }
  uint8_t next = 1;
};

enum class Interface : uint8_t { Legacy, Modern };

// One descriptor of a chain.
struct Piece {
  uint64_t address = 0;
  uint32_t bytes = 0;
  bool writable = false;
};
struct Used {
  uint32_t head = 0;
  uint32_t written = 0;
  bool operator==(const Used&) const = default;
};

inline constexpr uint16_t kPortBase = 0xc000;
inline constexpr uint64_t kPageBase = 0xfe000000;
inline constexpr size_t kTestRam = size_t{4} << 20;
inline constexpr uint16_t kDescNext = 1, kDescWritable = 2, kDescIndirect = 4;

class VirtioBench {
 public:
  explicit VirtioBench(VirtioDevice& device)
      : function({buses, clock, memory, kTestRam, line}, device), queues(device.kind().queues) {
    function.write_config(0x10, AccessWidth::Dword, kPortBase);
    function.write_config(0x14, AccessWidth::Dword, kPageBase);
    function.write_config(0x04, AccessWidth::Word, 7);
  }

  // ---- registers ----
  uint32_t in(unsigned offset, AccessWidth width) {
    return ports.read(static_cast<uint16_t>(kPortBase + offset), width);
  }
  void out(unsigned offset, AccessWidth width, uint32_t value) {
    ports.write(static_cast<uint16_t>(kPortBase + offset), width, value);
  }
  uint32_t load(unsigned offset, AccessWidth width) {
    return page.read(GuestPhysical(kPageBase + offset), width);
  }
  void store(unsigned offset, AccessWidth width, uint32_t value) {
    page.write(GuestPhysical(kPageBase + offset), width, value);
  }
  uint8_t status(Interface how) {
    return static_cast<uint8_t>(how == Interface::Legacy ? in(0x12, AccessWidth::Byte)
                                                         : load(0x14, AccessWidth::Byte));
  }
  void set_status(Interface how, unsigned value) {
    if (how == Interface::Legacy) return out(0x12, AccessWidth::Byte, value);
    store(0x14, AccessWidth::Byte, value);
  }
  uint8_t interrupt_status(Interface how) {
    return static_cast<uint8_t>(how == Interface::Legacy ? in(0x13, AccessWidth::Byte)
                                                         : load(0x40, AccessWidth::Byte));
  }
  uint64_t config(Interface how, unsigned offset, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) {
      const uint32_t byte = how == Interface::Legacy ? in(0x14 + offset + i, AccessWidth::Byte)
                                                     : load(0x100 + offset + i, AccessWidth::Byte);
      value |= uint64_t{byte} << (8 * i);
    }
    return value;
  }

  // ---- setting up ----
  uint64_t offered(Interface how) {
    if (how == Interface::Legacy) return in(0x00, AccessWidth::Dword);
    store(0x00, AccessWidth::Dword, 0);
    const uint64_t low = load(0x04, AccessWidth::Dword);
    store(0x00, AccessWidth::Dword, 1);
    return low | uint64_t{load(0x04, AccessWidth::Dword)} << 32;
  }
  void agree_to(Interface how, uint64_t features) {
    if (how == Interface::Legacy) {
      return out(0x04, AccessWidth::Dword, static_cast<uint32_t>(features));
    }
    for (unsigned half = 0; half < 2; ++half) {
      store(0x08, AccessWidth::Dword, half);
      store(0x0c, AccessWidth::Dword, static_cast<uint32_t>(features >> (32 * half)));
    }
    set_status(how, 3 | 8);
  }
  // Rings of a queue at a place of their own, as large as they may be.
  void set_up_queue(Interface how, uint16_t index) {
    Rings& rings = queues[index];
    rings = Rings();
    const uint64_t base = 0x10000 + uint64_t{index} * 0x4000;
    std::fill_n(memory.bytes.begin() + static_cast<ptrdiff_t>(base), 0x4000, uint8_t{0});
    if (how == Interface::Legacy) {
      out(0x0e, AccessWidth::Word, index);
      rings.size = static_cast<uint16_t>(in(0x0c, AccessWidth::Word));
      rings.descriptors = base;
      rings.available = base + 16 * uint64_t{rings.size};
      rings.used = (rings.available + 6 + 2 * uint64_t{rings.size} + 4095) & ~uint64_t{4095};
      out(0x08, AccessWidth::Dword, static_cast<uint32_t>(base >> 12));
      return;
    }
    store(0x16, AccessWidth::Word, index);
    rings.size = static_cast<uint16_t>(load(0x18, AccessWidth::Word));
    rings.descriptors = base;
    rings.available = base + 0x2000;
    rings.used = base + 0x3000;
    place(0x20, rings.descriptors);
    place(0x28, rings.available);
    place(0x30, rings.used);
    store(0x1c, AccessWidth::Word, 1);
  }
  void place(unsigned offset, uint64_t address) {
    store(offset, AccessWidth::Dword, static_cast<uint32_t>(address));
    store(offset + 4, AccessWidth::Dword, static_cast<uint32_t>(address >> 32));
  }
  // All of it, to DRIVER_OK; with what is wanted of what is offered.
  void start(Interface how, uint64_t wanted = ~uint64_t{0}) {
    set_status(how, 0);
    set_status(how, 1);
    set_status(how, 3);
    agree_to(how, offered(how) & wanted);
    for (uint16_t i = 0; i < queues.size(); ++i) set_up_queue(how, i);
    set_status(how, how == Interface::Legacy ? 7 : 15);
    started = how;
  }

  // ---- queues ----
  uint16_t word(uint64_t address) {
    return static_cast<uint16_t>(memory.bytes[address] | memory.bytes[address + 1] << 8);
  }
  void set_number(uint64_t address, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      memory.bytes[address + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  void set_descriptor(uint64_t table, unsigned index, const Piece& piece, unsigned flags,
                      unsigned next) {
    const uint64_t at = table + uint64_t{16} * index;
    set_number(at, piece.address, 8);
    set_number(at + 8, piece.bytes, 4);
    set_number(at + 12, flags | (piece.writable ? kDescWritable : 0), 2);
    set_number(at + 14, next, 2);
  }
  // The chain's descriptors from `first` on in a table.
  void set_chain(uint64_t table, unsigned first, const std::vector<Piece>& pieces) {
    for (unsigned i = 0; i < pieces.size(); ++i) {
      const bool last = i + 1 == pieces.size();
      set_descriptor(table, first + i, pieces[i], last ? 0 : kDescNext, last ? 0 : first + i + 1);
    }
  }
  void offer(uint16_t queue, uint16_t head) {
    Rings& rings = queues[queue];
    set_number(rings.available + 4 + 2 * static_cast<unsigned>(rings.next_available % rings.size),
               head, 2);
    set_number(rings.available + 2, ++rings.next_available, 2);
  }
  // A chain from the descriptor `head` on, or in a table at `table` that it names.
  void add(uint16_t queue, uint16_t head, const std::vector<Piece>& pieces, uint64_t table = 0) {
    if (table == 0) {
      set_chain(queues[queue].descriptors, head, pieces);
    } else {
      set_chain(table, 0, pieces);
      set_descriptor(queues[queue].descriptors, head,
                     {table, static_cast<uint32_t>(16 * pieces.size())}, kDescIndirect, 0);
    }
    offer(queue, head);
  }
  void notify(uint16_t queue) {
    if (started == Interface::Legacy) return out(0x10, AccessWidth::Word, queue);
    store(0x200 + 4U * queue, AccessWidth::Word, queue);
  }
  std::optional<Used> next_used(uint16_t queue) {
    Rings& rings = queues[queue];
    if (word(rings.used + 2) == rings.next_used) return std::nullopt;
    const uint64_t at = rings.used + 4 + 8 * static_cast<unsigned>(rings.next_used++ % rings.size);
    Used used;
    for (unsigned i = 0; i < 4; ++i) {
      used.head |= uint32_t{memory.bytes[at + i]} << (8 * i);
      used.written |= uint32_t{memory.bytes[at + 4 + i]} << (8 * i);
    }
    return used;
  }
  [[nodiscard]] bool needs_reset() { return (status(started) & 64) != 0; }

  struct Rings {
    uint16_t size = 0;
    uint64_t descriptors = 0, available = 0, used = 0;
    uint16_t next_available = 0, next_used = 0;
  };
  PortBus ports;
  MemoryBus page;
  PciBuses buses{ports, page, {}};
  ManualClock clock;
  VectorMemory memory{kTestRam};
  RecordingLine line;
  VirtioPci function;
  std::vector<Rings> queues;
  Interface started = Interface::Modern;
};

inline std::string name_of(Interface how) { return how == Interface::Legacy ? "Legacy" : "Modern"; }

}  // namespace ringshift
