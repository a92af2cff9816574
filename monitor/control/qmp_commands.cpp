#include "monitor/control/qmp_commands.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <string_view>

#include "monitor/control/qmp_input.h"
#include "monitor/control/qmp_migration.h"
#include "monitor/control/qmp_queries.h"
#include "monitor/debug/prompt/monitor_commands.h"

namespace ringshift::control {
namespace {

using debug::ControlTarget;
using debug::Picture;
using debug::Tray;

// ---- running ----

QmpReply stop(QmpArguments&, ControlTarget& target) {
  target.stop();
  return QmpReply::nothing();
}

QmpReply go_on(QmpArguments&, ControlTarget& target) {
  std::string error;
  return QmpReply::done(target.go_on(&error), error);
}

QmpReply reset(QmpArguments&, ControlTarget& target) {
  target.reset();
  return QmpReply::nothing();
}

QmpReply power_down(QmpArguments&, ControlTarget& target) {
  std::string error;
  return QmpReply::done(target.press_power_button(&error), error);
}

QmpReply wake_up(QmpArguments&, ControlTarget&) {
  return QmpReply::error("the guest is not asleep, and cannot be");
}

QmpReply quit(QmpArguments&, ControlTarget& target) {
  target.quit();
  return QmpReply::nothing();
}

// ---- media ----

// Drives have the same name under "device" and "id".
std::string drive_of(QmpArguments& arguments) {
  const std::string id = arguments.text("id");
  return id.empty() ? arguments.needed_text("device") : id;
}

QmpReply eject_medium(QmpArguments& arguments, ControlTarget& target) {
  const std::string device = drive_of(arguments);
  const bool force = arguments.flag("force");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  return QmpReply::done(eject(target, device, force, &error), error);
}

QmpReply change(QmpArguments& arguments, ControlTarget& target) {
  const std::string device = drive_of(arguments), file = arguments.needed_text("filename");
  const std::string format = arguments.text("format");
  const std::string mode = arguments.text("read-only-mode");
  const bool force = arguments.flag("force");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (!format.empty() && format != "raw") {
    return QmpReply::error("Parameter 'format' can only be raw in a machine that runs");
  }
  if (mode == "read-write") return QmpReply::error("a CD-ROM is read-only");
  std::string error;
  return QmpReply::done(change_medium(target, device, file, force, &error), error);
}

QmpReply open_tray(QmpArguments& arguments, ControlTarget& target) {
  const std::string device = drive_of(arguments);
  const Tray move = arguments.flag("force") ? Tray::OpenByForce : Tray::Open;
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  return QmpReply::done(target.move_tray(device, move, &error), error);
}

QmpReply close_tray(QmpArguments& arguments, ControlTarget& target) {
  const std::string device = drive_of(arguments);
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  return QmpReply::done(target.move_tray(device, Tray::Close, &error), error);
}

QmpReply remove_medium(QmpArguments& arguments, ControlTarget& target) {
  const std::string device = drive_of(arguments);
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  return QmpReply::done(target.remove_medium(device, &error), error);
}

// ---- the balloon ----

QmpReply set_balloon(QmpArguments& arguments, ControlTarget& target) {
  const std::optional<int64_t> value = arguments.integer("value");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (!value || *value <= 0) {
    return QmpReply::error("Parameter 'value' expects a size in bytes, more than 0");
  }
  std::string error;
  return QmpReply::done(target.set_balloon(static_cast<uint64_t>(*value), &error), error);
}

QmpReply query_balloon(QmpArguments&, ControlTarget& target) {
  const std::optional<uint64_t> bytes = target.balloon();
  if (!bytes) return QmpReply::error("there is no balloon: --device virtio-balloon-pci brings one");
  return QmpReply::of(JsonValue::Object{{"actual", static_cast<int64_t>(*bytes)}});
}

// ---- files and lines ----

QmpReply dump_screen(QmpArguments& arguments, ControlTarget& target) {
  const std::string file = arguments.needed_text("filename");
  const std::string format = arguments.text("format");
  const int64_t head = arguments.integer("head").value_or(0);
  if (!arguments.text("device").empty() || head != 0) {
    return QmpReply::error("there is one screen; leave 'device' and 'head' out");
  }
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (!format.empty() && format != "png" && format != "ppm") {
    return QmpReply::error("Parameter 'format' does not accept value '" + shown(format) + "'");
  }
  std::string error;
  const Picture picture = format == "png" ? Picture::Png : Picture::Ppm;
  return QmpReply::done(target.write_screen(file, picture, &error), error);
}

QmpReply save(QmpArguments& arguments, ControlTarget& target) {
  const std::string file = arguments.needed_text("filename");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string error;
  return QmpReply::done(target.save(file, &error), error);
}

// An answer of a monitor has lines that end as a terminal's do.
QmpReply run_line(QmpArguments& arguments, ControlTarget& target) {
  const std::string line = arguments.needed_text("command-line");
  (void)arguments.integer("cpu-index");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  std::string answer;
  for (const char c : debug::run_monitor_line(target, line)) {
    if (c == '\n') answer.push_back('\r');
    answer.push_back(c);
  }
  return QmpReply::of(std::move(answer));
}

// ---- the table ----

template <JsonValue (*Query)(ControlTarget&)>
QmpReply query(QmpArguments&, ControlTarget& target) {
  return QmpReply::of(Query(target));
}

QmpReply query_version(QmpArguments&, ControlTarget& target) {
  return QmpReply::of(version_of(target.facts().version));
}

QmpReply query_commands(QmpArguments& arguments, ControlTarget& target);

struct Command {
  const char* name;
  const char* arguments;  // their names, each with a blank behind it
  QmpReply (*run)(QmpArguments&, ControlTarget&);
};

constexpr Command kCommands[] = {
    {"query-commands", "", query_commands},
    {"query-version", "", query_version},
    {"query-status", "", query<query_status>},
    {"query-cpus-fast", "", query<query_cpus>},
    {"query-block", "", query<query_block>},
    {"query-name", "", query<query_name>},
    {"query-uuid", "", query<query_uuid>},
    {"query-kvm", "", query<query_kvm>},
    {"query-mice", "", query<query_mice>},
    {"query-balloon", "", query_balloon},
    {"balloon", "value ", set_balloon},
    {"x-ringshift-query-balloon", "", query<query_memory_figures>},
    {"x-ringshift-query-network", "", query<query_network>},
    {"stop", "", stop},
    {"cont", "", go_on},
    {"system_reset", "", reset},
    {"system_powerdown", "", power_down},
    {"system_wakeup", "", wake_up},
    {"quit", "", quit},
    {"screendump", "filename device head format ", dump_screen},
    {"send-key", "keys hold-time ", send_key},
    {"input-send-event", "device head events ", send_events},
    {"human-monitor-command", "command-line cpu-index ", run_line},
    {"eject", "device id force ", eject_medium},
    {"blockdev-change-medium", "device id filename format force read-only-mode ", change},
    {"blockdev-open-tray", "device id force ", open_tray},
    {"blockdev-close-tray", "device id ", close_tray},
    {"blockdev-remove-medium", "device id ", remove_medium},
    {"x-ringshift-save", "filename ", save},
    {"x-ringshift-clone", "disks ", clone},
    {"x-ringshift-query-clone", "", query<query_clone>},
    {"migrate", "uri detach postcopy ", migrate},
    {"migrate-start-postcopy", "", start_postcopy},
    {"migrate_cancel", "", cancel_migration},
    {"migrate-set-parameters", "max-bandwidth downtime-limit ", set_migration_parameters},
    {"query-migrate", "", query<query_migration>},
    {"query-migrate-parameters", "", query<query_migration_parameters>},
};

QmpReply query_commands(QmpArguments&, ControlTarget&) {
  JsonValue::Array all{JsonValue::Object{{"name", "qmp_capabilities"}}};
  for (const Command& command : kCommands) {
    all.emplace_back(JsonValue::Object{{"name", command.name}});
  }
  return QmpReply::of(std::move(all));
}

}  // namespace

QmpReply run_qmp_command(const std::string& name, const JsonValue* arguments,
                         ControlTarget& target) {
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                   [&](const Command& one) { return name == one.name; });
  if (found == std::end(kCommands)) {
    return QmpReply::not_found("The command " + shown(name) + " has not been found");
  }
  QmpArguments named(arguments, found->arguments);
  return named.good() ? found->run(named, target) : QmpReply::error(named.problem());
}

JsonValue version_of(const std::string& version) {
  std::array<int, 3> numbers{};
  const char* at = version.data();
  const char* const end = at + version.size();
  for (int& number : numbers) {
    at = std::from_chars(at, end, number).ptr;
    if (at != end) ++at;
  }
  return JsonValue::Object{
      {"qemu",
       JsonValue::Object{{"micro", numbers[2]}, {"minor", numbers[1]}, {"major", numbers[0]}}},
      {"package", "ringshift " + version}};
}

}  // namespace ringshift::control
