#include "translator/dump.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <span>

#include "translator/disassemble.h"

namespace ringshift {
namespace {

const char* style_suffix(AccessStyle style) {
  switch (style) {
    case AccessStyle::Window:
      return "";
    case AccessStyle::Soft:
      return ", soft";
  }
  return "?";
}

const char* kind_name(SegmentKind kind) {
  switch (kind) {
    case SegmentKind::Flat:
      return "flat";
    case SegmentKind::Based:
      return "based";
    case SegmentKind::Large:
      return "large";
    case SegmentKind::Checked:
      return "checked";
    case SegmentKind::Readable:
      return "readable";
    case SegmentKind::Odd:
      return "odd";
    case SegmentKind::Down:
      return "down";
  }
  return "?";
}

// "; real mode, 16-bit code at 0x0 up to 0xffff, 16-bit stack; es large, cs large, ..."
std::string mode_suffix(const CodeMode& mode) {
  if (mode.is_flat()) return "";
  constexpr std::array<const char*, kSegmentCount> kNames = {"es", "cs", "ss", "ds", "fs", "gs"};
  std::string text = mode.is_virtual_8086()      ? "; virtual-8086 mode, "
                     : mode.has_real_selectors() ? "; real mode, "
                                                 : "; ";
  text += fmt::format("{}-bit code at {:#x} up to {:#x}, {}-bit stack;",
                      mode.has_narrow_code() ? 16 : 32, mode.base, mode.limit,
                      mode.has_narrow_stack() ? 16 : 32);
  for (size_t i = 0; i < kSegmentCount; ++i) {
    text += fmt::format("{} {} {}", i == 0 ? "" : ",", kNames[i],
                        kind_name(mode.kind(static_cast<SegmentRegister>(i))));
  }
  return text;
}

std::string recovery_text(const RecoveryPoint& point) {
  switch (point.kind) {
    case RecoveryKind::Boundary:
      return fmt::format("at {:#x}", point.guest_eip.value());
    case RecoveryKind::Counted:
      return fmt::format("at {:#x}, counted", point.guest_eip.value());
    case RecoveryKind::EipInAddress:
      return "eip in r8d";
    case RecoveryKind::SwappedHighA:
      return fmt::format("at {:#x}, al<->ah", point.guest_eip.value());
    case RecoveryKind::SwappedHighC:
      return fmt::format("at {:#x}, cl<->ch", point.guest_eip.value());
    case RecoveryKind::SwappedHighD:
      return fmt::format("at {:#x}, dl<->dh", point.guest_eip.value());
    case RecoveryKind::SwappedHighB:
      return fmt::format("at {:#x}, bl<->bh", point.guest_eip.value());
    case RecoveryKind::StringSource:
      return fmt::format("at {:#x}, host rsi", point.guest_eip.value());
    case RecoveryKind::StringDestination:
      return fmt::format("at {:#x}, host rdi", point.guest_eip.value());
    case RecoveryKind::StringBoth:
      return fmt::format("at {:#x}, host rsi rdi", point.guest_eip.value());
    case RecoveryKind::RepeatSource:
      return fmt::format("at {:#x}, host rsi, part of ecx", point.guest_eip.value());
    case RecoveryKind::RepeatDestination:
      return fmt::format("at {:#x}, host rdi, part of ecx", point.guest_eip.value());
    case RecoveryKind::RepeatBoth:
      return fmt::format("at {:#x}, host rsi rdi, part of ecx", point.guest_eip.value());
  }
  return "?";
}

std::string hex_bytes(std::span<const uint8_t> bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, " "));
}

class Dumper {
 public:
  Dumper(const TranslationUnit& unit, const EmittedCode& code, const Stubs& stubs, uint64_t at)
      : unit_(unit), code_(code), at_(at) {
    name_stubs(stubs);
    for (const RecoveryPoint& point : code.recovery) recovery_[point.host_offset] = &point;
  }

  DumpedUnit take_apart() {
    DumpedUnit out;
    out.key = unit_.key;
    const auto size = static_cast<uint32_t>(code_.bytes.size());
    const uint32_t first = code_.starts.empty() ? code_.cold : code_.starts[0].host_offset;
    out.entry = host_range(code_.indirect_entry, first);
    out.hot = static_cast<uint32_t>(out.entry.size());
    for (size_t i = 0; i < code_.starts.size(); ++i) {
      const bool last = i + 1 == code_.starts.size();
      out.instructions.push_back(guest_part(unit_.instructions[code_.starts[i].index]));
      out.instructions.back().host = host_range(
          code_.starts[i].host_offset, last ? code_.cold : code_.starts[i + 1].host_offset);
      out.hot += static_cast<uint32_t>(out.instructions.back().host.size());
    }
    out.exits = host_range(code_.cold, size);
    out.cold = static_cast<uint32_t>(out.exits.size());
    for (const EmittedLink& link : code_.links) out.links.push_back(link.destination_eip);
    return out;
  }

 private:
  void name_stubs(const Stubs& stubs) {
    names_[stubs.indirect_miss] = "indirect miss";
    names_[stubs.dispatch] = "dispatch";
    names_[stubs.unlinked] = "unlinked";
    names_[stubs.interpret] = "interpret";
    names_[stubs.callout] = "callout";
    names_[stubs.cpuid] = "cpuid";
    names_[stubs.system_enter] = "system enter";
    names_[stubs.system_exit] = "system exit";
    names_[stubs.write_cr0] = "write cr0";
    names_[stubs.clear_ts] = "clear ts";
    names_[stubs.load_gdt] = "load gdt";
    names_[stubs.check_debug] = "check debug";
    names_[stubs.write_dr7] = "write dr7";
    names_[stubs.far_find] = "far find";
    names_[stubs.far_verify] = "far verify";
    names_[stubs.far_enter] = "far enter";
    names_[stubs.far_enter_by_selector] = "far enter by selector";
    for (const auto& [pop, name] : {std::pair{0, "load segment"}, std::pair{1, "pop segment"}}) {
      for (const auto& segment : stubs.load_segment) {
        for (const auto& of_ring : segment[static_cast<size_t>(pop)]) {
          for (const uint64_t stub : of_ring) {
            if (stub != 0) names_[stub] = name;
          }
        }
      }
    }
    names_[stubs.ensure_fpu] = "ensure fpu";
    names_[stubs.event_window] = "event window";
    for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
      for (const bool is_write : {false, true}) {
        for (const uint32_t bytes : kSoftSizes) {
          names_[stubs.soft_for(privilege, is_write, bytes)] =
              fmt::format("soft {}{}{}", is_write ? 'w' : 'r', bytes,
                          privilege == Privilege::User ? " user" : "");
        }
      }
    }
  }

  [[nodiscard]] static DumpedInstruction guest_part(const UnitInstruction& guest) {
    const GuestInstruction& instruction = guest.instruction;
    DumpedInstruction out;
    out.eip = guest.eip;
    out.length = instruction.length;
    out.treatment = guest.treatment;
    out.style = guest.style;
    out.bytes = hex_bytes({instruction.bytes.data(), instruction.length});
    out.text = disassemble_guest(instruction, guest.eip);
    return out;
  }

  [[nodiscard]] std::string link_text(size_t i) const {
    return fmt::format("-> link {} ({:#x})", i, code_.links[i].destination_eip.value());
  }

  [[nodiscard]] std::string host_text(const HostInstruction& host, uint32_t offset) const {
    for (size_t i = 0; i < code_.links.size(); ++i) {
      const EmittedLink& link = code_.links[i];
      if (link.patch_offset >= offset && link.patch_offset < offset + host.length) {
        return host.branch + ' ' + link_text(i);
      }
      // Link numbers depend on earlier translations.
      if (link.number_offset >= offset && link.number_offset < offset + host.length) {
        return host.text.substr(0, host.text.rfind(' ')) + fmt::format(" link {}", i);
      }
    }
    if (!host.destination) return host.text;
    auto named = names_.find(at_ + static_cast<uint64_t>(*host.destination));
    if (named != names_.end()) return host.branch + " <" + named->second + '>';
    return host.branch + fmt::format(" +{:x}", *host.destination);
  }

  // The instructions of [from, to).
  [[nodiscard]] std::vector<std::string> host_range(uint32_t from, uint32_t to) const {
    std::vector<std::string> out;
    for (uint32_t offset = from; offset < to;) {
      const HostInstruction host = disassemble_host(code_.bytes, offset);
      if (host.length == 0) {
        out.push_back(fmt::format("+{:<4x}(not decodable)", offset));
        return out;
      }
      const std::string text = host_text(host, offset);
      auto point = recovery_.find(offset);
      out.push_back(point == recovery_.end() ? fmt::format("+{:<4x}{}", offset, text)
                                             : fmt::format("+{:<4x}{:<52}; {}", offset, text,
                                                           recovery_text(*point->second)));
      offset += host.length;
    }
    return out;
  }

  const TranslationUnit& unit_;
  const EmittedCode& code_;
  const uint64_t at_;
  std::map<uint64_t, std::string> names_;
  std::map<uint32_t, const RecoveryPoint*> recovery_;
};

}  // namespace

DumpedUnit take_apart(const TranslationUnit& unit, const EmittedCode& code, const Stubs& stubs,
                      uint64_t at) {
  return Dumper(unit, code, stubs, at).take_apart();
}

std::string dump_text(const DumpedUnit& dumped) {
  std::string body = "\nentry from the jump table:\n";
  const auto add = [&](const std::vector<std::string>& lines) {
    for (const std::string& line : lines) body += "  " + line + "\n";
  };
  add(dumped.entry);
  for (const DumpedInstruction& guest : dumped.instructions) {
    body += fmt::format("\n{:#x}: {}  {}  [{}{}]\n", guest.eip.value(), guest.bytes, guest.text,
                        treatment_name(guest.treatment), style_suffix(guest.style));
    add(guest.host);
  }
  body += "\nexits:\n";
  add(dumped.exits);
  return fmt::format("host: {} hot, {} cold; guest: {}\nunit: {:#x}, {}{}{}\n{}", dumped.hot,
                     dumped.cold, dumped.instructions.size(), dumped.key.eip.value(),
                     dumped.key.privilege == Privilege::User ? "user" : "supervisor",
                     style_suffix(dumped.key.style), mode_suffix(dumped.key.mode), body);
}

std::string dump(const TranslationUnit& unit, const EmittedCode& code, const Stubs& stubs,
                 uint64_t at) {
  return dump_text(take_apart(unit, code, stubs, at));
}

}  // namespace ringshift
