#include "monitor/debug/prompt/commands.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "monitor/debug/gdb/quiet_memory.h"
#include "monitor/debug/gdb/registers.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/number_text.h"
#include "shadowmmu/walker.h"
#include "translator/listing.h"

namespace ringshift::debug {
namespace {

struct Asked {
  Machine& machine;
  const ExecutionControl& control;
  std::vector<std::string> words;  // the command's name first
};

// ---- registers ----

std::string segment_line(const char* name, const SegmentCache& segment) {
  return fmt::format("{:<4} {:04x} base {:08x} limit {:08x} attributes {:04x}\n", name,
                     segment.selector, segment.base, segment.limit, segment.attributes);
}

std::string show_registers(const Asked& asked) {
  const GuestState& s = asked.machine.state();
  const auto& g = s.gpr;
  std::string text = fmt::format(
      "eax {:08x} ecx {:08x} edx {:08x} ebx {:08x}\nesp {:08x} ebp {:08x} esi {:08x} edi {:08x}\n"
      "eip {:08x} eflags {:08x} cpl {}{}\n",
      g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], s.eip, s.eflags, s.cpl,
      s.activity == ActivityState::Halted ? ", halted" : "");
  static constexpr const char* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};
  for (size_t i = 0; i < kSegmentCount; ++i) text += segment_line(kNames[i], s.segment[i]);
  text += segment_line("ldtr", s.ldtr) + segment_line("tr", s.tr);
  text += fmt::format("gdtr {:08x} limit {:04x}, idtr {:08x} limit {:04x}\n", s.gdtr.base,
                      s.gdtr.limit, s.idtr.base, s.idtr.limit);
  text += fmt::format("cr0 {:08x} cr2 {:08x} cr3 {:08x} cr4 {:08x} efer {:x}\n", s.cr0, s.cr2,
                      s.cr3, s.cr4, s.efer);
  text += fmt::format("dr0 {:08x} dr1 {:08x} dr2 {:08x} dr3 {:08x} dr6 {:08x} dr7 {:08x}\n",
                      s.dr[0], s.dr[1], s.dr[2], s.dr[3], s.dr[6], s.dr[7]);
  const ModeReason reason = execution_mode(s);
  const bool has_own_mode = reason != ModeReason::Translatable && translated_mode(s).has_value();
  return text + fmt::format("code here: {}{}\n", has_own_mode ? "translatable, " : "",
                            mode_reason_name(reason));
}

// ---- addresses ----

// The second word, or EIP.
std::optional<uint32_t> address_asked(const Asked& asked) {
  if (asked.words.size() >= 2) return address_of_word(asked.words[1]);
  return asked.machine.state().code_address().value();
}

std::string no_address(const Asked& asked) { return asked.words[1] + " is not an address\n"; }

std::string entry_line(const char* name, const TableEntryLocation& entry) {
  return fmt::format(
      "{} at {:09x}: {:016x}{}{}{}{}{}{}\n", name, entry.address.value(), entry.value,
      (entry.value & 1) != 0 ? " present" : " absent", (entry.value & 2) != 0 ? " writable" : "",
      (entry.value & 4) != 0 ? " user" : "", (entry.value & 0x20) != 0 ? " accessed" : "",
      (entry.value & 0x40) != 0 ? " dirty" : "", (entry.value & 0x80) != 0 ? " large" : "");
}

std::string walk_tables(const Asked& asked) {
  const std::optional<uint32_t> linear = address_asked(asked);
  if (!linear) return no_address(asked);
  LinearMemory& memory = asked.machine.processor().cpu().memory;
  const PagingMode mode = memory.paging_mode();
  if (!mode.paging) return fmt::format("{:08x}: paging is off\n", *linear);
  std::string text = fmt::format("{:08x}: {} tables at cr3 {:08x}\n", *linear,
                                 mode.pae ? "PAE" : "two-level", mode.cr3);
  if (mode.pae)
    text += fmt::format("pointer {}: {:016x}\n", *linear >> 30, mode.pdpte[*linear >> 30]);
  const WalkResult result = probe(mode, memory.physical(), GuestVirtual(*linear), AccessKind::Read,
                                  Privilege::Supervisor);
  const Translation& found = result.translation;
  static constexpr const char* kNames[] = {"directory entry", "table entry"};
  for (size_t i = 0; i < found.levels; ++i) {
    text += entry_line(kNames[i], found.entries[i]);
  }
  if (result.fault) {
    return text +
           fmt::format("not there: a page fault, error code {:x}\n", result.fault->error_code);
  }
  const GuestPhysical at = memory.physical().masked(found.physical);
  const bool is_ram = memory.physical().is_ram(GuestPhysicalPage::of(at));
  return text + fmt::format("guest-physical {:09x}, {}, in a page of {} KiB: {}{}{}{}\n",
                            at.value(), is_ram ? "RAM" : "not RAM", found.page_bytes / 1024,
                            found.user ? "user" : "supervisor",
                            found.writable_user ? ", writable" : ", read-only",
                            found.executable ? ", executable" : "", found.global ? ", global" : "");
}

std::string dump_memory(const Asked& asked) {
  constexpr uint32_t kBytesInLine = 16, kMostBytes = 4096;
  std::optional<uint32_t> linear = address_asked(asked);
  if (!linear) return no_address(asked);
  const std::optional<uint32_t> length =
      asked.words.size() >= 3 ? address_of_word(asked.words[2]) : std::optional<uint32_t>(64);
  if (!length || *length > kMostBytes) return "at most 1000 (hexadecimal) bytes at a time\n";
  PhysicalMemory& physical = asked.machine.processor().cpu().memory.physical();
  std::string text;
  for (uint32_t i = 0; i < *length; ++i) {
    const GuestVirtual at(*linear + i);
    if (i % kBytesInLine == 0) text += fmt::format("{}{:08x}:", i == 0 ? "" : "\n", at.value());
    const std::optional<GuestPhysical> byte = translate_quietly(asked.machine, at);
    const uint8_t* page = byte ? physical.readable_page(GuestPhysicalPage::of(*byte)) : nullptr;
    text += page == nullptr ? " --" : fmt::format(" {:02x}", page[at.offset_in_page()]);
  }
  return text + "\n";
}

// ---- translations ----

// The guest's bytes as they are, without a check of privilege; nothing is remembered of them.
class QuietSource final : public CodeSource, public SoftSites {
 public:
  explicit QuietSource(Machine& machine) : machine_(machine) {}
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const std::optional<GuestPhysical> at = translate_quietly(machine_, address);
    if (!at || !machine_.processor().cpu().memory.physical().is_ram(GuestPhysicalPage::of(*at)))
      return {};
    *physical = *at;
    return machine_.memory().span(*at, kPageSize - address.offset_in_page());
  }
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return machine_.processor().sites().is_soft(instruction);
  }
  [[nodiscard]] const KeptOut* kept_out() const override {
    return machine_.processor().code().kept_out();
  }

 private:
  Machine& machine_;
};

bool holds(const Fragment& fragment, GuestVirtual linear) {
  for (const PageMember& member : fragment.pieces) {
    if (member.piece.holds(Eip(linear.value() - fragment.key.mode.base))) return true;
  }
  return false;
}

std::string fragment_text(Machine& machine, const Fragment& fragment, std::string* dumped) {
  const TranslationKey& key = fragment.key;
  const bool is_user = key.privilege == Privilege::User;
  std::string text = fmt::format(
      "fragment of {:08x}, {}, {}, view {}: {} instructions in {} pieces, {} bytes at {:x}, {} "
      "links "
      "here\n",
      key.eip.value(), is_user ? "user" : "supervisor",
      key.style == AccessStyle::Soft ? "soft" : "window", key.view, fragment.instruction_count,
      fragment.pieces.size(), fragment.size, fragment.code.address,
      machine.processor().translator().cache().links_to(fragment));
  TranslateRequest request;
  request.first_eip = key.eip;
  request.privilege = key.privilege;
  request.style = key.style;
  request.mode = key.mode;
  request.max_blocks = 1;
  request.limits = machine.config().translator.limits;
  request.features = machine.config().translator.features;
  QuietSource source(machine);
  std::string error;
  if (!translate_blocks(request, source, source, dumped, &error)) *dumped = error + "\n";
  return text;
}

std::string show_translation(const Asked& asked) {
  constexpr size_t kMostShown = 4;
  const std::optional<uint32_t> linear = address_asked(asked);
  if (!linear) return no_address(asked);
  std::vector<const Fragment*> found;
  asked.machine.processor().translator().cache().for_each([&](const Fragment& fragment) {
    if (holds(fragment, GuestVirtual(*linear))) found.push_back(&fragment);
  });
  if (found.empty()) return fmt::format("{:08x}: not translated at the moment\n", *linear);
  std::string text;
  std::string before;
  for (size_t i = 0; i < found.size() && i < kMostShown; ++i) {
    std::string dumped;
    text += fragment_text(asked.machine, *found[i], &dumped);
    if (dumped != before) text += dumped;
    before = std::move(dumped);
  }
  if (found.size() > kMostShown) text += fmt::format("and {} more\n", found.size() - kMostShown);
  return text;
}

// ---- the rest ----

std::string show_devices(const Asked& asked) {
  std::string text = "ports\n";
  asked.machine.port_bus().for_each_range(
      [&](uint16_t first, uint32_t count, const std::string& name) {
        text += fmt::format("  {:04x}-{:04x} {}\n", first, first + count - 1, name);
      });
  text += "guest-physical memory\n";
  text += fmt::format("  {:09x}-{:09x} RAM, under what follows\n", 0,
                      asked.machine.memory().size() - 1);
  asked.machine.memory_bus().for_each_range(
      [&](GuestPhysical first, uint64_t bytes, const std::string& name) {
        text += fmt::format("  {:09x}-{:09x} {}\n", first.value(), first.value() + bytes - 1, name);
      });
  return text + (asked.machine.interrupts().pending() ? "an interrupt is pending\n"
                                                      : "no interrupt is pending\n");
}

std::string show_points(const Asked& asked) {
  std::string text;
  for (const auto kind :
       {ExecutionControl::BreakpointKind::Software, ExecutionControl::BreakpointKind::Hardware}) {
    for (const GuestVirtual address : asked.control.breakpoints(kind)) {
      text += fmt::format("breakpoint {:08x}\n", address.value());
    }
  }
  static constexpr const char* kKinds[] = {"writes", "reads", "accesses"};
  for (const WatchedData& watched : asked.control.watches()) {
    text += fmt::format("watched {:08x}, {} bytes: {}\n", watched.address.value(), watched.length,
                        kKinds[static_cast<size_t>(watched.kind)]);
  }
  return text.empty() ? "none\n" : text;
}

std::string show_help(const Asked&) { return command_help(); }

struct Command {
  const char* name;
  const char* arguments;
  const char* what;
  std::string (*run)(const Asked&);
};

constexpr Command kCommands[] = {
    {"help", "", "this list; addresses are linear and hexadecimal, EIP if left out", show_help},
    {"registers", "", "all registers but those of the FPU, and hidden parts of segments",
     show_registers},
    {"walk", "[ADDRESS]", "the page tables' entries for an address", walk_tables},
    {"memory", "[ADDRESS [LENGTH]]", "bytes; -- where nothing is that may be looked at",
     dump_memory},
    {"translation", "[ADDRESS]", "the guest block there and what it becomes", show_translation},
    {"devices", "", "who has which ports and memory", show_devices},
    {"points", "", "breakpoints and watched data", show_points},
};

}  // namespace

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  size_t at = 0;
  while (true) {
    const size_t begin = line.find_first_not_of(" \t\r\n", at);
    if (begin == std::string::npos) return words;
    at = std::min(line.find_first_of(" \t\r\n", begin), line.size());
    words.push_back(line.substr(begin, at - begin));
  }
}

std::optional<uint32_t> address_of_word(const std::string& word) {
  const std::string text = word.starts_with("0x") ? word : "0x" + word;
  uint32_t address = 0;
  if (!parse_address(text, &address)) return std::nullopt;
  return address;
}

std::string command_help() {
  std::string text;
  for (const Command& command : kCommands) {
    text += fmt::format("{:<32} {}\n", fmt::format("{} {}", command.name, command.arguments),
                        command.what);
  }
  return text;
}

std::vector<std::string> command_names() {
  std::vector<std::string> all;
  for (const Command& command : kCommands) all.emplace_back(command.name);
  return all;
}

std::string run_command(Machine& machine, const ExecutionControl& control,
                        const std::string& line) {
  const Asked asked{machine, control, words_of(line)};
  if (asked.words.empty()) return command_help();
  const Command* found = nullptr;
  for (const Command& command : kCommands) {
    // A beginning that is one command's alone will do.
    if (!std::string(command.name).starts_with(asked.words[0])) continue;
    if (found != nullptr)
      return asked.words[0] + " could be " + found->name + " or " + command.name + "\n";
    found = &command;
  }
  if (found == nullptr) return asked.words[0] + " is no command; help lists them\n";
  return found->run(asked);
}

}  // namespace ringshift::debug
