// Direct sandbox: the child's steps between fork and the first instruction of the stub. The stub,
// the addresses and the filter of a policy are fixed. Keeps: S1 S2. See docs/security.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "monitor/direct/sandboxed_process.h"

namespace ringshift {

// The address of the sandboxed process's own code and data, above all 32-bit addresses.
inline constexpr uint64_t kDirectStubAddress = uint64_t{1} << 46;
inline constexpr uint64_t kDirectCommandsAddress = kDirectStubAddress + 0x1000;
inline constexpr size_t kDirectCommands = 1023;
inline constexpr size_t kDirectCommandBytes = size_t{64} * 1024;
inline constexpr uint64_t kDirectEnd = kDirectCommandsAddress + kDirectCommandBytes;
inline constexpr int kDirectRamDescriptor = 3;  // in the child

// Never returns: ends in the stub, traced, or exits with a status that sandbox_failure explains.
struct DirectSandbox {
  int ram;  // descriptors: guest RAM, the command page,
  int commands;
  int go;  // and a pipe from which a byte comes once the parent traces us
  int parent;
  SandboxPolicy policy;
};
[[noreturn]] void enter_direct_sandbox(const DirectSandbox& made);
[[nodiscard]] std::string sandbox_failure(int exit_status);

}  // namespace ringshift
