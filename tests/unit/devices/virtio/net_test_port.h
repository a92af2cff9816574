// A port of a network card that keeps the frames sent, and delivers those of a test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "devices/virtio/packet_port.h"

namespace ringshift {

using Frame = std::vector<uint8_t>;

class TestPort final : public PacketPort {
 public:
  [[nodiscard]] bool has_room() const override { return sent.size() < room; }
  void send(std::span<const uint8_t> frame) override {
    if (has_room()) ++rounds;
    sent.emplace_back(frame.begin(), frame.end());
    if (!loops) return;
    waiting.emplace_back(frame.begin(), frame.end());
    change();
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return waiting.empty() ? std::span<const uint8_t>() : waiting.front();
  }
  void take_received() override { waiting.pop_front(); }
  [[nodiscard]] bool takes_large() const override { return large; }
  void flush() override { ++flushes; }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }

  std::deque<Frame> sent, waiting;
  size_t room = 1000;
  size_t rounds = 0;   // sent with room
  bool large = false;  // takes_large()
  int flushes = 0;
  bool loops = false;  // what is sent comes back at once
  std::function<void()> change;
};

}  // namespace ringshift
