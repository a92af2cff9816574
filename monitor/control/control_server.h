// ControlServer: the sockets of --qmp and --monitor, by which programs control the machine: one
// client at a time each, and one after another. Owns: sockets, sessions, the requests that have
// come. Outlives the machine, as a debugger does. A client that is silent, slow or gone costs the
// machine nothing; one that floods it is served a few requests at each safe point. See
// docs/control.md.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "monitor/control/control_request.h"
#include "monitor/control/control_session.h"
#include "monitor/debug/debugger.h"
#include "monitor/host/sockets/host_socket.h"
#include "monitor/machine/machine.h"

namespace ringshift::control {

class ControlServer {
 public:
  // Null with one line in *error if the host refuses a socket. debugger: knows who has stopped the
  // guest; outlives this.
  static std::unique_ptr<ControlServer> create(const std::vector<ControlRequest>& requests,
                                               std::string version, debug::Debugger& debugger,
                                               std::string* error);

  void put_into(MachineConfig* config);
  // Call around Machine::run, inside of the debugger's attach and detach. False with one line in
  // *error when the host refuses a thread.
  [[nodiscard]] bool attach(Machine& machine, std::string* error);
  void detach_machine();
  // The run is over: says so to every client.
  void report_end(const MachineOutcome& outcome);

 private:
  struct Wire {
    ControlRequest request;
    std::unique_ptr<HostSocket> socket;
    std::unique_ptr<ControlSession> session;  // null: nobody is connected
    std::vector<uint8_t> pending;             // has come, and is not taken
    bool has_ended = false;                   // nothing more will come
  };

  explicit ControlServer(std::string version, debug::Debugger& debugger)
      : version_(std::move(version)), debugger_(debugger) {}
  [[nodiscard]] bool start(Wire* wire, std::string* error);
  void service();
  void begin(Wire* wire);
  void serve(Wire* wire);
  void tell_news();
  void tell(const char* name, JsonValue::Object data);

  std::string version_;
  debug::Debugger& debugger_;
  std::vector<Wire> wires_;
  bool has_started_ = false;
  bool was_running_ = false;
  bool waits_ = false;  // the guest stands until a client comes
  bool reset_was_asked_ = false, end_was_asked_ = false;
  std::mutex mutex_;        // guards the next
  Inbox* inbox_ = nullptr;  // of the machine that runs; for the sockets' threads
};

}  // namespace ringshift::control
