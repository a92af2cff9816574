#include "monitor/command/options/option_items.h"

#include <functional>

#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr uint64_t kMiB = 1U << 20;

// Gives each key=value item to take; the first that it refuses ends it, with the known ones named.
bool apply_items(const char* option, const std::vector<std::string>& items, const char* known,
                 const std::function<bool(const KeyValue&)>& take, std::string* problem) {
  for (const std::string& item : items) {
    if (take(split_item(item))) continue;
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

bool take_arena(const std::string& size, TranslatorConfig* translator) {
  return parse_size(size, 1, &translator->arena_bytes) && translator->arena_bytes >= 64 * 1024 &&
         translator->arena_bytes <= 1024 * kMiB;
}

bool take_unit_max(const std::string& number, PlanLimits* limits) {
  return parse_number(number, &limits->max_instructions) && limits->max_instructions >= 1 &&
         limits->max_instructions <= 256;
}

}  // namespace

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> pieces(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      pieces.back().push_back(text[i]);
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      pieces.back().push_back(text[i++]);
    } else {
      pieces.emplace_back();
    }
  }
  return pieces;
}

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

KeyValue split_item(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, ""};
  return {text.substr(0, equals), text.substr(equals + 1)};
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

bool apply_translator(const std::vector<std::string>& items, MachineConfig* machine,
                      std::string* problem) {
  constexpr const char* kKnown =
      "arena=64K..1G, unit-max=1..256, links=on|off, callouts=on|off, relocate=on|off, "
      "drop-every=N, verify-every=N, refuse-every=N, share-every=N";
  TranslatorConfig& translator = machine->translator;
  VcpuConfig& vcpu = machine->vcpu;
  const auto take = [&](const KeyValue& item) {
    const auto& [key, value] = item;
    if (key == "arena") return take_arena(value, &translator);
    if (key == "unit-max") return take_unit_max(value, &translator.limits);
    if (key == "links") {
      return parse_on_off(value, &translator.make_links) &&
             parse_on_off(value, &translator.join_copies);
    }
    if (key == "callouts") return parse_on_off(value, &vcpu.make_callouts);
    if (key == "relocate") return parse_on_off(value, &translator.relocate);
    if (key == "drop-every") return parse_number(value, &vcpu.torture.drop_every);
    if (key == "share-every") return parse_number(value, &vcpu.torture.share_every);
    if (key == "refuse-every") return parse_number(value, &machine->refuse_every);
    return key == "verify-every" && parse_number(value, &vcpu.torture.verify_every);
  };
  return apply_items("--translator", items, kKnown, take, problem);
}

}  // namespace ringshift
