// Traced: the words that the files about processes under ptrace share: segment selectors of user
// code, the options they are traced with, and the call itself.
#pragma once

#include <sys/ptrace.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

namespace ringshift {

// Linux's segment selectors for user code (arch/x86/include/asm/segment.h).
inline constexpr uint64_t kUserCode32 = 0x23;
inline constexpr uint64_t kUserCode64 = 0x33;
inline constexpr uint64_t kUserData = 0x2b;

inline constexpr int kTraceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD |
                                     PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;

[[nodiscard]] inline std::string errno_text() { return std::generic_category().message(errno); }

inline long trace(int request, pid_t id, const void* address, const void* data) {
  return ptrace(static_cast<__ptrace_request>(request), id, const_cast<void*>(address),
                const_cast<void*>(data));
}

}  // namespace ringshift
