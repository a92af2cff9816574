// EventLog: the events of a manager's machines, the newest last. Owns: the list, which is bounded,
// and the file that a later manager goes on from. See docs/machines.md, "Events".
#pragma once

#include <deque>
#include <string>

#include "devices/bus/virtual_clock.h"
#include "monitor/control/json_value.h"
#include "monitor/manager/bounded_log.h"

namespace ringshift::manager {

struct Event {
  uint64_t number = 0;  // counts up, within a manager's life
  Nanoseconds at = 0;   // of the host's time of day
  std::string machine;  // empty: the manager itself
  std::string what;     // a word: started, up, ended, crashed...
  std::string detail;   // may be empty
};

// "2026-01-31T23:59:59Z web crashed: signal 9"
[[nodiscard]] std::string line_of(const Event& event);
[[nodiscard]] control::JsonValue message_of(const Event& event);
[[nodiscard]] Event event_of(const control::JsonValue& message);
// "2026-01-31T23:59:59Z"; time: of the host's time of day.
[[nodiscard]] std::string time_text(Nanoseconds time);

class EventLog {
 public:
  static constexpr size_t kMostKept = 1000;

  // New lines follow those of an earlier manager. False with errno.
  [[nodiscard]] bool open(const std::string& path);
  void add(const std::string& machine, const std::string& what, const std::string& detail = "");
  [[nodiscard]] const std::deque<Event>& all() const { return events_; }
  // The newest about this machine says that it is no more.
  [[nodiscard]] bool has_told_end_of(const std::string& machine) const;
  [[nodiscard]] uint64_t next_number() const { return next_; }
  void set_echo(bool on) { echoes_ = on; }

 private:
  void keep(Event event);

  std::deque<Event> events_;
  uint64_t next_ = 1;
  BoundedLog file_;
  bool echoes_ = false;  // on standard output, too
};

}  // namespace ringshift::manager
