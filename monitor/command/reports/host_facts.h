// HostFacts: the facilities that this host offers, found out by asking and, where asking is not
// enough, by trying. A probe that could kill or change the process runs in a child process. See
// docs/usage.md, "doctor".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ringshift {

// Whether the host agreed to something, and its words if not.
struct HostAnswer {
  bool ok = false;
  std::string error;
};

// The default values are those of a host that offers nothing.
struct HostFacts {
  std::string cpu_vendor;  // empty: not an x86-64 processor we can ask
  std::string cpu_model;
  bool sse42 = false;
  bool lahf64 = false;  // LAHF and SAHF in 64-bit mode
  bool bmi2 = false;
  bool fsgsbase = false;  // the processor has it and the kernel allows it to user code

  HostAnswer memfd;
  HostAnswer code_arena;    // a writable and an executable view of the same pages
  HostAnswer code_runs;     // code written through the one runs through the other
  HostAnswer window;        // address space for one supervisor window with its guard zones
  HostAnswer many_windows;  // kManyWindowsBytes of address space
  HostAnswer timer;         // timer_create with SIGEV_THREAD_ID

  std::optional<uint64_t> max_map_count;
  std::optional<uint64_t> mmap_min_addr;
  std::optional<uint64_t> overcommit_memory;
  std::optional<uint64_t> address_space_limit;  // RLIMIT_AS; none: unlimited

  std::optional<uint64_t> signal_nanoseconds;   // SIGSEGV to handler and back, median
  std::optional<uint64_t> mapping_nanoseconds;  // mmap of one page over another, median

  bool compatibility_mode = false;  // 32-bit code through CS 0x23
  bool cpuid_faulting = false;      // arch_prctl(ARCH_SET_CPUID)
  HostAnswer direct_execution;      // a sandboxed process for user code
  bool sandbox_filter = false;      // a filter of system calls for the monitor itself
  int landlock_version = 0;         // in force for the monitor itself; 0: none
  std::string delegated_group;      // a control group that machines may have groups in; or empty
  bool kvm_device = false;
  uint32_t user_id = 0;
  std::optional<uint64_t> capabilities;  // effective, as bits
};

// Address space one window takes: 4 GiB, and 4 GiB of guard zone on either side; and enough of it
// for a window for each of several user programs.
inline constexpr uint64_t kWindowReservationBytes = uint64_t{12} << 30;
inline constexpr uint64_t kManyWindowsBytes = uint64_t{128} << 30;

[[nodiscard]] HostFacts collect_host_facts();

}  // namespace ringshift
