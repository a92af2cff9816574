// Options, second part: typed words become values, or one line says why not.
#include <algorithm>
#include <map>
#include <set>

#include "monitor/command/lasting/save_options.h"
#include "monitor/command/limit_options.h"
#include "monitor/command/options/clock_options.h"
#include "monitor/command/options/event_options.h"
#include "monitor/command/options/firmware_options.h"
#include "monitor/command/options/network_options.h"
#include "monitor/command/options/option_items.h"
#include "monitor/command/options/options.h"
#include "monitor/command/options/paravirt_options.h"
#include "monitor/command/options/port_options.h"
#include "monitor/command/options/share_options.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr uint64_t kMiB = 1U << 20;
constexpr uint64_t kSmallestMemory = 4 * kMiB;
// Guest-physical space below the ROM and device area of a 32-bit PC.
constexpr uint64_t kLargestMemory = 3584 * kMiB;

// A run in the background has no terminal.
bool apply_daemonize(RunOptions* options, std::string* problem) {
  if (!options->daemonize) return true;
  MachineConfig& machine = options->machine;
  if (options->serial.empty() && !options->nographic)
    machine.ports.serial.kind = PortTarget::Kind::None;
  if (machine.ports.serial.kind == PortTarget::Kind::Console ||
      machine.ports.debug_console.kind == PortTarget::Kind::Console) {
    *problem = "--daemonize: there is no terminal then; --serial file=FILE, pty, unix:PATH or none";
  } else if (options->display_request.has_text) {
    *problem = "--daemonize: there is no terminal then, which --display text needs";
  } else {
    return true;
  }
  return false;
}

// The terminal is the display's or the serial port's.
bool apply_display(RunOptions* options, std::string* problem) {
  for (const std::string& display : options->displays) {
    if (!parse_display(display, &options->display_request, problem)) return false;
  }
  if (!options->display_request.has_text) return true;
  MachineConfig& machine = options->machine;
  machine.text_display = true;
  for (PortTarget* port : {&machine.ports.serial, &machine.ports.debug_console}) {
    if (port->kind == PortTarget::Kind::Console) port->kind = PortTarget::Kind::None;
  }
  return true;
}

bool apply_memory(const std::string& text, MachineConfig* machine, std::string* problem) {
  const auto [key, value] = split_item(text);
  const std::string size = key == "size" ? value : text;
  uint64_t bytes = 0;
  if (!parse_size(size, kMiB, &bytes)) {
    *problem = "--memory: '" + text + "' is not a size (64M, 1G, ...)";
    return false;
  }
  if (bytes < kSmallestMemory || bytes > kLargestMemory) {
    *problem = "--memory: " + size + " is outside 4M..3584M";
    return false;
  }
  machine->memory_bytes = bytes / kPageSize * kPageSize;
  return true;
}

bool apply_modules(const std::vector<std::string>& items, BootRequest* boot) {
  for (const std::string& item : items) {
    const size_t space = item.find(' ');
    boot->modules.push_back(
        {item.substr(0, space), space == std::string::npos ? "" : item.substr(space + 1)});
  }
  return true;
}

bool apply_stats(const std::string& text, RunOptions* options, std::string* problem) {
  if (text.empty()) {
    if (!options->stats_path.empty()) options->stats = StatsFormat::Json;
  } else if (text == "text") {
    options->stats = StatsFormat::Text;
  } else if (text == "all") {
    options->stats = StatsFormat::AllText;
  } else if (text == "json") {
    options->stats = StatsFormat::Json;
  } else {
    *problem = "--stats: '" + text + "' is none of text, all, json";
    return false;
  }
  return true;
}

bool apply_at(TranslateOptions* options, std::string* problem) {
  if (options->at.empty()) return true;
  uint32_t address = 0;
  if (options->entry) {
    *problem = "--at and --entry exclude each other";
    return false;
  }
  if (!parse_address(options->at, &address)) {
    *problem = "--at: '" + options->at + "' is not a 32-bit address (0xc0100000, 4096)";
    return false;
  }
  options->at_address = address;
  return true;
}

bool apply_style(TranslateOptions* options, std::string* problem) {
  if (options->ring != 0 && options->ring != 3) {
    *problem = "--ring: " + std::to_string(options->ring) + " is none of 0, 3";
    return false;
  }
  if (options->style == "window" || (options->style.empty() && options->ring == 0)) {
    options->access_style = AccessStyle::Window;
  } else if (options->style == "soft" || options->style.empty()) {
    options->access_style = AccessStyle::Soft;
  } else {
    *problem = "--style: '" + options->style + "' is none of window, soft";
    return false;
  }
  return true;
}

bool apply_source(TranslateOptions* options, std::string* problem) {
  const bool has_kernel = !options->guest.machine.boot.kernel_path.empty();
  if (has_kernel == !options->raw_path.empty()) {
    *problem = "translate needs one of --kernel and --raw";
    return false;
  }
  if (!parse_address(options->base, &options->base_address)) {
    *problem = "--base: '" + options->base + "' is not a 32-bit address (0x1000, 4096)";
    return false;
  }
  return true;
}

// A guest comes as a kernel, or from a medium that firmware boots.
bool apply_firmware(RunOptions* options, std::string* problem) {
  const bool has_kernel = !options->machine.boot.kernel_path.empty();
  FirmwareRequest& firmware = options->machine.firmware;
  if (!has_kernel && firmware.bios_path.empty()) {
    if (!options->media.any()) {
      *problem = "nothing to boot: --kernel, --hda, --cdrom or --bios is required";
      return false;
    }
    firmware.bios_path = kDefaultBios;
  } else if (has_kernel && !firmware.bios_path.empty()) {
    *problem = "--kernel and --bios exclude each other";
    return false;
  }
  if (!parse_keys(options->keys, &options->machine.keys, problem)) {
    *problem = "--type: " + *problem;
    return false;
  }
  return apply_firmware_files(options->firmware_files, &firmware, problem) &&
         apply_boot(options->boot, &firmware, problem);
}

bool apply_user(const std::string& text, MachineConfig* machine, std::string* problem) {
  const size_t comma = text.find(',');
  const std::string mode = text.substr(0, comma);
  if (mode == "auto") {
    machine->vcpu.user = UserEngine::Auto;
  } else if (mode == "direct") {
    machine->vcpu.user = UserEngine::Direct;
  } else if (mode == "translate") {
    machine->vcpu.user = UserEngine::Translate;
  } else {
    *problem = "--user: '" + mode + "' is none of auto, direct, translate";
    return false;
  }
  if (comma == std::string::npos) return true;
  const std::string item = text.substr(comma + 1);
  const auto [key, value] = split_item(item);
  const std::string guard = key == "cpuid" ? value : "";
  if (guard == "auto") {
    machine->cpuid_guard = CpuidGuard::Auto;
  } else if (guard == "fault") {
    machine->cpuid_guard = CpuidGuard::Fault;
  } else if (guard == "sweep") {
    machine->cpuid_guard = CpuidGuard::Sweep;
  } else {
    *problem = "--user: '" + item + "' is none of cpuid=auto, cpuid=fault, cpuid=sweep";
    return false;
  }
  return true;
}

bool apply_shadow(const std::string& text, MachineConfig* machine, std::string* problem) {
  if (text == "tlb") {
    machine->shadow = ShadowPolicy::Tlb;
  } else if (text == "trace") {
    machine->shadow = ShadowPolicy::Trace;
  } else if (text == "auto") {
    machine->shadow = ShadowPolicy::Auto;
  } else {
    *problem = "--shadow: '" + text + "' is none of auto, tlb, trace";
    return false;
  }
  return true;
}

bool apply_sandbox(RunOptions* options, std::string* problem) {
  if (options->sandbox_text == "on") {
    options->sandbox = Sandbox::On;
  } else if (options->sandbox_text == "off") {
    options->sandbox = Sandbox::Off;
  } else if (options->sandbox_text == "require") {
    options->sandbox = Sandbox::Require;
  } else {
    *problem = "--sandbox: '" + options->sandbox_text + "' is none of on, off, require";
    return false;
  }
  return true;
}

bool apply_debug(RunOptions* options, std::string* problem) {
  debug::DebugRequest& request = options->debug;
  constexpr std::string_view kWait = ",wait";
  std::string where = options->gdb;
  if (where.empty() && options->default_gdb) where = "tcp=:1234";
  if (where.ends_with(kWait)) {
    where.resize(where.size() - kWait.size());
    request.starts_paused = true;
  }
  if (!where.empty() && !parse_socket_address(where, &request.gdb)) {
    *problem = "--gdb: cannot use '" + options->gdb + "' (tcp=[HOST]:PORT, unix=PATH; ,wait)";
    return false;
  }
  request.has_controller = !options->control.requests.empty();
  request.name = options->control.name;
  request.control_folder = options->control.folder;
  request.screendump = options->screendump;
  if (request.starts_paused && where.empty() && !request.has_controller &&
      options->machine.ports.serial.kind != PortTarget::Kind::Console) {
    *problem = "--paused: nobody could let the guest go on (--gdb, --qmp, or --serial console)";
    return false;
  }
  return true;
}

bool finish_guest_options(RunOptions* options, std::string* problem) {
  if (options->engine == "translate") {
    options->machine.vcpu.engine = Engine::Translate;
  } else if (options->engine == "interpret") {
    options->machine.vcpu.engine = Engine::Interpret;
  } else if (options->engine == "trap") {
    options->machine.vcpu.engine = Engine::Trap;
  } else {
    *problem = "--engine: '" + options->engine + "' is none of translate, interpret, trap";
    return false;
  }
  return apply_user(options->user, &options->machine, problem) &&
         apply_shadow(options->shadow, &options->machine, problem) &&
         apply_memory(options->memory, &options->machine, problem) &&
         apply_ports(options, problem) && has_one_terminal(*options, problem) &&
         apply_display(options, problem) && apply_daemonize(options, problem) &&
         apply_parts(options->parts, &options->machine, problem) &&
         apply_cpu(options->cpu, &options->machine.cpu, problem) &&
         apply_paravirt(options->paravirt, &options->machine.cpu, problem) &&
         apply_limit(options->limit, &options->machine.vcpu, &options->limits, problem) &&
         apply_translator(options->translator, &options->machine, problem) &&
         apply_stats(options->stats_text, options, problem) && apply_debug(options, problem) &&
         apply_sandbox(options, problem) &&
         apply_modules(options->modules, &options->machine.boot) && apply_tape(options, problem) &&
         apply_replica(options, problem) && apply_clock(options, problem);
}

}  // namespace

bool finish_run_options(RunOptions* options, std::string* problem) {
  if (!apply_firmware(options, problem) || !finish_control_options(&options->control, problem)) {
    return false;
  }
  for (const std::string& device : options->devices) {
    if (!parse_device(device, &options->machine.devices, problem)) return false;
  }
  if (!parse_network(options->network, &options->machine.network, problem) ||
      !parse_shares(options->share, &options->share_request, problem) ||
      !parse_actions(options->actions, &options->machine.actions, problem)) {
    return false;
  }
  if (!options->save.empty() && !parse_save(options->save, &options->machine.save, problem)) {
    return false;
  }
  if (!apply_verify_ram(options->verify_ram, &options->machine, problem) ||
      !apply_share_pages(options->share_pages, &options->machine, problem) ||
      !finish_migration_options(options->migration, &options->machine, problem)) {
    return false;
  }
  options->media.is_awaited = !options->migration.incoming.empty();
  if (!finish_guest_options(options, problem)) return false;
  if (options->machine.share_pages_rate == 0 || options->machine.vcpu.engine != Engine::Trap) {
    return true;
  }
  *problem = "--share-pages cannot be used with --engine trap: its processes write to RAM unseen";
  return false;
}

bool finish_translate_options(TranslateOptions* options, std::string* problem) {
  if (options->blocks == 0) {
    *problem = "--blocks: 0 is too few";
    return false;
  }
  options->guest.serial = "none";
  options->guest.machine.raw_console = false;
  return finish_guest_options(&options->guest, problem) && apply_source(options, problem) &&
         apply_at(options, problem) && apply_style(options, problem);
}

}  // namespace ringshift
