// first_sensitive: whether something that must never run natively has come out as itself.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "translator/disassemble.h"
#include "translator/emitted_code.h"

namespace ringshift {

// The first host instruction of the unit that no family emits; empty if there is none.
inline std::string first_sensitive(const EmittedCode& code) {
  static constexpr std::array<std::string_view, 47> kBanned = {
      "syscall", "sysenter", "sysexit", "sysret", "int",      "int1",   "cpuid",    "rdtsc",
      "rdtscp",  "hlt",      "cli",     "sti",    "in",       "out",    "insb",     "outsb",
      "lgdt",    "sgdt",     "lidt",    "sidt",   "sldt",     "str",    "smsw",     "lmsw",
      "lar",     "lsl",      "verr",    "verw",   "iretd",    "iretq",  "iret",     "xgetbv",
      "rdrand",  "rdseed",   "rdpkru",  "wrpkru", "rdfsbase", "swapgs", "wrfsbase", "wrgsbase",
      "fxsave",  "fxrstor",  "xsave",   "xrstor", "xbegin",   "retf",   "jmp far"};
  for (uint32_t offset = 0; offset < code.cold;) {
    const HostInstruction host = disassemble_host(code.bytes, offset);
    if (host.length == 0) return "no instruction at +" + std::to_string(offset);
    const std::string_view text = host.text;
    const std::string_view mnemonic = text.substr(0, text.find(' '));
    const bool loads_far = mnemonic == "lfs" || mnemonic == "lgs" || mnemonic == "lss";
    const bool is_banned = std::find(kBanned.begin(), kBanned.end(), mnemonic) != kBanned.end();
    if (is_banned || loads_far || text.starts_with("jmp far") || text.starts_with("call far")) {
      return host.text;
    }
    offset += host.length;
  }
  return "";
}

}  // namespace ringshift
