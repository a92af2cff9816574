#include "monitor/command/reports/host_facts.h"

#include <cpuid.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>

#include "monitor/command/reports/host_probes.h"
#include "monitor/direct/direct_process.h"
#include "monitor/host/control_group.h"
#include "monitor/host/sandbox/confinement.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"
#include "translator/code_arena.h"

namespace ringshift {
namespace {

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(uint32_t leaf) {
  CpuidLeaf result;
  // All zeroes when the processor does not have the leaf.
  __get_cpuid_count(leaf, 0, &result.eax, &result.ebx, &result.ecx, &result.edx);
  return result;
}

void append_register(uint32_t value, std::string* text) {
  std::array<char, sizeof(value)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  text->append(bytes.data(), bytes.size());
}

// SDM 2A CPUID: leaf 0 has the vendor in EBX, EDX, ECX; leaves 80000002H-80000004H the model.
void collect_cpu(HostFacts* facts) {
  const CpuidLeaf vendor = cpuid(0);
  for (uint32_t part : {vendor.ebx, vendor.edx, vendor.ecx}) {
    append_register(part, &facts->cpu_vendor);
  }
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    const CpuidLeaf part = cpuid(leaf);
    for (uint32_t word : {part.eax, part.ebx, part.ecx, part.edx}) {
      append_register(word, &facts->cpu_model);
    }
  }
  facts->cpu_model = facts->cpu_model.c_str();  // cut at the first zero byte
  while (!facts->cpu_model.empty() && facts->cpu_model.front() == ' ') {
    facts->cpu_model.erase(0, 1);
  }
  facts->sse42 = (cpuid(1).ecx & (1U << 20)) != 0;
  facts->bmi2 = (cpuid(7).ebx & (1U << 8)) != 0;
  facts->lahf64 = (cpuid(0x80000001).ecx & 1U) != 0;
  constexpr uint64_t kHwcap2FsGsBase = 1U << 1;
  facts->fsgsbase = (getauxval(AT_HWCAP2) & kHwcap2FsGsBase) != 0;
}

HostAnswer answer(const HostResult& result) {
  return {result.ok(), result.ok() ? "" : result.text()};
}

HostAnswer try_memfd() {
  int descriptor = -1;
  const HostResult made = create_memfd("ringshift-doctor", kPageSize, &descriptor);
  close_descriptor(descriptor);
  return answer(made);
}

HostAnswer try_code_arena() {
  std::string error;
  const auto arena = CodeArena::create(1U << 20, &error);
  return {arena != nullptr, error};
}

HostAnswer try_code() {
  const std::optional<uint64_t> found = ask_child([]() -> std::optional<uint64_t> {
    static constexpr std::array<uint8_t, 6> kReturn42 = {0xb8, 42, 0, 0, 0, 0xc3};
    std::string error;
    const auto arena = CodeArena::create(1U << 20, &error);
    if (arena == nullptr) return std::nullopt;
    const CodeExecuteView at = arena->publish(kReturn42, 1);
    return reinterpret_cast<uint64_t (*)()>(at.address)();
  });
  const bool ok = found == 42;
  return {ok, ok ? "" : "code in the executable view does not run"};
}

HostAnswer try_direct_execution() {
  std::string why;
  int ram = -1;
  if (!create_memfd("ringshift-doctor", kPageSize, &ram).ok()) return {false, "no memfd"};
  const bool ok = DirectHost::create(ram, CpuidGuard::Auto, &why) != nullptr;
  close_descriptor(ram);
  return {ok, why};
}

HostAnswer try_reservation(uint64_t bytes) {
  HostAddress at;
  const HostResult made = reserve(bytes, kPageSize, &at);
  if (made.ok()) (void)release(at, bytes);
  return answer(made);
}

HostAnswer try_timer() {
  std::string error;
  const auto clock = HostClock::create(&error);
  return {clock != nullptr, error};
}

std::optional<uint64_t> number_in(const char* path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> effective_capabilities() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t value = 0;
    if (word == "CapEff:" && (status >> std::hex >> value)) return value;
  }
  return std::nullopt;
}

void collect_limits(HostFacts* facts) {
  facts->max_map_count = number_in("/proc/sys/vm/max_map_count");
  facts->mmap_min_addr = number_in("/proc/sys/vm/mmap_min_addr");
  facts->overcommit_memory = number_in("/proc/sys/vm/overcommit_memory");
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    facts->address_space_limit = limit.rlim_cur;
  }
  facts->user_id = getuid();
  facts->capabilities = effective_capabilities();
}

// In a child: it is for good.
void try_confinement(HostFacts* facts) {
  const std::optional<uint64_t> found = ask_child([]() -> std::optional<uint64_t> {
    const ConfinementOutcome outcome = confine_this_process();
    return static_cast<uint64_t>(outcome.landlock) << 1 | (outcome.system_calls ? 1U : 0U);
  });
  facts->sandbox_filter = (found.value_or(0) & 1) != 0;
  facts->landlock_version = static_cast<int>(found.value_or(0) >> 1);
}

}  // namespace

HostFacts collect_host_facts() {
  HostFacts facts;
  collect_cpu(&facts);
  facts.memfd = try_memfd();
  facts.code_arena = try_code_arena();
  facts.code_runs = try_code();
  facts.window = try_reservation(kWindowReservationBytes);
  facts.many_windows = try_reservation(kManyWindowsBytes);
  facts.timer = try_timer();
  collect_limits(&facts);
  facts.signal_nanoseconds = ask_child(measure_signal);
  facts.mapping_nanoseconds = ask_child(measure_mapping);
  facts.compatibility_mode = ask_child(run_compatibility_mode).has_value();
  facts.cpuid_faulting = ask_child(set_cpuid_faulting).has_value();
  facts.direct_execution = try_direct_execution();
  try_confinement(&facts);
  if (const auto group = find_delegated_group()) facts.delegated_group = group->folder;
  struct stat kvm {};
  facts.kvm_device = stat("/dev/kvm", &kvm) == 0;
  return facts;
}

}  // namespace ringshift
