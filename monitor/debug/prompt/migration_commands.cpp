#include "monitor/debug/prompt/migration_commands.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace ringshift::debug {
namespace {

constexpr const char* kCannot = "this machine cannot be moved";
constexpr uint64_t kKilobyte = 1024;

std::optional<uint64_t> bytes_of(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || value > MigrationLimits::kMostBandwidth) return std::nullopt;
  if (result.ptr == end) return value;
  if (result.ptr + 1 != end) return std::nullopt;
  switch (*result.ptr) {
    case 'k':
    case 'K':
      return value * kKilobyte;
    case 'm':
    case 'M':
      return value * kKilobyte * kKilobyte;
    case 'g':
    case 'G':
      return value * kKilobyte * kKilobyte * kKilobyte;
    default:
      return std::nullopt;
  }
}

}  // namespace

bool begin_migration(ControlTarget& target, const std::string& where,
                     std::optional<uint32_t> postcopy_after, std::string* error) {
  *error = kCannot;
  return target.migration() != nullptr && target.migration()->begin(where, postcopy_after, error);
}

bool start_postcopy(ControlTarget& target, std::string* error) {
  *error = kCannot;
  return target.migration() != nullptr && target.migration()->start_postcopy(error);
}

std::optional<uint32_t> postcopy_rounds(const std::string& text) {
  uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || value > kMostPostcopyRounds) {
    return std::nullopt;
  }
  return value;
}

bool cancel_migration(ControlTarget& target, std::string* error) {
  *error = kCannot;
  return target.migration() != nullptr && target.migration()->cancel(error);
}

bool set_migration_limit(ControlTarget& target, const std::string& name, const std::string& value,
                         std::string* error) {
  *error = kCannot;
  if (target.migration() == nullptr) return false;
  MigrationLimits limits = target.migration()->limits();
  const std::optional<uint64_t> number = bytes_of(value);
  if (number && name == "max-bandwidth") {
    limits.bandwidth = *number;
  } else if (number && name == "downtime-limit" && *number <= MigrationLimits::kMostDowntime) {
    limits.downtime = static_cast<uint32_t>(*number);
  } else {
    *error = "max-bandwidth takes bytes a second, downtime-limit milliseconds up to 2000";
    return false;
  }
  return target.migration()->set_limits(limits, error);
}

std::string migration_text(ControlTarget& target) {
  constexpr uint64_t kMebibyte = kKilobyte * kKilobyte;
  if (target.migration() == nullptr) return "";
  const MigrationProgress now = target.migration()->progress();
  if (now.status == MigrationStatus::None) return "";
  std::string text = fmt::format("Status: {}\n", migration_status_name(now.status));
  if (!now.problem.empty()) text += fmt::format("Problem: {}\n", now.problem);
  text += fmt::format("Total time: {} ms, setup {} ms, guest stopped {} ms\n",
                      now.total_milliseconds, now.setup_milliseconds, now.downtime_milliseconds);
  text += fmt::format("RAM: {} MiB in all, {} KiB to go; sent: {} KiB\n", now.total / kMebibyte,
                      now.remaining / kKilobyte, now.sent / kKilobyte);
  text += fmt::format("Parts of {} KiB: {} sent, {} more as zeros; rounds: {}\n",
                      now.grain_bytes / kKilobyte, now.data_grains, now.zero_grains, now.rounds);
  if (now.wanted_grains != 0)
    text += fmt::format("Asked for by the other side: {}\n", now.wanted_grains);
  text += fmt::format("Dirty rate: {} KiB/s; throughput: {} KiB/s; throttled by {} %\n",
                      now.dirty_rate / kKilobyte, now.bandwidth / kKilobyte, now.throttle);
  return text;
}

bool begin_clone(ControlTarget& target, bool freezes_disks, std::string* error) {
  *error = "this machine cannot be cloned";
  return target.clone() != nullptr && target.clone()->begin(freezes_disks, error);
}

std::string clone_text(ControlTarget& target) {
  if (target.clone() == nullptr) return "";
  const CloneProgress now = target.clone()->progress();
  if (now.status == CloneStatus::None) return "";
  std::string text = fmt::format("Status: {}\n", clone_status_name(now.status));
  if (!now.problem.empty()) text += fmt::format("Problem: {}\n", now.problem);
  if (!now.file.empty()) text += fmt::format("A clone: ringshift resume {}\n", now.file);
  text += fmt::format("The guest has stood {} us; ready after {} ms\n", now.pause_microseconds,
                      now.total_milliseconds);
  text += fmt::format("RAM: {} KiB copied, {} KiB an earlier clone's, {} KiB shared by now\n",
                      now.copied / kKilobyte, now.referred / kKilobyte, now.shared / kKilobyte);
  text += fmt::format("Parts copied because the guest was about to write them: {}\n",
                      now.grains_by_writes);
  return text;
}

std::string migration_limits_text(ControlTarget& target) {
  if (target.migration() == nullptr) return "";
  const MigrationLimits& limits = target.migration()->limits();
  return fmt::format("max-bandwidth: {} bytes/second\ndowntime-limit: {} ms\n", limits.bandwidth,
                     limits.downtime);
}

}  // namespace ringshift::debug
