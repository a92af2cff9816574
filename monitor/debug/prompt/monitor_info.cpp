#include "monitor/debug/prompt/monitor_info.h"

#include <fmt/format.h>
#include <unistd.h>

#include "monitor/debug/prompt/migration_commands.h"

namespace ringshift::debug {
namespace {

std::string show_status(ControlTarget& target) {
  const RunState state = target.run_state();
  return fmt::format("VM status: {}\n", state == RunState::Running
                                            ? "running"
                                            : fmt::format("paused ({})", run_state_name(state)));
}

std::string show_version(ControlTarget& target) {
  return fmt::format("ringshift {}\n", target.facts().version);
}

std::string show_name(ControlTarget& target) {
  return target.facts().name.empty() ? "" : target.facts().name + "\n";
}

std::string show_uuid(ControlTarget&) { return "00000000-0000-0000-0000-000000000000\n"; }

std::string show_kvm(ControlTarget&) { return "kvm support: disabled\n"; }

std::string show_cpus(ControlTarget&) { return fmt::format("* CPU #0: thread_id={}\n", getpid()); }

std::string show_block(ControlTarget& target) {
  std::string text;
  for (const DriveInfo& drive : target.drives()) {
    text += drive.device + ": ";
    text += drive.has_medium ? fmt::format("{} ({} bytes{})\n", drive.file, drive.bytes,
                                           drive.is_read_only ? ", read-only" : "")
                             : "[not inserted]\n";
    if (!drive.is_cdrom) continue;
    text +=
        fmt::format("    Removable device: {}, tray {}\n",
                    drive.is_locked ? "locked" : "not locked", drive.is_open ? "open" : "closed");
  }
  return text.empty() ? "there are no drives\n" : text;
}

std::string show_registers(ControlTarget& target) { return target.inspect("registers"); }

std::string show_devices(ControlTarget& target) { return target.inspect("devices"); }

std::string show_mice(ControlTarget&) { return "* Mouse #0: PS/2 mouse\n"; }

std::string show_usb(ControlTarget&) { return "there is no USB\n"; }

std::string show_migration(ControlTarget& target) { return migration_text(target); }

std::string show_migration_limits(ControlTarget& target) { return migration_limits_text(target); }

std::string show_clone(ControlTarget& target) { return clone_text(target); }

std::string show_balloon(ControlTarget& target) {
  const std::optional<uint64_t> bytes = target.balloon();
  if (!bytes) return "Error: there is no balloon (--device virtio-balloon-pci)\n";
  std::string text = fmt::format("balloon: actual={}\n", *bytes >> 20);
  for (const MemoryFigure& figure : target.balloon_figures()) {
    text += fmt::format("    {}: {}\n", figure.name, figure.value);
  }
  return text;
}

std::string show_network(ControlTarget& target) {
  const std::optional<NetworkInfo> card = target.network();
  if (!card) return "there is no network card\n";
  return fmt::format(
      "{0}.0: index=0,type=nic,model={0},macaddr={1}\n"
      " \\ net0: index=0,type={2},{3}\n"
      "    link {4}; {5} frames sent ({6} bytes), {7} received ({8} bytes)\n",
      card->model, card->address, card->kind, card->details, card->is_up ? "up" : "down",
      card->sent_frames, card->sent_bytes, card->received_frames, card->received_bytes);
}

constexpr struct {
  const char* name;
  const char* what;
  std::string (*show)(ControlTarget&);
} kTopics[] = {
    {"status", "whether the guest runs", show_status},
    {"version", "this program's", show_version},
    {"name", "what --name calls the machine", show_name},
    {"uuid", "none: all zeros", show_uuid},
    {"kvm", "never", show_kvm},
    {"cpus", "the processor and its thread", show_cpus},
    {"block", "drives and media", show_block},
    {"registers", "the processor's", show_registers},
    {"mtree", "who has which ports and memory", show_devices},
    {"mice", "the mouse", show_mice},
    {"balloon", "MiB that the guest has kept, and what it tells of its memory", show_balloon},
    {"network", "the network card, its cable, and what has gone over it", show_network},
    {"usb", "none", show_usb},
    {"clone", "how far a clone is, and how to begin it", show_clone},
    {"migrate", "how far the machine is on its way to another process", show_migration},
    {"migrate_parameters", "how fast it goes, and how still it stands", show_migration_limits},
};

}  // namespace

const char* run_state_name(RunState state) {
  switch (state) {
    case RunState::Running:
      return "running";
    case RunState::Paused:
      return "paused";
    case RunState::Debug:
      return "debug";
    case RunState::Prelaunch:
      return "prelaunch";
  }
  return "?";
}

std::vector<std::string> info_topics() {
  std::vector<std::string> all;
  for (const auto& topic : kTopics) all.emplace_back(topic.name);
  return all;
}

std::string monitor_info(ControlTarget& target, const std::string& topic) {
  std::string text;
  for (const auto& row : kTopics) {
    if (topic == row.name) return row.show(target);
    text += fmt::format("info {:<16} {}\n", row.name, row.what);
  }
  return topic.empty() ? text : "unknown command: 'info " + topic + "'\n";
}

}  // namespace ringshift::debug
