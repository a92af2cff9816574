// GdbSession: one debugger at the other end of the remote serial protocol: requests in, replies
// out. Owns: the protocol's state. Does not own: the wire, the target. The requests are hostile
// input: one that makes no sense gets an error reply, and costs no more than a good one. See
// docs/debugging.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "monitor/debug/debug_target.h"
#include "monitor/debug/gdb/hex.h"
#include "monitor/debug/gdb/packet.h"

namespace ringshift::debug {

class GdbSession {
 public:
  GdbSession(DebugTarget& target, std::function<void(std::string_view)> send)
      : target_(&target), send_(std::move(send)) {}

  // A reset makes another machine.
  void set_target(DebugTarget& target) { target_ = &target; }
  void take(std::span<const uint8_t> bytes);
  // The guest runs because this debugger has said so, and it is waiting to hear of the end of that.
  [[nodiscard]] bool awaits_stop() const { return awaits_stop_; }
  // Says why the guest stands, if that is awaited.
  void report_stop();
  // The machine has ended with this exit code.
  void report_end(uint8_t exit_code);
  // True: the debugger has detached, or wants the guest killed; no more packets are expected.
  [[nodiscard]] bool is_over() const { return over_; }

 private:
  using Handler = std::string (GdbSession::*)(Arguments);
  struct Command;
  struct Query;
  void handle(PacketEvent event);
  void reply(std::string_view payload);
  void acknowledge(char character);
  // Nothing: there is no reply, or it comes later.
  [[nodiscard]] std::optional<std::string> answer(std::string_view request);
  [[nodiscard]] std::optional<std::string> answer_query(std::string_view request);
  [[nodiscard]] std::optional<std::string> resume(std::string_view request);
  [[nodiscard]] std::optional<std::string> go_back(Arguments arguments);
  [[nodiscard]] std::optional<std::string> resume_threads(Arguments arguments);
  void go_on(bool step);

  [[nodiscard]] std::string read_registers(Arguments arguments);
  [[nodiscard]] std::string write_registers(Arguments arguments);
  [[nodiscard]] std::string read_one_register(Arguments arguments);
  [[nodiscard]] std::string write_one_register(Arguments arguments);
  [[nodiscard]] std::string read_memory(Arguments arguments);
  [[nodiscard]] std::string write_memory_hex(Arguments arguments);
  [[nodiscard]] std::string write_memory_binary(Arguments arguments);
  [[nodiscard]] std::string insert_point(Arguments arguments);
  [[nodiscard]] std::string remove_point(Arguments arguments);
  [[nodiscard]] std::string change_point(Arguments arguments, bool insert);
  [[nodiscard]] std::string select_thread(Arguments arguments);
  [[nodiscard]] std::string thread_is_alive(Arguments arguments);
  [[nodiscard]] std::string why(Arguments arguments);
  [[nodiscard]] std::string detach(Arguments arguments);
  [[nodiscard]] std::string kill(Arguments arguments);
  [[nodiscard]] std::string supported(Arguments arguments);
  [[nodiscard]] std::string transfer(Arguments arguments);
  [[nodiscard]] std::string run_command(Arguments arguments);
  [[nodiscard]] std::string first_threads(Arguments arguments);
  [[nodiscard]] std::string more_threads(Arguments arguments);
  [[nodiscard]] std::string current_thread(Arguments arguments);
  [[nodiscard]] std::string attached(Arguments arguments);
  [[nodiscard]] std::string thread_information(Arguments arguments);
  [[nodiscard]] std::string symbols(Arguments arguments);
  [[nodiscard]] std::string without_acknowledgement(Arguments arguments);
  [[nodiscard]] std::string stop_reply() const;

  DebugTarget* target_;
  std::function<void(std::string_view)> send_;
  PacketReader reader_;
  std::string last_sent_;  // for a debugger that has not understood it
  bool acknowledges_ = true;
  bool drops_acknowledgement_ = false;  // after the reply that is being made
  bool awaits_stop_ = false;
  bool awaits_command_ = false;  // of a command: its reply comes then
  bool over_ = false;
};

}  // namespace ringshift::debug
