#include "monitor/control/qmp_migration.h"

#include <string>

#include "monitor/debug/prompt/migration_commands.h"
#include "shadowmmu/base/address.h"

namespace ringshift::control {
namespace {

using debug::ControlTarget;
using Object = JsonValue::Object;

int64_t number(uint64_t value) { return static_cast<int64_t>(value); }

Object ram_of(const MigrationProgress& now) {
  constexpr double kBitsInMegabit = 8.0 / 1e6;
  const uint64_t pages = now.grain_bytes / kPageSize;
  return {{"transferred", number(now.sent)},
          {"remaining", number(now.remaining)},
          {"total", number(now.total)},
          {"duplicate", number(now.zero_grains * pages)},
          {"normal", number(now.data_grains * pages)},
          {"normal-bytes", number(now.data_grains * now.grain_bytes)},
          {"dirty-pages-rate", number(now.dirty_rate / kPageSize)},
          {"dirty-sync-count", number(now.rounds)},
          {"postcopy-requests", number(now.wanted_grains)},
          {"page-size", number(kPageSize)},
          {"mbps", static_cast<double>(now.bandwidth) * kBitsInMegabit}};
}

}  // namespace

QmpReply migrate(QmpArguments& arguments, ControlTarget& target) {
  const std::string where = arguments.needed_text("uri");
  (void)arguments.flag("detach");
  const std::optional<int64_t> rounds = arguments.integer("postcopy");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::optional<uint32_t> postcopy_after;
  if (rounds) {
    postcopy_after = debug::postcopy_rounds(std::to_string(*rounds));
    if (!postcopy_after) return QmpReply::error("postcopy is a number of rounds, 0 to 1000");
  }
  std::string error;
  return QmpReply::done(debug::begin_migration(target, where, postcopy_after, &error), error);
}

QmpReply start_postcopy(QmpArguments&, ControlTarget& target) {
  std::string error;
  return QmpReply::done(debug::start_postcopy(target, &error), error);
}

QmpReply cancel_migration(QmpArguments&, ControlTarget& target) {
  std::string error;
  return QmpReply::done(debug::cancel_migration(target, &error), error);
}

QmpReply set_migration_parameters(QmpArguments& arguments, ControlTarget& target) {
  const std::optional<int64_t> bandwidth = arguments.integer("max-bandwidth");
  const std::optional<int64_t> downtime = arguments.integer("downtime-limit");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  const auto set = [&](const char* name, const std::optional<int64_t>& value) {
    return !value || debug::set_migration_limit(target, name, std::to_string(*value), &error);
  };
  const bool is_done = set("max-bandwidth", bandwidth) && set("downtime-limit", downtime);
  return QmpReply::done(is_done, error);
}

QmpReply clone(QmpArguments& arguments, ControlTarget& target) {
  const std::string disks = arguments.text("disks");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (!disks.empty() && disks != "freeze") {
    return QmpReply::error("Parameter 'disks' does not accept value '" + shown(disks) + "'");
  }
  std::string error;
  return QmpReply::done(debug::begin_clone(target, !disks.empty(), &error), error);
}

JsonValue query_clone(ControlTarget& target) {
  if (target.clone() == nullptr) return Object{};
  const CloneProgress now = target.clone()->progress();
  if (now.status == CloneStatus::None) return Object{};
  Object all{{"status", clone_status_name(now.status)},
             {"pause-us", now.pause_microseconds},
             {"total-time", now.total_milliseconds},
             {"copied-bytes", number(now.copied)},
             {"earlier-bytes", number(now.referred)},
             {"shared-bytes", number(now.shared)},
             {"grains-by-writes", number(now.grains_by_writes)}};
  if (!now.file.empty()) all.push_back({"file", now.file});
  if (!now.problem.empty()) all.push_back({"error-desc", now.problem});
  return all;
}

JsonValue query_migration(ControlTarget& target) {
  if (target.migration() == nullptr) return Object{};
  const MigrationProgress now = target.migration()->progress();
  if (now.status == MigrationStatus::None) return Object{};
  Object all{{"status", migration_status_name(now.status)},
             {"ram", ram_of(now)},
             {"total-time", now.total_milliseconds},
             {"setup-time", now.setup_milliseconds}};
  const bool is_over = now.status == MigrationStatus::Completed;
  all.push_back({is_over ? "downtime" : "expected-downtime", now.downtime_milliseconds});
  if (now.throttle != 0) {
    all.push_back({"cpu-throttle-percentage", static_cast<int64_t>(now.throttle)});
  }
  if (!now.problem.empty()) all.push_back({"error-desc", now.problem});
  return all;
}

JsonValue query_migration_parameters(ControlTarget& target) {
  if (target.migration() == nullptr) return Object{};
  const MigrationLimits& limits = target.migration()->limits();
  return Object{{"max-bandwidth", number(limits.bandwidth)},
                {"downtime-limit", static_cast<int64_t>(limits.downtime)}};
}

}  // namespace ringshift::control
