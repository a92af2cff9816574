// ManagedMachine: one machine as its manager knows it; the manager talks to it by its keeper, which
// is the machine's parent, and by QMP. Owns: both connections. It outlives neither keeper nor
// machine in earnest: a later manager finds both again by their sockets. See docs/machines.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/control/json_value.h"
#include "monitor/manager/event_log.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {

// Starting: it has not answered yet. Lost: its keeper was killed, so nobody knows how it has ended.
enum class MachineState : uint8_t { Starting, Up, Paused, Stopping, Ended, Lost };
[[nodiscard]] const char* word_of(MachineState state);

class ManagedMachine {
 public:
  ManagedMachine(std::string name, MachineFolder folder, EventLog& events)
      : name_(std::move(name)), folder_(std::move(folder)), events_(events) {}

  // A new one, by a keeper of its own. False with one line in *problem.
  [[nodiscard]] bool start(const std::vector<std::string>& words, const std::string& folder,
                           std::string* problem);
  // One that an earlier manager has started: it is kept, has ended, or is lost.
  void adopt();

  // Asks the guest by its power button; if it has not ended after `grace`, the machine.
  void stop(Nanoseconds grace);
  void kill();
  // The machine's statistics are written to its folder soon.
  void ask_for_statistics();
  // A picture of its screen is in its folder soon.
  void ask_for_screen();

  // ---- of a poll() ----
  void add_to(std::vector<pollfd>* waiting) const;
  // at: where it has added itself. Takes messages that have come, and does work that is due.
  void serve(const std::vector<pollfd>& waiting, size_t at);
  static constexpr size_t kDescriptors = 2;
  // True: the machine needs a look soon, though nothing comes.
  [[nodiscard]] bool is_in_motion() const;

  // True: the machine answers, has ended, or takes so long that nobody should wait: it may wait
  // itself, for a machine that is to come.
  [[nodiscard]] bool has_settled() const;
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] MachineState state() const { return state_; }
  [[nodiscard]] bool is_there() const { return state_ < MachineState::Ended; }
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] int64_t process() const { return process_; }
  // How it has ended: "exit code 3", "signal 9: ...". Empty: it has not.
  [[nodiscard]] const std::string& end_text() const { return end_text_; }
  [[nodiscard]] int64_t exit_code() const { return exit_code_; }
  [[nodiscard]] control::JsonValue description() const;

 private:
  void connect();
  void take_keeper_messages();
  void take_qmp_messages();
  void take_qmp_event(const control::JsonValue& message);
  void be_up();
  void press_power_button();
  void pursue_end();
  void take_end(const control::JsonValue& end);
  void be_lost();
  void tell_end(const char* word);
  void signal_it(const char* name);

  std::string name_;
  MachineFolder folder_;
  EventLog& events_;
  MachineState state_ = MachineState::Starting;
  std::vector<std::string> words_;
  Wire keeper_, qmp_;
  bool was_adopted_ = false, was_up_ = false;
  int64_t process_ = 0;                    // the machine's; 0: not known
  Nanoseconds since_ = 0;                  // of the host's time of day
  Nanoseconds began_ = 0;                  // of monotonic time: when it was started or adopted
  Nanoseconds term_at_ = 0, kill_at_ = 0;  // of monotonic time; 0: not to be
  bool is_kill_wanted_ = false;            // before there is anybody to tell
  bool is_button_wanted_ = false;          // once it answers
  bool makes_screen_ = false;              // it was asked for one
  std::string end_text_;
  int64_t exit_code_ = 0;
};

}  // namespace ringshift::manager
