// An 82540EM on buses of its own, with a port that can be full and a driver's rings in its memory.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <vector>

#include "devices/network/e1000.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {

using Frame = std::vector<uint8_t>;

class CardPort final : public PacketPort {
 public:
  [[nodiscard]] bool has_room() const override { return sent.size() < room; }
  void send(std::span<const uint8_t> frame) override {
    EXPECT_TRUE(has_room());
    sent.emplace_back(frame.begin(), frame.end());
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return waiting.empty() ? std::span<const uint8_t>() : waiting.front();
  }
  void take_received() override { waiting.pop_front(); }
  [[nodiscard]] bool is_up() const override { return up; }
  [[nodiscard]] bool takes_large() const override { return large; }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }

  std::deque<Frame> sent, waiting;
  size_t room = 1000;
  bool up = true;
  bool large = false;
  std::function<void()> change;
};

inline constexpr uint32_t kCardBase = 0xfe000000, kCardPorts = 0xc000;
inline constexpr uint64_t kTxRing = 0x1000, kRxRing = 0x2000;
inline constexpr uint32_t kRingEntries = 8;
inline constexpr MacAddress kCardAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

class E1000Bench {
 public:
  E1000Bench() {
    card.write_config(0x10, AccessWidth::Dword, kCardBase);
    card.write_config(0x18, AccessWidth::Dword, kCardPorts);
    card.write_config(0x04, AccessWidth::Word, 7);
  }
  [[nodiscard]] uint32_t get(uint32_t at) {
    return page.read(GuestPhysical(kCardBase + at), AccessWidth::Dword);
  }
  void set(uint32_t at, uint32_t value) {
    page.write(GuestPhysical(kCardBase + at), AccessWidth::Dword, value);
  }
  void put(uint64_t at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      memory.bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  [[nodiscard]] uint64_t number(uint64_t at, unsigned bytes) const {
    uint64_t value = 0;
    for (unsigned i = bytes; i > 0; --i) value = value << 8 | memory.bytes[at + i - 1];
    return value;
  }
  void write(uint64_t at, const Frame& bytes) {
    std::copy(bytes.begin(), bytes.end(), memory.bytes.begin() + static_cast<ptrdiff_t>(at));
  }
  [[nodiscard]] Frame ram(uint64_t at, size_t count) const {
    const auto begin = memory.bytes.begin() + static_cast<ptrdiff_t>(at);
    return {begin, begin + static_cast<ptrdiff_t>(count)};
  }
  static Frame frame_of(size_t bytes, uint8_t first = 0) {
    Frame frame(bytes);
    std::iota(frame.begin(), frame.end(), first);
    std::copy(kCardAddress.begin(), kCardAddress.end(), frame.begin());
    return frame;
  }
  // As a driver does: rings of eight, everything on.
  void start() {
    set(e1000::kTdbal, kTxRing);
    set(e1000::kTdlen, kRingEntries * 16);
    set(e1000::kTctl, e1000::kTxEnable | e1000::kPadShort);
    set(e1000::kRdbal, kRxRing);
    set(e1000::kRdlen, kRingEntries * 16);
    for (unsigned i = 0; i < kRingEntries; ++i) put(kRxRing + 16 * i, buffer(i), 8);
    set(e1000::kRdt, kRingEntries - 1);
    set(e1000::kRctl, e1000::kRxEnable | e1000::kTakeBroadcast | e1000::kStripCrc);
    set(e1000::kIms, e1000::kAllCauses);
    (void)get(e1000::kIcr);
  }
  static uint64_t buffer(unsigned index) { return 0x10000 + uint64_t{0x1000} * index; }
  // A descriptor of 16 bytes: an address, and the other two dwords.
  void describe(uint32_t index, uint64_t first, uint32_t third, uint32_t fourth) {
    put(kTxRing + 16 * index, first, 8);
    put(kTxRing + 16 * index + 8, third, 4);
    put(kTxRing + 16 * index + 12, fourth, 4);
  }
  void come(Frame frame) {
    port.waiting.push_back(std::move(frame));
    port.change();
    clock.run_due();
  }

  PortBus ports;
  MemoryBus page;
  PciBuses buses{ports, page, {}};
  ManualClock clock;
  VectorMemory memory{size_t{1} << 20};
  RecordingLine line;
  CardPort port;
  E1000 card{{buses, clock, memory, line}, port, kCardAddress};
};

// Command bits of the third dword.
inline constexpr uint32_t kEop = 1U << 24, kIfcs = 2U << 24, kSumOrSegment = 4U << 24;
inline constexpr uint32_t kRs = 8U << 24, kDext = 0x20U << 24, kVle = 0x40U << 24;
inline constexpr uint32_t kDataType = 1U << 20;

}  // namespace ringshift
