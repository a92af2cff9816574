#include "monitor/manager/machines/machine_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "monitor/host/exit_codes.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/manager/asker.h"
#include "monitor/manager/event_log.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

// "3 s", "5 min", "7 h", "9 d"
std::string duration_text(Nanoseconds time) {
  constexpr Nanoseconds kSecond = 1'000'000'000, kMinute = 60, kHour = 3600, kDay = 86400;
  const Nanoseconds seconds = std::max<Nanoseconds>(time, 0) / kSecond;
  if (seconds < 2 * kMinute) return fmt::format("{} s", seconds);
  if (seconds < 2 * kHour) return fmt::format("{} min", seconds / kMinute);
  return seconds < 2 * kDay ? fmt::format("{} h", seconds / kHour)
                            : fmt::format("{} d", seconds / kDay);
}

std::string row_of(const JsonValue& machine) {
  const int64_t process = number_of(machine, "process");
  const std::string end = text_of(machine, "end");
  return fmt::format("{:<16} {:<9} {:>8} {:>8}  {}\n", text_of(machine, "name"),
                     text_of(machine, "state"),
                     process != 0 && end.empty() ? std::to_string(process) : "-",
                     duration_text(HostClock::wall_time() - number_of(machine, "since")), end);
}

}  // namespace

int list_machines(const RunFolder& folder, bool as_json) {
  Asker asker;
  std::string problem;
  if (!asker.connect(folder, &problem)) return fail(problem);
  asker.say(Object{{"do", "ps"}});
  if (!as_json) {
    std::fputs(fmt::format("{:<16} {:<9} {:>8} {:>8}  {}\n", "NAME", "STATE", "PROCESS", "SINCE",
                           "HOW IT ENDED")
                   .c_str(),
               stdout);
  }
  return asker.listen([&](const JsonValue& machine) {
    std::fputs((as_json ? machine.text() + "\n" : row_of(machine)).c_str(), stdout);
    return true;
  });
}

int print_events(const RunFolder& folder, bool follows) {
  Asker asker;
  std::string problem;
  if (!asker.connect(folder, &problem)) return fail(problem);
  asker.say(Object{{"do", "events"}, {"follow", follows}});
  return asker.listen([](const JsonValue& event) {
    std::fputs(line_of(event_of(event)).c_str(), stdout);
    return std::fflush(stdout) == 0;
  });
}

int end_machines(const RunFolder& folder, const EndRequest& request) {
  Asker asker;
  std::string problem;
  if (!asker.connect(folder, &problem)) return fail(problem);
  asker.say(Object{{"do", request.kills ? "kill" : "stop"},
                   {"names", array_of(request.names)},
                   {"all", request.all},
                   {"seconds", static_cast<int64_t>(request.seconds)}});
  return asker.listen([](const JsonValue& machine) {
    std::printf("%s: %s\n", text_of(machine, "name").c_str(), text_of(machine, "end").c_str());
    return true;
  });
}

}  // namespace ringshift::manager
