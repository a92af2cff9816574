#include "monitor/control/qmp_queries.h"

#include <unistd.h>

#include "monitor/debug/prompt/monitor_info.h"

namespace ringshift::control {
namespace {

using debug::ControlTarget;
using debug::DriveInfo;
using Object = JsonValue::Object;

Object medium(const DriveInfo& drive) {
  const auto size = static_cast<int64_t>(drive.bytes);
  const Object image{
      {"filename", drive.file}, {"format", "raw"}, {"virtual-size", size}, {"actual-size", size}};
  Object all{{"file", drive.file},
             {"drv", "raw"},
             {"ro", drive.is_read_only},
             {"backing_file_depth", 0},
             {"encrypted", false},
             {"detect_zeroes", "off"},
             {"write_threshold", 0},
             {"cache", Object{{"writeback", true}, {"direct", false}, {"no-flush", false}}},
             {"image", image}};
  // Nothing is throttled.
  for (const char* limit : {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}) {
    all.push_back({limit, 0});
  }
  return all;
}

}  // namespace

JsonValue query_status(ControlTarget& target) {
  const debug::RunState state = target.run_state();
  return Object{{"status", debug::run_state_name(state)},
                {"singlestep", false},
                {"running", state == debug::RunState::Running}};
}

JsonValue query_cpus(ControlTarget&) {
  const Object cpu{{"cpu-index", 0},
                   {"qom-path", "/machine/unattached/device[0]"},
                   {"thread-id", static_cast<int64_t>(getpid())},
                   {"props", Object{}},
                   {"target", "i386"}};
  return JsonValue::Array{cpu};
}

JsonValue query_block(ControlTarget& target) {
  JsonValue::Array all;
  for (const DriveInfo& drive : target.drives()) {
    Object one{{"device", drive.device},
               {"type", "unknown"},
               {"locked", drive.is_locked},
               {"removable", drive.is_cdrom}};
    if (drive.is_cdrom) one.push_back({"tray_open", drive.is_open});
    if (drive.has_medium) one.push_back({"inserted", medium(drive)});
    all.emplace_back(std::move(one));
  }
  return all;
}

JsonValue query_name(ControlTarget& target) {
  if (target.facts().name.empty()) return Object{};
  return Object{{"name", target.facts().name}};
}

JsonValue query_uuid(ControlTarget&) {
  return Object{{"UUID", "00000000-0000-0000-0000-000000000000"}};
}

JsonValue query_kvm(ControlTarget&) { return Object{{"enabled", false}, {"present", false}}; }

JsonValue query_memory_figures(ControlTarget& target) {
  Object all;
  for (const debug::MemoryFigure& figure : target.balloon_figures()) {
    all.push_back({figure.name, static_cast<int64_t>(figure.value)});
  }
  return all;
}

JsonValue query_network(ControlTarget& target) {
  const std::optional<debug::NetworkInfo> card = target.network();
  if (!card) return JsonValue::Array{};
  return JsonValue::Array{Object{{"model", card->model},
                                 {"macaddr", card->address},
                                 {"type", card->kind},
                                 {"link-up", card->is_up},
                                 {"sent-frames", static_cast<int64_t>(card->sent_frames)},
                                 {"sent-bytes", static_cast<int64_t>(card->sent_bytes)},
                                 {"received-frames", static_cast<int64_t>(card->received_frames)},
                                 {"received-bytes", static_cast<int64_t>(card->received_bytes)}}};
}

JsonValue query_mice(ControlTarget&) {
  return JsonValue::Array{
      Object{{"name", "PS/2 mouse"}, {"index", 0}, {"current", true}, {"absolute", false}}};
}

}  // namespace ringshift::control
