// HostProcessor: the assembler's knowledge of the host's processor, which it gathers once, from
// CPUID and from a file of the host's. Asmjit keeps it. See docs/security.md, "The monitor itself".
#pragma once

namespace ringshift {

void look_at_host_processor();

}  // namespace ringshift
