#include "monitor/command/options/clock_options.h"

#include <charconv>
#include <cmath>
#include <ctime>
#include <optional>

#include "monitor/command/options/option_items.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr uint32_t kUsualNanoseconds = 8;
constexpr uint32_t kMostNanoseconds = 1'000'000;

// Seconds since 1970, UTC; nothing: it is no date.
std::optional<int64_t> parse_date(const std::string& text) {
  for (const char* form : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"}) {
    std::tm time{};
    const char* end = strptime(text.c_str(), form, &time);
    if (end != nullptr && *end == '\0') return timegm(&time);
  }
  return std::nullopt;
}

bool apply_rtc(const std::string& text, MachineConfig* machine, std::string* problem) {
  const std::time_t now = std::time(nullptr);
  if (text == "utc") {
    machine->rtc_offset = 0;
  } else if (text == "localtime") {
    std::tm time{};
    machine->rtc_offset = localtime_r(&now, &time) != nullptr ? time.tm_gmtoff : 0;
    machine->event_clock.epoch_seconds += machine->rtc_offset;
  } else if (const std::optional<int64_t> date = parse_date(text)) {
    machine->rtc_offset = *date - now;
    machine->event_clock.epoch_seconds = *date;
  } else {
    *problem = "--rtc: '" + text + "' is none of utc, localtime, 2000-01-31, 2000-01-31T23:59:59";
    return false;
  }
  return true;
}

bool take_clock_item(const KeyValue& item, EventClockConfig* clock) {
  const auto& [key, value] = item;
  if (key == "ns") {
    return parse_number(value, &clock->nanoseconds) && clock->nanoseconds >= 1 &&
           clock->nanoseconds <= kMostNanoseconds;
  }
  if (key != "idle" || (value != "skip" && value != "wait")) return false;
  clock->idle = value == "skip" ? IdleTime::Skip : IdleTime::Wait;
  return true;
}

bool parse_clock(const std::string& text, EventClockConfig* clock, std::string* problem) {
  const std::vector<std::string> items = split_at_commas(text);
  if (text.empty() || text == "host") return true;
  if (items.front() != "events") {
    *problem = "--clock: '" + text + "' is none of host, events[,ns=N][,idle=skip|wait]";
    return false;
  }
  clock->nanoseconds = kUsualNanoseconds;
  for (size_t i = 1; i < items.size(); ++i) {
    if (take_clock_item(split_item(items[i]), clock)) continue;
    *problem = "--clock events: '" + items[i] + "' is none of ns=1..1000000, idle=skip, idle=wait";
    return false;
  }
  return true;
}

bool parse_scale(const std::string& text, TimeScale* scale) {
  double factor = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, factor, std::chars_format::fixed);
  if (failure != std::errc() || stop != end || !std::isfinite(factor)) return false;
  if (factor < TimeScale::kLeast || factor > TimeScale::kMost) return false;
  *scale = TimeScale(factor);
  return true;
}

// All but "events".
bool parse_time(const std::string& text, TimePolicy* time, std::string* problem) {
  const std::string scaled = "scaled=";
  *time = {};
  if (text == "real" || text == "lazy") {
    time->missed_ticks = text == "real" ? MissedTicks::MakeUp : MissedTicks::Drop;
    time->passes_in_stops = true;
    return true;
  }
  if (text == "usual") return true;
  if (text.starts_with(scaled)) {
    if (parse_scale(text.substr(scaled.size()), &time->scale)) return true;
    *problem = "--time: '" + text + "': the factor is a number from 0.01 to 100, as scaled=0.5";
    return false;
  }
  *problem = "--time: '" + text + "' is none of usual, real, lazy, scaled=F, events";
  return false;
}

// An option by which the guest would meet the host's rate beside its own scaled one; empty: none.
std::string obstacle_to_scale(const RunOptions& options) {
  if (options.machine.vcpu.engine == Engine::Trap) {
    return "--engine trap: the guest reads the processor's own time-stamp counter";
  }
  const ResourceLimits& limits = options.limits;
  if (limits.disk_rate != 0 || limits.network_rate != 0) {
    return "--limit disk= or network=: their rates are by the guest's time";
  }
  return "";
}

// --time beside --clock, which is "events" afterwards if it is meant.
bool apply_time(RunOptions* options, std::string* problem) {
  const std::string& time = options->time;
  if (time.empty()) return true;
  const bool counts = split_at_commas(options->clock).front() == "events";
  if (time == "events") {
    if (options->clock.empty()) options->clock = "events";
    if (counts || options->clock != "host") return true;
    *problem = "--time events: --clock host is another clock";
    return false;
  }
  if (!parse_time(time, &options->machine.time, problem)) return false;
  if (counts) {
    *problem =
        "--time " + time + ": with --clock events or --record, time goes by the guest's events";
    return false;
  }
  if (options->machine.time.scale.is_one()) return true;
  const std::string what = obstacle_to_scale(*options);
  if (!what.empty()) *problem = "--time scaled cannot be used with " + what;
  return what.empty();
}

// An option that would bring the host's time, or chance, into a run that is to repeat; empty: none.
std::string obstacle(const RunOptions& options) {
  const MachineConfig& machine = options.machine;
  if (machine.vcpu.engine == Engine::Trap) return "--engine trap: it runs on the processor itself";
  if (machine.vcpu.user == UserEngine::Direct) {
    return "--user direct: what runs on the processor itself cannot be counted";
  }
  if (machine.cpu.paravirt != Paravirt::None) return "--paravirt: it tells the guest host time";
  if (machine.share_pages_rate != 0) return "--share-pages: it takes its steps by the host's time";
  if (wants<VirtioRngRequest>(machine.devices)) {
    return "--device virtio-rng: its numbers are the host's";
  }
  return "";
}

}  // namespace

bool apply_clock(RunOptions* options, std::string* problem) {
  MachineConfig& machine = options->machine;
  if (!apply_time(options, problem) || !apply_rtc(options->rtc, &machine, problem) ||
      !parse_clock(options->clock, &machine.event_clock, problem)) {
    return false;
  }
  if (!machine.event_clock.is_used()) return true;
  if (const std::string what = obstacle(*options); !what.empty()) {
    *problem = "--clock events cannot be used with " + what;
    return false;
  }
  machine.vcpu.user = UserEngine::Translate;
  return true;
}

}  // namespace ringshift
