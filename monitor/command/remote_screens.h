// RemoteScreens: the servers of a run's screen, and their ways to its machine. Owns: both. Made
// before the monitor confines itself, and outlives the machine: a guest that resets goes on before
// the same clients. See docs/screen.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/host/screen/rfb_server.h"
#include "devices/host/screen/screen_port.h"
#include "devices/host/screen/web_server.h"
#include "monitor/command/options/display_options.h"
#include "monitor/machine/machine.h"

namespace ringshift {

class RemoteScreens {
 public:
  // Listens, and says where on standard error. can_save: the machine knows a file for it. Null with
  // one line in *error.
  static std::unique_ptr<RemoteScreens> create(const DisplayRequest& request, bool can_save,
                                               std::string* error);

  // Their places in a machine's configuration.
  void put_into(MachineConfig* config);
  // Call around Machine::run. False with one line in *error when the host refuses a thread.
  [[nodiscard]] bool attach(Machine& machine, std::string* error);
  void detach();

 private:
  RemoteScreens() = default;
  [[nodiscard]] bool open_vnc(const DisplayRequest& request, std::string* error);
  [[nodiscard]] bool open_web(const WebServerConfig& web, std::string* error);

  std::vector<std::unique_ptr<ScreenPort>> ports_;
  std::unique_ptr<ControlPort> control_;  // of web_
  // The servers end before the objects that they use.
  std::unique_ptr<RfbServer> vnc_;  // null: none
  std::unique_ptr<WebServer> web_;
  bool has_started_ = false;
};

}  // namespace ringshift
