#include "monitor/command/options/event_options.h"

#include "monitor/command/options/option_items.h"

namespace ringshift {
namespace {

constexpr struct {
  const char* name;
  PanicAction action;
} kPanic[] = {{"shutdown", PanicAction::Shutdown},
              {"exit-failure", PanicAction::Shutdown},  // the exit code says it either way
              {"pause", PanicAction::Pause},
              {"none", PanicAction::None}};

constexpr struct {
  const char* name;
  WatchdogAction action;
} kWatchdog[] = {{"reset", WatchdogAction::Reset},       {"shutdown", WatchdogAction::Shutdown},
                 {"poweroff", WatchdogAction::PowerOff}, {"pause", WatchdogAction::Pause},
                 {"debug", WatchdogAction::Debug},       {"none", WatchdogAction::None}};

template <typename Rows, typename Action>
bool take(const Rows& rows, const std::string& name, Action* action) {
  for (const auto& row : rows) {
    if (name != row.name) continue;
    *action = row.action;
    return true;
  }
  return false;
}

}  // namespace

bool parse_actions(const std::vector<std::string>& items, EventActions* actions,
                   std::string* problem) {
  for (const std::string& item : items) {
    const auto [key, value] = split_item(item);
    if (key == "watchdog" && value == "inject-nmi") {
      *problem =
          "--action: watchdog=inject-nmi is not supported: a watchdog here has no wire to it";
      return false;
    }
    if ((key == "panic" && take(kPanic, value, &actions->panic)) ||
        (key == "watchdog" && take(kWatchdog, value, &actions->watchdog))) {
      continue;
    }
    *problem = "--action: cannot use '" + item +
               "' (panic=shutdown|exit-failure|pause|none, "
               "watchdog=reset|shutdown|poweroff|pause|debug|none)";
    return false;
  }
  return true;
}

}  // namespace ringshift
