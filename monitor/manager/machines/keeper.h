// Keeper: the process between a manager and one machine: its parent, which holds its terminal,
// writes its log, lets people at its console and signals it, whether a manager runs or not. It ends
// when the machine has, and the machine ends when it does. Owns: the machine's process, its
// folder's sockets, the log. See docs/machines.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/control/json_value.h"
#include "monitor/manager/bounded_log.h"
#include "monitor/manager/machines/machine_process.h"
#include "monitor/manager/machines/signal_inlet.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {

class Keeper {
 public:
  explicit Keeper(MachineFolder folder) : folder_(std::move(folder)) {}
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Starts the command in the folder's file `command`, and runs until that machine has ended, as a
  // process of its own. A start that fails is written to `ended`, as an end is. Returns the exit
  // code.
  [[nodiscard]] int run();

 private:
  [[nodiscard]] bool start(std::string* problem);
  void serve_once();
  void take_signals();
  void take_output();
  void take_errors();
  void take_input();
  void take_orders();
  void accept_all();
  void show(std::string_view bytes);
  void note_errors(std::string_view bytes);
  void leave(const MachineProcess::End& end);
  void say_farewell();
  [[nodiscard]] control::JsonValue state() const;

  MachineFolder folder_;
  FileLock lock_;
  SignalInlet signals_;
  BoundedLog log_;
  std::unique_ptr<MachineProcess> machine_;
  Nanoseconds since_ = 0;                      // of the host's time of day
  int orders_from_ = -1, consoles_from_ = -1;  // listening
  std::vector<Wire> orders_, consoles_;
  bool output_ended_ = false, errors_ended_ = false, has_left_ = false;
  std::string typed_;       // and not yet taken by the terminal
  std::string shown_last_;  // to whom comes to the console
  std::string error_line_;  // that has begun
  std::string last_error_;
};

}  // namespace ringshift::manager
