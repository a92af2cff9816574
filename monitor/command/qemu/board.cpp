// The machine itself in QEMU's spelling: -machine, -cpu, -smp, -display and their relatives.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

bool starts_with(const std::string& text, const char* beginning) {
  return text.rfind(beginning, 0) == 0;
}

// QEMU takes the first that works; translated code needs none of them.
constexpr const char* kAccelerators[] = {"tcg", "kvm", "hvf", "whpx", "nvmm", "hax"};

// "kvm:tcg".
bool take_accelerators(QemuLine* line, const std::string& option, const std::string& names) {
  size_t begin = 0;
  while (begin <= names.size()) {
    const size_t end = std::min(names.find(':', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    if (!among(kAccelerators, name)) {
      return line->refuse(fmt::format("{}: there is no accelerator '{}'", option, name));
    }
    begin = end + 1;
  }
  return line->ignore(option + " " + names, "guests run by binary translation");
}

struct MachineRow {
  const char* name;     // a prefix
  const char* why_not;  // null: it is ours
};
constexpr MachineRow kMachines[] = {
    {"pc-q35", "the board is an i440FX's; use -machine pc"},
    {"pc", nullptr},
    {"q35", "the board is an i440FX's; use -machine pc"},
    {"isapc", "the board has a PCI bus; use -machine pc"},
    {"microvm", "the board is a PC's; use -machine pc"},
    {"none", "a machine needs a board; use -machine pc"},
};

bool take_machine(QemuLine* line, const std::string& name) {
  for (const MachineRow& row : kMachines) {
    const bool is_version = starts_with(row.name, "pc") && starts_with(name, row.name) &&
                            name[std::string(row.name).size()] == '-';
    if (name != row.name && !is_version) continue;
    return row.why_not == nullptr ||
           line->refuse("-machine " + name + " is not supported: " + row.why_not);
  }
  return line->refuse("-machine: there is no machine '" + name + "'; use -machine pc");
}

// Items of -machine that our --machine has under the same name.
constexpr const char* kOurParts[] = {"acpi", "hpet"};
constexpr const char* kIdleParts[] = {"vmport",          "usb",
                                      "kernel_irqchip",  "kernel-irqchip",
                                      "mem-merge",       "dump-guest-core",
                                      "graphics",        "smm",
                                      "suppress-vmdesc", "pit",
                                      "firmware",        "sata",
                                      "i8042",           "default_bus_bypass_iommu",
                                      "kvm_shadow_mem",  "igd-passthru"};

struct CpuRow {
  const char* name;
  const char* model;  // of --cpu
};
// The nearest of two: by SSE and NX, for which guests ask.
constexpr CpuRow kCpus[] = {
    {"486", "pentium3"},        {"pentium", "pentium3"},    {"pentium2", "pentium3"},
    {"pentium3", "pentium3"},   {"athlon", "pentium3"},     {"qemu32", "core"},
    {"kvm32", "core"},          {"coreduo", "core"},        {"n270", "core"},
    {"core2duo", "core"},       {"qemu64", "core"},         {"kvm64", "core"},
    {"phenom", "core"},         {"host", "core"},           {"max", "core"},
    {"base", "core"},           {"Conroe", "core"},         {"Penryn", "core"},
    {"Nehalem", "core"},        {"Westmere", "core"},       {"SandyBridge", "core"},
    {"IvyBridge", "core"},      {"Haswell", "core"},        {"Broadwell", "core"},
    {"Skylake-Client", "core"}, {"Skylake-Server", "core"}, {"Cascadelake-Server", "core"},
    {"Icelake-Server", "core"}, {"Opteron_G1", "core"},     {"Opteron_G2", "core"},
    {"Opteron_G3", "core"},     {"Opteron_G4", "core"},     {"Opteron_G5", "core"},
    {"EPYC", "core"},           {"Denverton", "core"},      {"Snowridge", "core"},
};

// Our name of a CPU flag; "": every model has the flag; null: none has.
const char* our_flag(const std::string& flag) {
  constexpr struct {
    const char* theirs;
    const char* ours;
  } kFlags[] = {{"pae", "pae"}, {"nx", "nx"}, {"sep", "sysenter"}, {"bmi1", "bmi1"}, {"fpu", ""},
                {"tsc", ""},    {"msr", ""},  {"cx8", ""},         {"apic", ""},     {"pge", ""},
                {"cmov", ""},   {"mmx", ""},  {"fxsr", ""},        {"sse", ""},      {"sse2", ""},
                {"pse", ""},    {"mtrr", ""}, {"pat", ""}};
  for (const auto& row : kFlags) {
    if (flag == row.theirs) return row.ours;
  }
  return nullptr;
}

// "+flag", "-flag", "flag=on|off"; flags that none of our models has may be switched off.
bool take_cpu_flag(QemuLine* line, const Item& item, std::string* items) {
  std::string name = item.key;
  bool on = item.value == "on" || item.value == "true" || item.value == "yes";
  if (name[0] == '+' || name[0] == '-') {
    on = name[0] == '+';
    name.erase(0, 1);
  }
  if (name == "check" || name == "enforce" || name == "migratable" || name == "hv-passthrough") {
    return true;
  }
  const char* ours = our_flag(name);
  if (ours != nullptr && *ours != '\0') {
    *items += std::string(",") + ours + (on ? "=on" : "=off");
    return true;
  }
  if (on == (ours != nullptr)) return true;
  return line->refuse("-cpu: " + name + " cannot be switched " + (on ? "on" : "off") +
                      " (pae, nx, sep and bmi1 can)");
}

}  // namespace

bool read_machine(QemuLine* line, const std::string& value) {
  std::string parts;
  for (const Item& item : items_of(value, "type")) {
    const auto& [key, what] = item;
    if (key == "type") {
      if (!take_machine(line, what)) return false;
    } else if (key == "accel") {
      if (!take_accelerators(line, "-machine accel", what)) return false;
    } else if (among(kOurParts, key)) {
      parts += fmt::format("{}{}={}", parts.empty() ? "" : ",", key, what);
    } else if (among(kIdleParts, key)) {
      if (what != "off") (void)line->ignore("-machine " + key, "the board has no such part");
    } else {
      return line->refuse("-machine: cannot use '" + key + "' (accel, acpi, hpet)");
    }
  }
  if (!parts.empty()) line->add("--machine", parts);
  return true;
}

bool read_accelerator(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "accel");
  return take_accelerators(line, "-accel", items.empty() ? "" : items[0].value);
}

bool read_cpu(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "model");
  const std::string name = items.empty() ? "" : items[0].value;
  // "Haswell-noTSX", "qemu64-v1", "pentium3-v1".
  const auto* row = std::find_if(std::begin(kCpus), std::end(kCpus), [&](const CpuRow& one) {
    return name == one.name || starts_with(name, (std::string(one.name) + "-").c_str());
  });
  if (items.empty() || items[0].key != "model" || row == std::end(kCpus)) {
    return line->refuse("-cpu: there is no processor '" + name +
                        "'; pentium3 and qemu32 are the nearest to what there is");
  }
  std::string ours = std::string("model=") + row->model;
  for (size_t i = 1; i < items.size(); ++i) {
    if (!take_cpu_flag(line, items[i], &ours)) return false;
  }
  if (name != "pentium3") {
    (void)line->ignore("-cpu " + name,
                       std::string("the nearest is shown: ") +
                           (row->model[0] == 'p' ? "a Pentium III" : "a Core with SSE4.2"));
  }
  line->add("--cpu", ours);
  return true;
}

bool read_memory(QemuLine* line, const std::string& value) {
  std::string size;
  for (const Item& item : items_of(value, "size")) {
    if (item.key == "size") {
      size = item.value;
    } else if (item.key == "slots" || item.key == "maxmem") {
      (void)line->ignore("-m " + item.key, "no memory is added to a machine that runs");
    } else {
      return line->refuse("-m: there is no '" + item.key + "' (size, slots, maxmem)");
    }
  }
  line->add("--memory", size);
  return true;
}

// Counted are branches, not instructions; both make runs that are alike.
bool read_icount(QemuLine* line, const std::string& value) {
  std::string clock = "events";
  for (const Item& item : items_of(value, "shift")) {
    if (item.key == "rr" || item.key == "rrfile" || item.key == "rrsnapshot") {
      return line->refuse(
          "-icount " + item.key +
          ": runs are recorded by --record FOLDER and replayed by ringshift replay");
    }
    if (item.key == "sleep") clock += item.value == "off" ? ",idle=skip" : ",idle=wait";
    if (item.key == "shift" || item.key == "sleep" || item.key == "align") continue;
    return line->refuse("-icount: there is no '" + item.key + "' (shift, align, sleep)");
  }
  line->add("--clock", clock);
  return line->ignore("-icount shift", "time is told by events of the guest's: --clock events");
}

bool read_processors(QemuLine* line, const std::string& value) {
  for (const Item& item : items_of(value, "cpus")) {
    if (item.value != "1") {
      return line->refuse("-smp " + value +
                          ": there is one processor (docs/limitations.md, L7); use -smp 1");
    }
  }
  return true;
}

bool read_display(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "type");
  const std::string name = items.empty() ? "" : items[0].value;
  if (!items.empty() && items[0].key == "vnc") {
    line->add("--display", value);
  } else if (name == "none") {
    line->add("--display", "none");
  } else if (name == "curses" || name == "text") {
    line->add("--display", "text");
  } else {
    return line->refuse("-display " + name +
                        ": there is no window; -vnc :0 shows the screen in a VNC viewer, "
                        "-display curses its text");
  }
  return true;
}

bool read_vnc(QemuLine* line, const std::string& value) {
  if (value != "none") line->add("--display", "vnc=" + value);
  return true;
}

bool read_vga(QemuLine* line, const std::string& value) {
  if (value == "std") return true;
  if (value == "none") {
    return line->ignore("-vga none", "the board keeps its VGA, and nobody looks at it");
  }
  return line->refuse("-vga " + value +
                      " is not supported: the screen is a standard VGA (-vga std)");
}

bool read_rtc(QemuLine* line, const std::string& value) {
  for (const Item& item : items_of(value, "base")) {
    const auto& [key, what] = item;
    if (key == "base") {
      line->add("--rtc", what);
    } else if (key == "clock" && (what == "host" || what == "rt" || what == "vm")) {
      if (what != "host") {
        (void)line->ignore("-rtc clock=" + what, "the clock is the host's");
      }
    } else if (key == "driftfix") {
      (void)line->ignore("-rtc driftfix", "no tick is lost");
    } else {
      return line->refuse(
          fmt::format("-rtc: cannot use '{}={}' (base=utc|localtime|DATE, clock=host)", key, what));
    }
  }
  return true;
}

bool read_action(QemuLine* line, const std::string& value) {
  for (const Item& item : items_of(value)) {
    const auto& [key, what] = item;
    if (key == "reboot" && what == "shutdown") {
      line->add("--no-reboot");
    } else if (key == "shutdown" && what == "pause") {
      (void)line->ignore("-action shutdown=pause", "the run ends");
    } else if (key == "watchdog" || key == "panic") {
      line->add("--action", fmt::format("{}={}", key, what));
    } else if ((key == "reboot" && what == "reset") || (key == "shutdown" && what == "poweroff")) {
      continue;  // as it is
    } else {
      return line->refuse(fmt::format(
          "-action: cannot use '{}={}' (reboot=reset|shutdown, shutdown=poweroff|pause)", key,
          what));
    }
  }
  return true;
}

bool read_log_items(QemuLine* line, const std::string& value) {
  constexpr const char* kNeverSaid[] = {"guest_errors", "unimp",  "cpu_reset", "nochain",
                                        "page",         "strace", "pcall"};
  for (const Item& item : items_of(value)) {
    const std::string& name = item.key;
    if (among(kNeverSaid, name)) {
      (void)line->ignore("-d " + name, "nothing of the kind is logged");
    } else if (name == "in_asm" || name == "out_asm" || starts_with(name, "op")) {
      return line->refuse("-d " + name +
                          " is not supported: ringshift translate shows what code becomes");
    } else {
      return line->refuse("-d " + name +
                          " is not supported: --trace prints the ends of translated code, Ctrl-A c "
                          "stops the guest and asks");
    }
  }
  return true;
}

bool read_log_file(QemuLine* line, const std::string& value) {
  return line->ignore("-D " + value, "nothing is logged");
}

bool read_audio(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "driver");
  return (!items.empty() && items[0].value == "none") ||
         line->refuse("-audio and -audiodev are not supported: there is no sound card");
}

bool read_usb_device(QemuLine* line, const std::string& value) {
  if (value == "tablet" || value == "mouse" || value == "keyboard") {
    return line->ignore("-usbdevice " + value, "there is no USB; keyboard and mouse are PS/2");
  }
  return line->refuse("-usbdevice " + value + " is not supported: there is no USB");
}

bool read_sandbox(QemuLine* line, const std::string& value) {
  const bool is_on = value.rfind("on", 0) == 0;
  if (!is_on && value != "off") return line->refuse("-sandbox " + value + ": on or off");
  line->add("--sandbox", is_on ? "on" : "off");
  return true;
}

}  // namespace ringshift::qemu
