#include "monitor/manager/event_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <optional>
#include <sstream>
#include <utility>

#include "monitor/host/time/host_clock.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {

using control::JsonValue;

std::string time_text(Nanoseconds time) {
  constexpr Nanoseconds kSecond = 1'000'000'000;
  const auto seconds = static_cast<time_t>(time / kSecond);
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string line_of(const Event& event) {
  return fmt::format("{} {} {}{}{}\n", time_text(event.at),
                     event.machine.empty() ? "(manager)" : event.machine, event.what,
                     event.detail.empty() ? "" : ": ", event.detail);
}

JsonValue message_of(const Event& event) {
  return JsonValue::Object{
      {"at", event.at}, {"machine", event.machine}, {"what", event.what}, {"detail", event.detail}};
}

Event event_of(const JsonValue& message) {
  return {0, number_of(message, "at"), text_of(message, "machine"), text_of(message, "what"),
          text_of(message, "detail")};
}

bool EventLog::open(const std::string& path) {
  for (const std::string& each : {BoundedLog::older(path), path}) {
    const std::optional<std::string> text = read_whole(each);
    std::istringstream lines(text ? *text : "");
    for (std::string line; std::getline(lines, line);) {
      JsonValue message;
      size_t at = 0;
      if (line.size() < control::MessageReader::kLongest && parse_json(line, &message, &at)) {
        keep(event_of(message));
      }
    }
  }
  constexpr size_t kMostBytes = size_t{256} << 10;
  return file_.begin(path, kMostBytes);
}

void EventLog::add(const std::string& machine, const std::string& what, const std::string& detail) {
  const Event event{0, HostClock::wall_time(), machine, what, detail};
  file_.append(message_of(event).text() + "\n");
  if (echoes_) {
    std::fputs(line_of(event).c_str(), stdout);
    std::fflush(stdout);
  }
  keep(event);
}

bool EventLog::has_told_end_of(const std::string& machine) const {
  const auto newest = std::find_if(events_.rbegin(), events_.rend(),
                                   [&](const Event& event) { return event.machine == machine; });
  return newest != events_.rend() &&
         (newest->what == "ended" || newest->what == "crashed" || newest->what == "lost");
}

void EventLog::keep(Event event) {
  event.number = next_++;
  events_.push_back(std::move(event));
  if (events_.size() > kMostKept) events_.pop_front();
}

}  // namespace ringshift::manager
