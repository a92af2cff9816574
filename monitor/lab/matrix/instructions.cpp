#include "monitor/lab/matrix/instructions.h"

namespace ringshift::lab {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kFlagsWithoutIf = kFlagReservedOne;
constexpr uint32_t kSysenterCs = 0x174;  // SDM 4 table 2-2

Instruction plain(Group group, std::string name, std::string form, std::string purpose,
                  Bytes code) {
  Instruction made;
  made.group = group;
  made.name = std::move(name);
  made.form = std::move(form);
  made.purpose = std::move(purpose);
  made.code = std::move(code);
  return made;
}

Instruction with_stack(Instruction made, std::vector<uint32_t> words) {
  made.on_stack = std::move(words);
  return made;
}

Instruction with_operand(Instruction made, std::vector<uint32_t> words) {
  made.in_operand = std::move(words);
  return made;
}

Instruction with_registers(Instruction made, uint32_t eax, uint32_t ecx = 0, uint32_t edx = 0) {
  made.registers = {eax, ecx, edx};
  return made;
}

Instruction umip(Instruction made) {
  made.has_umip = true;
  return made;
}

Instruction interrupts_on(Instruction made) {
  made.virtual_if = true;
  return made;
}

Instruction host_kernel(Instruction made) {
  made.enters_host_kernel = true;
  return made;
}

// ptr16:32, as in the instruction: offset, then selector.
Bytes far_code(uint8_t opcode) {
  Bytes code = {opcode};
  for (int shift = 0; shift < 32; shift += 8)
    code.push_back(static_cast<uint8_t>(kTarget >> shift));
  code.push_back(kOtherCode0);
  code.push_back(0);
  return code;
}

void add_tables_and_status(std::vector<Instruction>* out) {
  constexpr Group kGroup = Group::RobinIrvine;
  out->push_back(umip(
      plain(kGroup, "SGDT", "sgdt [ebx]", "where the descriptor table is", {0x0f, 0x01, 0x03})));
  out->push_back(umip(
      plain(kGroup, "SIDT", "sidt [ebx]", "where the interrupt table is", {0x0f, 0x01, 0x0b})));
  out->push_back(
      umip(plain(kGroup, "SLDT", "sldt eax", "which local descriptor table", {0x0f, 0x00, 0xc0})));
  out->push_back(umip(plain(kGroup, "STR", "str eax", "which task", {0x0f, 0x00, 0xc8})));
  out->push_back(
      umip(plain(kGroup, "SMSW", "smsw eax", "the machine status word, CR0", {0x0f, 0x01, 0xe0})));
  out->push_back(plain(kGroup, "PUSHF", "pushfd", "saves the flags, IF and IOPL too", {0x9c}));
  out->push_back(interrupts_on(
      with_stack(plain(kGroup, "POPF", "popfd", "restores the flags: interrupts off again", {0x9d}),
                 {kFlagsWithoutIf})));
}

void add_checks_and_loads(std::vector<Instruction>* out) {
  constexpr Group kGroup = Group::RobinIrvine;
  const auto check = [&](const char* name, const char* form, const char* why, Bytes code) {
    out->push_back(with_registers(plain(kGroup, name, form, why, std::move(code)), 0, kData0));
  };
  check("LAR", "lar eax, ecx", "access rights of a descriptor (selector 0x10)", {0x0f, 0x02, 0xc1});
  check("LSL", "lsl eax, ecx", "limit of a segment (selector 0x10)", {0x0f, 0x03, 0xc1});
  check("VERR", "verr cx", "may this segment be read (selector 0x10)?", {0x0f, 0x00, 0xe1});
  check("VERW", "verw cx", "may this segment be written (selector 0x10)?", {0x0f, 0x00, 0xe9});
  out->push_back(plain(kGroup, "PUSH CS", "push cs", "the ring shows in the selector", {0x0e}));
  out->push_back(plain(kGroup, "PUSH SS", "push ss", "the ring shows in the selector", {0x16}));
  out->push_back(with_stack(
      plain(kGroup, "POP DS", "pop ds", "loads kernel data, selector 0x10", {0x1f}), {kData0}));
  out->push_back(
      plain(kGroup, "MOV r, CS", "mov eax, cs", "the ring shows in the selector", {0x8c, 0xc8}));
  out->push_back(with_registers(
      plain(kGroup, "MOV DS, r", "mov ds, eax", "loads kernel data, selector 0x10", {0x8e, 0xd8}),
      kData0));
  out->push_back(with_registers(plain(kGroup, "MOV GS, r", "mov gs, eax",
                                      "loads the thread segment, selector 0x33", {0x8e, 0xe8}),
                                kThread));
}

void add_transfers(std::vector<Instruction>* out) {
  constexpr Group kGroup = Group::RobinIrvine;
  out->push_back(
      plain(kGroup, "CALL far", "call 0x58:target", "a call between segments", far_code(0x9a)));
  out->push_back(
      plain(kGroup, "JMP far", "jmp 0x58:target", "a jump between segments", far_code(0xea)));
  out->push_back(with_stack(plain(kGroup, "RET far", "retf", "back from a far call", {0xcb}),
                            {kTarget, kOtherCode0}));
  out->push_back(
      interrupts_on(plain(kGroup, "INT n", "int 0x21", "a software interrupt", {0xcd, 0x21})));
  out->push_back(interrupts_on(
      host_kernel(plain(kGroup, "INT 0x80", "int 0x80",
                        "a software interrupt that the host knows too", {0xcd, 0x80}))));
  out->push_back(interrupts_on(plain(kGroup, "INT3", "int3", "a breakpoint", {0xcc})));
}

void add_later(std::vector<Instruction>* out) {
  constexpr Group kGroup = Group::Later;
  out->push_back(interrupts_on(
      with_stack(plain(kGroup, "IRET", "iretd", "back from an interrupt: flags and ring", {0xcf}),
                 {kTarget, kOtherCode0, kFlagsWithoutIf})));
  out->push_back(with_registers(
      plain(kGroup, "CPUID", "cpuid", "which processor this is (leaf 1)", {0x0f, 0xa2}), 1));
  out->push_back(plain(kGroup, "RDTSC", "rdtsc", "the time-stamp counter", {0x0f, 0x31}));
  out->push_back(plain(kGroup, "RDPMC", "rdpmc", "a performance counter", {0x0f, 0x33}));
  out->push_back(with_registers(
      plain(kGroup, "RDMSR", "rdmsr", "a model-specific register (SYSENTER_CS)", {0x0f, 0x32}), 0,
      kSysenterCs));
  out->push_back(
      plain(kGroup, "XGETBV", "xgetbv", "which extended state is on", {0x0f, 0x01, 0xd0}));
  out->push_back(plain(kGroup, "RDFSBASE", "rdfsbase eax", "64-bit code's way to the FS base",
                       {0xf3, 0x0f, 0xae, 0xc0}));
  out->push_back(plain(kGroup, "WRFSBASE", "wrfsbase eax", "64-bit code's way to the FS base",
                       {0xf3, 0x0f, 0xae, 0xd0}));
  out->push_back(interrupts_on(
      host_kernel(plain(kGroup, "SYSENTER", "sysenter", "the fast system call", {0x0f, 0x34}))));
  Instruction exit = with_registers(
      plain(kGroup, "SYSEXIT", "sysexit", "back from the fast system call", {0x0f, 0x35}), 0,
      kStack, kTarget);
  exit.leaves_ring0 = true;
  out->push_back(std::move(exit));
}

void add_privileged(std::vector<Instruction>* out) {
  constexpr Group kGroup = Group::Privileged;
  const auto add = [&](const char* name, const char* form, const char* why, Bytes code) {
    out->push_back(plain(kGroup, name, form, why, std::move(code)));
  };
  const auto add_with = [&](const char* name, const char* form, const char* why, Bytes code,
                            uint32_t eax, uint32_t ecx = 0) {
    out->push_back(with_registers(plain(kGroup, name, form, why, std::move(code)), eax, ecx));
  };
  out->push_back(interrupts_on(plain(kGroup, "CLI", "cli", "interrupts off", {0xfa})));
  add("STI", "sti", "interrupts on", {0xfb});
  add("HLT", "hlt", "waits for an interrupt", {0xf4});
  const std::vector<uint32_t> kPseudoDescriptor = {0x0000007f, 0x00000006};
  out->push_back(with_operand(
      plain(kGroup, "LGDT", "lgdt [ebx]", "sets the descriptor table", {0x0f, 0x01, 0x13}),
      kPseudoDescriptor));
  out->push_back(with_operand(
      plain(kGroup, "LIDT", "lidt [ebx]", "sets the interrupt table", {0x0f, 0x01, 0x1b}),
      kPseudoDescriptor));
  add_with("LLDT", "lldt ax", "sets the local descriptor table", {0x0f, 0x00, 0xd0}, 0);
  add_with("LTR", "ltr ax", "sets the task", {0x0f, 0x00, 0xd8}, kFreeTss);
  add_with("LMSW", "lmsw ax", "sets the low half of CR0", {0x0f, 0x01, 0xf0}, kCr0Pe | kCr0Mp);
  add("CLTS", "clts", "clears CR0.TS", {0x0f, 0x06});
  add("MOV r, CR0", "mov eax, cr0", "reads CR0", {0x0f, 0x20, 0xc0});
  add("MOV r, CR3", "mov eax, cr3", "reads the page directory's address", {0x0f, 0x20, 0xd8});
  add_with("MOV CR3, r", "mov cr3, eax", "another address space", {0x0f, 0x22, 0xd8}, 0x5000);
  add_with("MOV CR4, r", "mov cr4, eax", "sets CR4", {0x0f, 0x22, 0xe0}, kCr4Tsd);
  add("MOV r, DR7", "mov eax, dr7", "reads debug control", {0x0f, 0x21, 0xf8});
  add_with("MOV DR0, r", "mov dr0, eax", "sets a breakpoint's address", {0x0f, 0x23, 0xc0},
           kTarget);
  add("INVLPG", "invlpg [ebx]", "forgets a translation", {0x0f, 0x01, 0x3b});
  add("WBINVD", "wbinvd", "writes the caches back", {0x0f, 0x09});
  add("INVD", "invd", "throws the caches away", {0x0f, 0x08});
  add_with("WRMSR", "wrmsr", "sets a model-specific register (SYSENTER_CS)", {0x0f, 0x30},
           kOtherCode0, kSysenterCs);
  add("IN", "in al, 0x80", "reads a port", {0xe4, 0x80});
  add_with("OUT", "out 0x80, al", "writes a port", {0xe6, 0x80}, 0x42);
}

void add_innocuous(std::vector<Instruction>* out) {
  out->push_back(with_registers(
      plain(Group::Innocuous, "ADD", "add eax, ecx", "arithmetic", {0x01, 0xc8}), 40, 2));
  out->push_back(with_registers(
      plain(Group::Innocuous, "MOV [m], r", "mov [ebx], eax", "a store", {0x89, 0x03}), 42));
  out->push_back(plain(Group::Innocuous, "CALL near", "call $+5", "a call", {0xe8, 0, 0, 0, 0}));
}

std::vector<Instruction> make_instructions() {
  std::vector<Instruction> all;
  add_tables_and_status(&all);
  add_checks_and_loads(&all);
  add_transfers(&all);
  add_later(&all);
  add_privileged(&all);
  add_innocuous(&all);
  return all;
}

}  // namespace

const char* group_name(Group group) {
  switch (group) {
    case Group::RobinIrvine:
      return "Robin and Irvine";
    case Group::Later:
      return "later";
    case Group::Privileged:
      return "privileged";
    case Group::Innocuous:
      return "innocuous";
  }
  return "?";
}

const std::vector<Instruction>& instructions() {
  static const std::vector<Instruction> kAll = make_instructions();
  return kAll;
}

}  // namespace ringshift::lab
