#include "monitor/command/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr uint64_t kMiB = 1U << 20;
constexpr uint64_t kSmallestMemory = 4 * kMiB;
// Guest-physical space below the ROM and device area of a 32-bit PC.
constexpr uint64_t kLargestMemory = 3584 * kMiB;

bool parse_on_off(const std::string& text, bool* value) {
  if (text == "on" || text == "yes" || text == "true") {
    *value = true;
  } else if (text == "off" || text == "no" || text == "false") {
    *value = false;
  } else {
    return false;
  }
  return true;
}

struct KeyValue {
  std::string key;
  std::string value;
};

KeyValue split(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, ""};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

// Gives each key=value item to take; the first that it refuses ends it, with what would be known.
bool apply_items(const char* option, const std::vector<std::string>& items, const char* known,
                 const std::function<bool(const KeyValue&)>& take, std::string* problem) {
  for (const std::string& item : items) {
    if (take(split(item))) continue;
    *problem = std::string(option) + ": cannot use '" + item + "' (" + known + ")";
    return false;
  }
  return true;
}

bool take_cpu(const KeyValue& item, CpuModel* cpu) {
  const auto& [key, value] = item;
  if (key == "model") {
    cpu->sse42 = value == "core";
    if (value == "pentium3") cpu->nx = cpu->bmi1 = false;
    return value == "core" || value == "pentium3";
  }
  if (key == "pae") return parse_on_off(value, &cpu->pae);
  if (key == "nx") return parse_on_off(value, &cpu->nx);
  if (key == "meltdown") return parse_on_off(value, &cpu->meltdown);
  if (key == "sysenter") return parse_on_off(value, &cpu->sysenter);
  return key == "bmi1" && parse_on_off(value, &cpu->bmi1);
}

bool apply_cpu(const std::vector<std::string>& items, CpuModel* cpu, std::string* problem) {
  constexpr const char* kKnown =
      "model=core|pentium3, pae=, nx=, meltdown=, sysenter=, bmi1=on|off";
  const auto take = [&](const KeyValue& item) { return take_cpu(item, cpu); };
  if (!apply_items("--cpu", items, kKnown, take, problem)) return false;
  if (cpu->bmi1 && !host_has_bmi1()) {
    *problem = "--cpu: bmi1=on needs a host with BMI1";
    return false;
  }
  return true;
}

bool apply_parts(const std::vector<std::string>& items, MachineConfig* machine,
                 std::string* problem) {
  machine->apic = machine->hpet = machine->acpi = machine->tells_clock = true;
  const auto take = [&](const KeyValue& item) {
    const auto& [key, value] = item;
    if (key == "apic") return parse_on_off(value, &machine->apic);
    if (key == "hpet") return parse_on_off(value, &machine->hpet);
    return key == "acpi" && parse_on_off(value, &machine->acpi);
  };
  return apply_items("--machine", items, "apic=, hpet=, acpi=on|off", take, problem);
}

bool take_arena(const std::string& size, TranslatorConfig* translator) {
  return parse_size(size, 1, &translator->arena_bytes) && translator->arena_bytes >= 64 * 1024 &&
         translator->arena_bytes <= 1024 * kMiB;
}

bool take_unit_max(const std::string& number, PlanLimits* limits) {
  return parse_number(number, &limits->max_instructions) && limits->max_instructions >= 1 &&
         limits->max_instructions <= 256;
}

bool apply_translator(const std::vector<std::string>& items, MachineConfig* machine,
                      std::string* problem) {
  constexpr const char* kKnown =
      "arena=64K..1G, unit-max=1..256, links=on|off, callouts=on|off, relocate=on|off, "
      "drop-every=N, verify-every=N, refuse-every=N";
  TranslatorConfig& translator = machine->translator;
  VcpuConfig& vcpu = machine->vcpu;
  const auto take = [&](const KeyValue& item) {
    const auto& [key, value] = item;
    if (key == "arena") return take_arena(value, &translator);
    if (key == "unit-max") return take_unit_max(value, &translator.limits);
    if (key == "links") {
      return parse_on_off(value, &vcpu.make_links) && parse_on_off(value, &translator.join_copies);
    }
    if (key == "callouts") return parse_on_off(value, &vcpu.make_callouts);
    if (key == "relocate") return parse_on_off(value, &translator.relocate);
    if (key == "drop-every") return parse_number(value, &vcpu.drop_randomly);
    if (key == "refuse-every") return parse_number(value, &machine->refuse_every);
    return key == "verify-every" && parse_number(value, &vcpu.verify_every);
  };
  return apply_items("--translator", items, kKnown, take, problem);
}

bool apply_serial(const std::string& text, MachineConfig* machine, std::string* problem) {
  if (text == "console" || text == "stdio" || text == "mon:stdio") {
    machine->serial = SerialTarget::Console;
  } else if (text == "none" || text == "null") {
    machine->serial = SerialTarget::None;
  } else if (text.rfind("file=", 0) == 0 || text.rfind("file:", 0) == 0) {
    machine->serial = SerialTarget::File;
    machine->serial_path = text.substr(5);
  } else {
    *problem = "--serial: '" + text + "' is none of console, none, file=PATH";
    return false;
  }
  return true;
}

// The terminal is the display's or the serial port's.
bool apply_display(RunOptions* options, std::string* problem) {
  if (options->display == "text") {
    options->machine.text_display = true;
    if (options->machine.serial == SerialTarget::Console) {
      options->machine.serial = SerialTarget::None;
    }
  } else if (options->display != "none") {
    *problem = "--display: '" + options->display + "' is none of none, text";
    return false;
  }
  return true;
}

bool apply_memory(const std::string& text, MachineConfig* machine, std::string* problem) {
  const auto [key, value] = split(text);
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

// "dc", "order=dc,menu=on".
bool apply_boot(const std::string& text, FirmwareRequest* firmware, std::string* problem) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const auto [key, value] = split(text.substr(begin, end - begin));
    const std::string& order = key == "order" || key == "once" ? value : key;
    bool good = false;
    if (key == "menu") {
      good = parse_on_off(value, &firmware->boot_menu);
    } else {
      good = !order.empty() && order.size() <= 3 &&
             order.find_first_not_of("acdn") == std::string::npos;
      firmware->boot_order = order;
    }
    if (!good) {
      *problem = "--boot: cannot use '" + text + "' (up to three of a, c, d, n; menu=on|off)";
      return false;
    }
    begin = end + 1;
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
  return apply_boot(options->boot, &firmware, problem);
}

// What a command needs to put a guest into memory.
void add_guest_options(CLI::App& command, RunOptions* options) {
  BootRequest& boot = options->machine.boot;
  command.add_option("--kernel", boot.kernel_path, "Linux bzImage or Multiboot image")
      ->type_name("IMAGE")
      ->group("Guest");
  command.add_option("--initrd", boot.initrd_path, "initial RAM disk (Linux)")
      ->type_name("FILE")
      ->group("Guest");
  command.add_option("--append", boot.command_line, "kernel command line")
      ->type_name("TEXT")
      ->group("Guest");
  command
      .add_option("--module", options->modules,
                  "Multiboot module: 'FILE' or 'FILE arguments'; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->group("Guest");
  command.add_option("--memory,-m", options->memory, "guest RAM, 4M to 3584M (default 128M)")
      ->type_name("SIZE")
      ->group("Guest");
  command
      .add_option("--cpu", options->cpu,
                  "processor shown to the guest: model=core|pentium3;\n"
                  "pae, nx, meltdown, sysenter, bmi1 = on|off")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Processor");
  command
      .add_option("--machine", options->parts, "what is on the board: apic, hpet, acpi = on|off")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--translator", options->translator,
                  "for measurements and tests: arena=SIZE, unit-max=N, links=on|off,\n"
                  "callouts=on|off, relocate=on|off, drop-every=N, verify-every=N,\n"
                  "refuse-every=N")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Processor");
}

void add_firmware_options(CLI::App& command, RunOptions* options) {
  FirmwareRequest& firmware = options->machine.firmware;
  const auto medium = [&](const char* name, MediaSlot slot, const char* what) {
    command.add_option(name, options->media.text[static_cast<size_t>(slot)], what)
        ->type_name("FILE[,KEY=on]")
        ->group("Disks");
  };
  medium("--hda", MediaSlot::FirstDisk,
         "raw image of the first hard disk; snapshot=on, readonly=on");
  medium("--hdb", MediaSlot::SecondDisk, "of the second");
  medium("--fda", MediaSlot::Floppy, "image of a floppy disk");
  medium("--cdrom", MediaSlot::Cdrom, "image of a CD-ROM");
  command.add_flag("--snapshot", options->media.snapshot, "write to no image: changes are lost")
      ->group("Disks");
  command
      .add_option("--boot", options->boot,
                  "what to boot from: a floppy, c disk, d CD-ROM, n network\n"
                  "(default cad); menu=on")
      ->type_name("ORDER")
      ->group("Disks");
  command
      .add_option("--bios", firmware.bios_path,
                  "BIOS image to begin with, in place of a kernel (default with a disk:\n"
                  "Debian's /usr/share/seabios/bios-256k.bin)")
      ->type_name("FILE")
      ->group("Guest");
  command
      .add_option("--screendump", options->screendump,
                  "write the screen there when the run ends, as a PNG picture")
      ->type_name("FILE")
      ->group("Reports");
  command
      .add_option("--display", options->display,
                  "none (default), or text: the text screen and the keyboard on this\n"
                  "terminal, in place of the serial port")
      ->type_name("NAME")
      ->group("Devices");
  command
      .add_option("--type", options->keys,
                  "press these keys: text, <enter>, <esc>, <up>, <f12>, <ctrl-x>...,\n"
                  "<wait:SECONDS>, <until:TEXT ON THE SCREEN>")
      ->type_name("KEYS")
      ->group("Devices");
  command
      .add_option("--firmware-log", options->machine.firmware_log,
                  "write there what the BIOS prints at port 0x402")
      ->type_name("FILE")
      ->group("Reports");
}

void add_debug_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--gdb", options->gdb,
                  "let gdb connect: tcp=[HOST]:PORT (HOST 127.0.0.1 if left out),\n"
                  "unix=PATH; ,wait begins paused")
      ->type_name("WHERE[,wait]")
      ->group("Debugging");
  command.add_flag("-s", options->default_gdb, "the same as --gdb tcp=:1234")->group("Debugging");
  command
      .add_flag("--paused,-S", options->debug.starts_paused,
                "begin paused: gdb, or the prompt of Ctrl-A c, lets the guest go")
      ->group("Debugging");
}

void add_report_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--stats", options->stats_text,
                  "print counters and costs when the run ends: text (what is not zero),\n"
                  "all or json")
      ->type_name("[FORMAT]")
      ->expected(0, 1)
      ->default_str("text")
      ->group("Reports");
  command
      .add_option("--stats-file", options->stats_path,
                  "write them there, not to standard error; json unless --stats says\n"
                  "otherwise")
      ->type_name("FILE")
      ->group("Reports");
  command
      .add_flag("--trace", options->machine.vcpu.trace_exits,
                "print each return from translated code on standard error")
      ->group("Reports");
  command
      .add_flag("--perf-map", options->machine.translator.perf_map,
                "name translated code for perf, in /tmp/perf-PID.map")
      ->group("Reports");
  command
      .add_flag("--dump-screen", options->dump_screen,
                "print the text screen on standard error when the run ends")
      ->group("Reports");
}

// MODE, or MODE,cpuid=GUARD.
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
  const auto [key, value] = split(item);
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
  if (!where.empty() && !debug::parse_debug_address(where, &request.gdb)) {
    *problem = "--gdb: cannot use '" + options->gdb + "' (tcp=[HOST]:PORT, unix=PATH; ,wait)";
    return false;
  }
  if (request.starts_paused && where.empty() && options->machine.serial != SerialTarget::Console) {
    *problem = "--paused: nobody could let the guest go on (--gdb, or --serial console)";
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
         apply_memory(options->memory, &options->machine, problem) &&
         apply_serial(options->serial, &options->machine, problem) &&
         apply_display(options, problem) &&
         apply_parts(options->parts, &options->machine, problem) &&
         apply_cpu(options->cpu, &options->machine.cpu, problem) &&
         apply_translator(options->translator, &options->machine, problem) &&
         apply_stats(options->stats_text, options, problem) && apply_debug(options, problem) &&
         apply_sandbox(options, problem) && apply_modules(options->modules, &options->machine.boot);
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions* options) {
  add_guest_options(command, options);
  command
      .add_option("--engine", options->engine,
                  "translate (default), interpret, or trap: classical trap and\n"
                  "emulate, which is wrong on purpose (docs/lab.md)")
      ->type_name("NAME")
      ->group("Processor");
  command
      .add_option("--user", options->user,
                  "guest user code: auto (default), direct (on the processor) or\n"
                  "translate; ,cpuid=fault or ,cpuid=sweep after it: how CPUID is kept\n"
                  "from answering for the host")
      ->type_name("HOW")
      ->group("Processor");
  command
      .add_option("--device", options->devices,
                  "one more device: pc-testdev, or\n"
                  "isa-debug-exit,iobase=0x501,iosize=2; may be repeated")
      ->type_name("NAME[,KEY=VALUE,...]")
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--serial", options->serial,
                  "the guest's serial port: console (default), none, file=FILE")
      ->type_name("WHERE")
      ->group("Devices");
  command.add_flag("--nographic", options->nographic, "accepted: there is no other way")
      ->group("Devices");
  command
      .add_option("--sandbox", options->sandbox_text,
                  "give up what a running machine does not need: on (default), off (for\n"
                  "tools that trace from inside), require (all of it, or do not run)")
      ->type_name("HOW")
      ->group("Guest");
  command.add_flag("--no-reboot", options->no_reboot, "end when the guest resets (exit code 6)")
      ->group("Guest");
  add_firmware_options(command, options);
  add_debug_options(command, options);
  add_report_options(command, options);
}

void add_translate_options(CLI::App& command, TranslateOptions* options) {
  add_guest_options(command, &options->guest);
  command.add_option("--raw", options->raw_path, "a file of 32-bit code, instead of --kernel")
      ->type_name("FILE")
      ->group("Code");
  command.add_option("--base", options->base, "linear address of --raw (default 0x1000)")
      ->type_name("ADDRESS")
      ->group("Code");
  command.add_option("--at", options->at, "linear address to begin at")
      ->type_name("ADDRESS")
      ->group("Code");
  command.add_flag("--entry", options->entry, "begin at the entry point (the default)")
      ->group("Code");
  command.add_option("--blocks", options->blocks, "blocks at most (default 8)")
      ->type_name("N")
      ->group("Code");
  command.add_option("--count", options->count, "instructions at most (default: no limit)")
      ->type_name("N")
      ->group("Code");
  command
      .add_option("--style", options->style,
                  "memory accesses: window (default in ring 0) or soft (in ring 3)")
      ->type_name("NAME")
      ->group("Code");
  command.add_option("--ring", options->ring, "privilege level of the code: 0 (default) or 3")
      ->type_name("N")
      ->group("Code");
}

bool finish_run_options(RunOptions* options, std::string* problem) {
  if (!apply_firmware(options, problem)) return false;
  for (const std::string& device : options->devices) {
    if (!parse_device(device, &options->machine.devices, problem)) return false;
  }
  return finish_guest_options(options, problem);
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

std::vector<std::string> modern_spelling(std::vector<std::string> arguments) {
  static const std::map<std::string, std::string> kSpellings = {
      {"-kernel", "--kernel"},   {"-initrd", "--initrd"},
      {"-append", "--append"},   {"-nographic", "--nographic"},
      {"-serial", "--serial"},   {"-no-reboot", "--no-reboot"},
      {"-m", "--memory"},        {"-hda", "--hda"},
      {"-hdb", "--hdb"},         {"-cdrom", "--cdrom"},
      {"-fda", "--fda"},         {"-boot", "--boot"},
      {"-bios", "--bios"},       {"-snapshot", "--snapshot"},
      {"-gdb", "--gdb"},         {"-device", "--device"},
      {"-display", "--display"},
  };
  for (std::string& argument : arguments) {
    auto it = kSpellings.find(argument);
    if (it != kSpellings.end()) argument = it->second;
  }
  if (arguments.empty() || arguments[0].empty() || arguments[0][0] != '-') return arguments;
  static const std::set<std::string> kOfNoCommand = {"--help", "-h", "--version"};
  if (!kOfNoCommand.contains(arguments[0])) arguments.insert(arguments.begin(), "run");
  return arguments;
}

}  // namespace ringshift
