#include "translator/dump.h"

#include <fmt/format.h>

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

std::string recovery_text(const RecoveryPoint& point) {
  switch (point.kind) {
    case RecoveryKind::Boundary:
      return fmt::format("at {:#x}", point.guest_eip);
    case RecoveryKind::EipInAddress:
      return "eip in r8d";
    case RecoveryKind::SwappedHighA:
      return fmt::format("at {:#x}, al<->ah", point.guest_eip);
    case RecoveryKind::SwappedHighC:
      return fmt::format("at {:#x}, cl<->ch", point.guest_eip);
    case RecoveryKind::SwappedHighD:
      return fmt::format("at {:#x}, dl<->dh", point.guest_eip);
    case RecoveryKind::SwappedHighB:
      return fmt::format("at {:#x}, bl<->bh", point.guest_eip);
    case RecoveryKind::StringSource:
      return fmt::format("at {:#x}, host rsi", point.guest_eip);
    case RecoveryKind::StringDestination:
      return fmt::format("at {:#x}, host rdi", point.guest_eip);
    case RecoveryKind::StringBoth:
      return fmt::format("at {:#x}, host rsi rdi", point.guest_eip);
    case RecoveryKind::RepeatSource:
      return fmt::format("at {:#x}, host rsi, part of ecx", point.guest_eip);
    case RecoveryKind::RepeatDestination:
      return fmt::format("at {:#x}, host rdi, part of ecx", point.guest_eip);
    case RecoveryKind::RepeatBoth:
      return fmt::format("at {:#x}, host rsi rdi, part of ecx", point.guest_eip);
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

  std::string text() {
    std::string body;
    const auto size = static_cast<uint32_t>(code_.bytes.size());
    const uint32_t first = code_.starts.empty() ? code_.cold : code_.starts[0].host_offset;
    body += "\nentry from the jump table:\n";
    uint32_t hot = host_range(code_.indirect_entry, first, &body);
    for (size_t i = 0; i < code_.starts.size(); ++i) {
      const bool last = i + 1 == code_.starts.size();
      body += guest_line(unit_.instructions[code_.starts[i].index]);
      hot += host_range(code_.starts[i].host_offset,
                        last ? code_.cold : code_.starts[i + 1].host_offset, &body);
    }
    body += "\nexits:\n";
    const uint32_t cold = host_range(code_.cold, size, &body);
    return fmt::format("host: {} hot, {} cold; guest: {}\nunit: {:#x}, {}{}\n{}", hot, cold,
                       unit_.instructions.size(), unit_.key.eip,
                       unit_.key.privilege == Privilege::User ? "user" : "supervisor",
                       style_suffix(unit_.key.style), body);
  }

 private:
  void name_stubs(const Stubs& stubs) {
    names_[stubs.indirect_miss] = "indirect miss";
    names_[stubs.dispatch] = "dispatch";
    names_[stubs.unlinked] = "unlinked";
    names_[stubs.interpret] = "interpret";
    names_[stubs.callout] = "callout";
    names_[stubs.write_cr0] = "write cr0";
    for (const auto& [pop, name] : {std::pair{0, "load segment"}, std::pair{1, "pop segment"}}) {
      for (const auto& segment : stubs.load_segment) {
        if (segment[static_cast<size_t>(pop)] != 0)
          names_[segment[static_cast<size_t>(pop)]] = name;
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

  [[nodiscard]] static std::string guest_line(const UnitInstruction& guest) {
    const GuestInstruction& instruction = guest.instruction;
    return fmt::format("\n{:#x}: {}  {}  [{}{}]\n", guest.eip,
                       hex_bytes({instruction.bytes.data(), instruction.length}),
                       disassemble_guest(instruction, guest.eip), treatment_name(guest.treatment),
                       style_suffix(guest.style));
  }

  [[nodiscard]] std::string link_text(size_t i) const {
    return fmt::format("-> link {} ({:#x})", i, code_.links[i].destination_eip);
  }

  [[nodiscard]] std::string host_text(const HostInstruction& host, uint32_t offset) const {
    for (size_t i = 0; i < code_.links.size(); ++i) {
      const EmittedLink& link = code_.links[i];
      if (link.patch_offset >= offset && link.patch_offset < offset + host.length) {
        return host.branch + ' ' + link_text(i);
      }
      // Link numbers depend on what was translated before.
      if (link.number_offset >= offset && link.number_offset < offset + host.length) {
        return host.text.substr(0, host.text.rfind(' ')) + fmt::format(" link {}", i);
      }
    }
    if (!host.destination) return host.text;
    auto named = names_.find(at_ + static_cast<uint64_t>(*host.destination));
    if (named != names_.end()) return host.branch + " <" + named->second + '>';
    return host.branch + fmt::format(" +{:x}", *host.destination);
  }

  // Appends the instructions of [from, to) and returns how many they are.
  uint32_t host_range(uint32_t from, uint32_t to, std::string* out) const {
    uint32_t count = 0;
    for (uint32_t offset = from; offset < to; ++count) {
      const HostInstruction host = disassemble_host(code_.bytes, offset);
      if (host.length == 0) {
        *out += fmt::format("  +{:<4x}(not decodable)\n", offset);
        return count;
      }
      const std::string text = host_text(host, offset);
      auto point = recovery_.find(offset);
      *out += point == recovery_.end() ? fmt::format("  +{:<4x}{}\n", offset, text)
                                       : fmt::format("  +{:<4x}{:<52}; {}\n", offset, text,
                                                     recovery_text(*point->second));
      offset += host.length;
    }
    return count;
  }

  const TranslationUnit& unit_;
  const EmittedCode& code_;
  const uint64_t at_;
  std::map<uint64_t, std::string> names_;
  std::map<uint32_t, const RecoveryPoint*> recovery_;
};

}  // namespace

std::string dump(const TranslationUnit& unit, const EmittedCode& code, const Stubs& stubs,
                 uint64_t at) {
  return Dumper(unit, code, stubs, at).text();
}

}  // namespace ringshift
