// CHECK / DCHECK / UNREACHABLE: our own mistakes stop the monitor; they are never logged and limped
// past. Owns: the failure hook. On in release builds: an invariant that is only checked in tests is
// a hope. A guest can never make a CHECK fail (that would be our bug).
#pragma once

namespace ringshift {

// Called once before the process aborts, if this thread has failed, to print a fact that only the
// monitor knows: the guest's state. Must not allocate much and must not return into the failed
// code.
using CheckHook = void (*)();
void set_check_hook(CheckHook hook);

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace ringshift

#define CHECK(condition)                                         \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::ringshift::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition) \
  do {                    \
  } while (false && (condition))
#else
#define DCHECK(condition) CHECK(condition)
#endif

#define UNREACHABLE() ::ringshift::check_failed("unreachable", __FILE__, __LINE__)
