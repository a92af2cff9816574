// Debugger: stops the machine for gdb at a socket, or for a person at the console. Owns:
// ExecutionControl, the socket, the session with gdb, the prompt. Outlives the machine: a guest
// that resets goes on under the same debugger. See docs/debugging.md.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "monitor/debug/debug_request.h"
#include "monitor/debug/gdb/gdb_session.h"
#include "monitor/debug/machine_control.h"
#include "monitor/debug/machine_target.h"
#include "monitor/debug/prompt/prompt.h"
#include "monitor/host/sockets/host_socket.h"
#include "monitor/machine/machine.h"

namespace ringshift::debug {

class Debugger {
 public:
  // Null with one line in *error if the host refuses the socket.
  static std::unique_ptr<Debugger> create(const DebugRequest& request, std::string* error);
  ~Debugger();

  // The debugger's places in a machine's configuration.
  void put_into(MachineConfig* config);
  // Call around Machine::run. False with one line in *error when the host refuses a thread.
  [[nodiscard]] bool attach(Machine& machine, std::string* error);
  void detach_machine();
  // The controls of the machine that is attached. Pre: a machine is attached.
  [[nodiscard]] MachineControl& machine_control() { return *around_; }
  // The guest stands until end_hold(), or until somebody lets it go; with --paused beyond that.
  void hold() { control_.hold(); }
  void end_hold() {
    if (!is_prelaunch_) control_.release();
  }
  // The run is over.
  void report_end(uint8_t exit_code);

 private:
  explicit Debugger(const DebugRequest& request);
  void service();
  [[nodiscard]] RunState run_state() const;
  [[nodiscard]] bool go_on(std::string* error);
  [[nodiscard]] bool starts_held() const;
  void service_gdb();
  void begin_session();
  void end_session(const char* why);
  void service_prompt();
  void open_prompt();
  void close_prompt();
  void print(const std::string& text);
  [[nodiscard]] bool gdb_has_guest() const { return session_.has_value(); }

  DebugRequest request_;
  ExecutionControl control_;
  std::unique_ptr<HostSocket> socket_;
  std::mutex mutex_;        // guards the next
  Inbox* inbox_ = nullptr;  // of the machine that runs; for the socket's thread
  Machine* machine_ = nullptr;
  std::optional<MachineControl> around_;  // these two: while there is a machine
  std::optional<MachineTarget> target_;
  std::optional<GdbSession> session_;
  Prompt prompt_;
  bool was_prompt_open_ = false;
  bool prompt_pauses_ = false;  // the guest stands for the prompt, not for gdb
  bool prompt_steps_ = false;
  bool has_started_ = false;
  bool is_prelaunch_ = false;  // --paused, and nobody has let the guest go yet
};

}  // namespace ringshift::debug
