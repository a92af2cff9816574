#include "monitor/lab/parts/effects.h"

#include <fmt/format.h>

#include <cstring>

namespace ringshift::lab {
namespace {

constexpr std::array<const char*, kGprCount> kRegisters = {"EAX", "ECX", "EDX", "EBX",
                                                           "ESP", "EBP", "ESI", "EDI"};
constexpr std::array<const char*, kSegmentCount> kSegments = {"ES", "CS", "SS", "DS", "FS", "GS"};
constexpr uint32_t kFlagsSeen = kFlagsArithmetic | kFlagDf;

struct NamedFlag {
  const char* name;
  uint32_t bit;
};
constexpr std::array<NamedFlag, 7> kVisibleFlags = {{{"CF", kFlagCf},
                                                     {"PF", kFlagPf},
                                                     {"AF", kFlagAf},
                                                     {"ZF", kFlagZf},
                                                     {"SF", kFlagSf},
                                                     {"DF", kFlagDf},
                                                     {"OF", kFlagOf}}};
constexpr std::array<NamedFlag, 6> kControlFlags = {{{"TF", kFlagTf},
                                                     {"IF", kFlagIf},
                                                     {"NT", kFlagNt},
                                                     {"VM", kFlagVm},
                                                     {"AC", kFlagAc},
                                                     {"ID", kFlagId}}};

bool same(const SegmentCache& left, const SegmentCache& right) {
  return left.base == right.base && left.limit == right.limit && left.selector == right.selector &&
         left.attributes == right.attributes;
}

void compare(const char* name, uint64_t before, uint64_t after, std::vector<std::string>* out) {
  if (before != after) out->push_back(fmt::format("{} {:x}->{:x}", name, before, after));
}

void compare_segment(const char* name, const SegmentCache& before, const SegmentCache& after,
                     std::vector<std::string>* out) {
  if (same(before, after)) return;
  out->push_back(fmt::format("{} {:x}->{:x}", name, before.selector, after.selector));
}

void compare_memory(std::span<const uint8_t> before, std::span<const uint8_t> after, uint32_t base,
                    std::vector<std::string>* out) {
  constexpr size_t kWordsShown = 4;
  size_t shown = 0;
  for (size_t at = 0; at + 4 <= before.size() && at + 4 <= after.size(); at += 4) {
    if (std::memcmp(&before[at], &after[at], 4) == 0) continue;
    if (++shown > kWordsShown) continue;
    uint32_t value = 0;
    std::memcpy(&value, &after[at], sizeof(value));
    out->push_back(fmt::format("[{:x}]={:08x}", base + at, value));
  }
  if (shown > kWordsShown) out->push_back(fmt::format("{} more words", shown - kWordsShown));
}

}  // namespace

std::vector<std::string> visible_effects(const Visible& before, const Visible& after,
                                         uint32_t data_base) {
  std::vector<std::string> effects;
  for (size_t i = 0; i < kGprCount; ++i) {
    if (before.gpr[i] == after.gpr[i]) continue;
    effects.push_back(fmt::format("{}={:08x}", kRegisters[i], after.gpr[i]));
  }
  for (const NamedFlag& flag : kVisibleFlags) {
    if (((before.eflags ^ after.eflags) & flag.bit) == 0) continue;
    effects.push_back(fmt::format("{}={}", flag.name, (after.eflags & flag.bit) != 0 ? 1 : 0));
  }
  compare_memory(before.data, after.data, data_base, &effects);
  return effects;
}

bool same_visible(const Visible& left, const Visible& right) {
  return left.eip == right.eip && left.gpr == right.gpr &&
         ((left.eflags ^ right.eflags) & kFlagsSeen) == 0 &&
         left.data.size() == right.data.size() &&
         std::memcmp(left.data.data(), right.data.data(), left.data.size()) == 0;
}

std::vector<std::string> control_changes(const GuestState& before, const GuestState& after) {
  std::vector<std::string> changes;
  for (const NamedFlag& flag : kControlFlags) {
    compare(flag.name, (before.eflags & flag.bit) != 0 ? 1 : 0,
            (after.eflags & flag.bit) != 0 ? 1 : 0, &changes);
  }
  compare("IOPL", before.iopl(), after.iopl(), &changes);
  compare("CPL", before.cpl, after.cpl, &changes);
  for (size_t i = 0; i < kSegmentCount; ++i) {
    compare_segment(kSegments[i], before.segment[i], after.segment[i], &changes);
  }
  compare_segment("LDTR", before.ldtr, after.ldtr, &changes);
  compare_segment("TR", before.tr, after.tr, &changes);
  compare("GDTR", before.gdtr.base, after.gdtr.base, &changes);
  compare("IDTR", before.idtr.base, after.idtr.base, &changes);
  compare("CR0", before.cr0, after.cr0, &changes);
  compare("CR2", before.cr2, after.cr2, &changes);
  compare("CR3", before.cr3, after.cr3, &changes);
  compare("CR4", before.cr4, after.cr4, &changes);
  for (size_t i = 0; i < before.dr.size(); ++i) {
    compare(fmt::format("DR{}", i).c_str(), before.dr[i], after.dr[i], &changes);
  }
  compare("EFER", before.efer, after.efer, &changes);
  compare("SYSENTER_CS", before.sysenter_cs, after.sysenter_cs, &changes);
  compare("SYSENTER_ESP", before.sysenter_esp, after.sysenter_esp, &changes);
  compare("SYSENTER_EIP", before.sysenter_eip, after.sysenter_eip, &changes);
  compare("PAT", before.pat, after.pat, &changes);
  return changes;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  return fmt::format("{}", fmt::join(words, between));
}

std::string exception_name(uint32_t vector, uint32_t error_code) {
  static constexpr std::array<const char*, 20> kNames = {
      "#DE", "#DB", "NMI", "#BP", "#OF", "#BR",       "#UD", "#NM", "#DF", "vector 9",
      "#TS", "#NP", "#SS", "#GP", "#PF", "vector 15", "#MF", "#AC", "#MC", "#XM"};
  if (vector >= kNames.size()) return fmt::format("vector {:#x}", vector);
  const bool has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
  return has_code ? fmt::format("{}({:x})", kNames[vector], error_code) : kNames[vector];
}

}  // namespace ringshift::lab
