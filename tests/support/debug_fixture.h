// FakeTarget: a DebugTarget without a machine: registers, a page of memory, answers that are known.
// Owns: all of it.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/debug/debug_target.h"
#include "monitor/debug/gdb/gdb_session.h"
#include "monitor/debug/gdb/packet.h"

namespace ringshift::debug {

class FakeTarget final : public DebugTarget {
 public:
  static constexpr uint32_t kMemory = 0x1000;  // a page of it; nothing is anywhere else

  [[nodiscard]] const GuestState& state() const override { return guest; }
  [[nodiscard]] ExecutionControl& control() override { return execution; }
  [[nodiscard]] size_t read_memory(GuestVirtual linear, std::span<uint8_t> bytes) override {
    const uint32_t offset = linear.value() - kMemory;
    if (offset >= memory.size()) return 0;
    const size_t count = std::min(bytes.size(), memory.size() - offset);
    std::copy_n(memory.begin() + offset, count, bytes.begin());
    return count;
  }
  [[nodiscard]] bool write_memory(GuestVirtual linear, std::span<const uint8_t> bytes) override {
    const uint32_t offset = linear.value() - kMemory;
    if (offset > memory.size() || bytes.size() > memory.size() - offset) return false;
    std::copy(bytes.begin(), bytes.end(), memory.begin() + offset);
    return true;
  }
  [[nodiscard]] bool set_register(const Register& which, std::span<const uint8_t> value) override {
    return write_register(&guest, which, value);
  }
  [[nodiscard]] std::string run_command(const std::string& line) override {
    return "you said " + line + "\n";
  }
  [[nodiscard]] bool can_go_back() override { return goes_back; }
  [[nodiscard]] bool go_back(Back how) override {
    ways += how == Back::Step ? 's' : 'c';
    return goes_back;
  }
  [[nodiscard]] bool is_travelling() override { return travels_by_command; }
  void quit() override { has_quit = true; }

  GuestState guest;
  ExecutionControl execution;
  std::array<uint8_t, 4096> memory{};
  bool has_quit = false;
  bool goes_back = false;
  bool travels_by_command = false;
  std::string ways;  // back, in order
};

// A session whose other end is here: requests as payloads, replies as payloads.
class SessionFixture {
 public:
  SessionFixture() : session(target, [this](std::string_view bytes) { receive(bytes); }) {
    target.execution.pause(StopCause::Asked);
  }
  void send_raw(std::string_view bytes) {
    session.take(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
  // The last reply to this request; "(none)" if there was none.
  std::string ask(std::string_view payload) {
    replies.clear();
    send_raw(framed(payload));
    return replies.empty() ? "(none)" : replies.back();
  }

  FakeTarget target;
  GdbSession session;
  std::vector<std::string> replies;
  std::string acknowledgements;

 private:
  void receive(std::string_view bytes) {
    for (const char character : bytes) {
      const std::optional<PacketEvent> event = reader_.take(static_cast<uint8_t>(character));
      if (event == PacketEvent::Packet) replies.push_back(reader_.payload());
      if (event == PacketEvent::Acknowledged) acknowledgements.push_back('+');
      if (event == PacketEvent::Repeat) acknowledgements.push_back('-');
    }
  }
  PacketReader reader_;
};

}  // namespace ringshift::debug
