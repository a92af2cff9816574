#include "monitor/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <map>

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

bool parse_number(const std::string& text, uint32_t* value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stopped == end && !text.empty();
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

bool apply_cpu(const std::vector<std::string>& items, CpuModel* cpu, std::string* problem) {
  for (const std::string& item : items) {
    const auto [key, value] = split(item);
    bool good = false;
    if (key == "model") {
      good = value == "core" || value == "pentium3";
      cpu->sse42 = value == "core";
      if (value == "pentium3") cpu->nx = false;
    } else if (key == "pae") {
      good = parse_on_off(value, &cpu->pae);
    } else if (key == "nx") {
      good = parse_on_off(value, &cpu->nx);
    } else if (key == "meltdown") {
      good = parse_on_off(value, &cpu->meltdown);
    } else if (key == "sysenter") {
      good = parse_on_off(value, &cpu->sysenter);
    }
    if (!good) {
      *problem = "--cpu: cannot use '" + item +
                 "' (model=core|pentium3, pae=, nx=, meltdown=, sysenter=on|off)";
      return false;
    }
  }
  return true;
}

bool apply_translator(const std::vector<std::string>& items, MachineConfig* machine,
                      std::string* problem) {
  for (const std::string& item : items) {
    const auto [key, value] = split(item);
    bool good = false;
    if (key == "arena") {
      good = parse_size(value, 1, &machine->translator.arena_bytes) &&
             machine->translator.arena_bytes >= 64 * 1024 &&
             machine->translator.arena_bytes <= 1024 * kMiB;
    } else if (key == "unit-max") {
      good = parse_number(value, &machine->translator.limits.max_instructions) &&
             machine->translator.limits.max_instructions >= 1 &&
             machine->translator.limits.max_instructions <= 256;
    } else if (key == "links") {
      good = parse_on_off(value, &machine->vcpu.make_links);
    } else if (key == "drop-every") {
      good = parse_number(value, &machine->vcpu.drop_randomly);
    } else if (key == "verify-every") {
      good = parse_number(value, &machine->vcpu.verify_every);
    }
    if (!good) {
      *problem = "--translator: cannot use '" + item +
                 "' (arena=64K..1G, unit-max=1..256, links=on|off, drop-every=N, verify-every=N)";
      return false;
    }
  }
  return true;
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
  if (text.empty()) return true;
  if (text == "text") {
    options->stats = StatsFormat::Text;
  } else if (text == "json") {
    options->stats = StatsFormat::Json;
  } else {
    *problem = "--stats: '" + text + "' is none of text, json";
    return false;
  }
  return true;
}

}  // namespace

bool parse_size(const std::string& text, uint64_t unit_without_suffix, uint64_t* bytes) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stopped == text.data()) return false;
  uint64_t unit = unit_without_suffix;
  if (stopped != end) {
    if (stopped + 1 != end) return false;
    switch (*stopped) {
      case 'k': case 'K': unit = 1U << 10; break;
      case 'm': case 'M': unit = kMiB; break;
      case 'g': case 'G': unit = 1U << 30; break;
      default: return false;
    }
  }
  return !__builtin_mul_overflow(number, unit, bytes);
}

void add_run_options(CLI::App& command, RunOptions* options) {
  BootRequest& boot = options->machine.boot;
  command.add_option("--kernel", boot.kernel_path, "Linux bzImage or Multiboot image")->required();
  command.add_option("--initrd", boot.initrd_path, "initial RAM disk (Linux)");
  command.add_option("--append", boot.command_line, "kernel command line");
  command.add_option("--module", options->modules,
                     "Multiboot module: 'PATH' or 'PATH arguments'; may be repeated");
  command.add_option("--memory,-m", options->memory, "guest RAM: 64M, 1G; or size=64M");
  command.add_option("--engine", options->engine, "translate or interpret");
  command.add_option("--serial", options->serial, "console, none or file=PATH");
  command.add_flag("--nographic", options->nographic, "accepted: there is no other way");
  command.add_flag("--no-reboot", options->no_reboot, "end when the guest resets");
  command.add_option("--stats", options->stats_text, "print every counter at the end: text or json")
      ->expected(0, 1)
      ->default_str("text");
  command.add_flag("--trace", options->machine.vcpu.trace_exits, "print every exit on stderr");
  command.add_flag("--dump-screen", options->dump_screen, "print the text screen at the end");
  command.add_option("--cpu", options->cpu, "processor shown to the guest: key=value,...")
      ->delimiter(',');
  command.add_option("--translator", options->translator, "translator settings: key=value,...")
      ->delimiter(',');
}

bool finish_run_options(RunOptions* options, std::string* problem) {
  if (options->engine == "translate") {
    options->machine.vcpu.engine = Engine::Translate;
  } else if (options->engine == "interpret") {
    options->machine.vcpu.engine = Engine::Interpret;
  } else {
    *problem = "--engine: '" + options->engine + "' is none of translate, interpret";
    return false;
  }
  return apply_memory(options->memory, &options->machine, problem) &&
         apply_serial(options->serial, &options->machine, problem) &&
         apply_cpu(options->cpu, &options->machine.cpu, problem) &&
         apply_translator(options->translator, &options->machine, problem) &&
         apply_stats(options->stats_text, options, problem) &&
         apply_modules(options->modules, &options->machine.boot);
}

std::vector<std::string> modern_spelling(std::vector<std::string> arguments) {
  static const std::map<std::string, std::string> kSpellings = {
      {"-kernel", "--kernel"},       {"-initrd", "--initrd"},       {"-append", "--append"},
      {"-nographic", "--nographic"}, {"-serial", "--serial"},       {"-no-reboot", "--no-reboot"},
      {"-m", "--memory"},
  };
  for (std::string& argument : arguments) {
    auto it = kSpellings.find(argument);
    if (it != kSpellings.end()) argument = it->second;
  }
  const bool is_help = !arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h");
  if (!arguments.empty() && arguments[0][0] == '-' && !is_help) {
    arguments.insert(arguments.begin(), "run");
  }
  return arguments;
}

}  // namespace ringshift
