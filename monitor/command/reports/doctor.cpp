#include "monitor/command/reports/doctor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "monitor/host/sandbox/confinement.h"

namespace ringshift {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
// Linux's default vm.max_map_count; the windows share it out.
constexpr uint64_t kUsualMappings = 65530;

// A facility no guest runs without.
Finding needed(std::string name, const HostAnswer& answer, std::string note) {
  Finding finding{std::move(name), Verdict::Ok, true, "yes", std::move(note)};
  if (!answer.ok) {
    finding.verdict = Verdict::Missing;
    finding.value = answer.error.empty() ? "no" : answer.error;
  }
  return finding;
}

// A feature that something slower replaces where it is missing.
Finding useful(std::string name, bool there, std::string note, std::string otherwise) {
  if (there) return {std::move(name), Verdict::Ok, false, "yes", std::move(note)};
  return {std::move(name), Verdict::Slower, false, "no", std::move(otherwise)};
}

// A facility that only direct execution uses.
Finding optional_for_direct(std::string name, bool there, std::string note) {
  return {std::move(name), there ? Verdict::Ok : Verdict::Missing, false, there ? "yes" : "no",
          std::move(note)};
}

void examine_cpu(const HostFacts& facts, std::vector<Finding>* out) {
  Finding cpu{"cpu", Verdict::Ok, true, facts.cpu_vendor + " " + facts.cpu_model, "x86-64"};
  if (facts.cpu_vendor.empty()) cpu = {"cpu", Verdict::Missing, true, "unknown", "x86-64 only"};
  out->push_back(std::move(cpu));
  Finding lahf{"lahf", Verdict::Ok, !facts.bmi2, "yes", "stubs without BMI2 keep flags with it"};
  if (!facts.lahf64) {
    lahf.verdict = Verdict::Missing;
    lahf.value = "no";
    if (facts.bmi2) lahf.note = "not needed beside BMI2";
  }
  out->push_back(std::move(lahf));
  out->push_back(useful("bmi2", facts.bmi2, "soft accesses use RORX and SHRX",
                        "soft accesses use LAHF and SAHF"));
  out->push_back(useful("sse4.2", facts.sse42, "as the guest's processor has it",
                        "run guests with --cpu model=pentium3"));
}

void examine_memory(const HostFacts& facts, std::vector<Finding>* out) {
  out->push_back(needed("memfd", facts.memfd, "guest RAM and translated code live in memfds"));
  out->push_back(needed("executable-mapping", facts.code_arena,
                        "the same pages once writable, once executable"));
  out->push_back(
      needed("generated-code", facts.code_runs, "what the one view writes the other runs"));
  out->push_back(needed("window", facts.window,
                        fmt::format("{} GiB of address space for the supervisor window",
                                    kWindowReservationBytes / kGiB)));
  out->push_back(useful("address-space", facts.many_windows.ok,
                        fmt::format("{} GiB can be reserved", kManyWindowsBytes / kGiB),
                        fmt::format("{} GiB cannot be reserved ({}): few windows",
                                    kManyWindowsBytes / kGiB, facts.many_windows.error)));
}

Finding mapping_count(const std::optional<uint64_t>& limit) {
  Finding finding{"vm.max_map_count", Verdict::Ok, false, "unknown",
                  fmt::format("windows are made for {}", kUsualMappings)};
  if (!limit) return finding;
  finding.value = fmt::format("{}", *limit);
  if (*limit < kUsualMappings) {
    finding.verdict = Verdict::Slower;
    finding.note += ": accesses beyond the limit are interpreted";
  }
  return finding;
}

Finding overcommit(const std::optional<uint64_t>& mode) {
  constexpr uint64_t kStrict = 2;
  Finding finding{"vm.overcommit_memory", Verdict::Ok, false, "unknown",
                  "guest RAM is counted as it is touched"};
  if (mode) finding.value = fmt::format("{}", *mode);
  if (mode == kStrict) finding.note = "strict: large guests may be refused memory";
  return finding;
}

Finding address_space_limit(const std::optional<uint64_t>& limit) {
  Finding finding{"rlimit-as", Verdict::Ok, false, "unlimited", "nothing to reckon with"};
  if (!limit) return finding;
  finding.value = fmt::format("{} MiB", *limit >> 20);
  finding.note = "enough for windows";
  if (*limit < kManyWindowsBytes) {
    finding.verdict = Verdict::Slower;
    finding.note = "limits windows: ulimit -v unlimited";
  }
  if (*limit < kWindowReservationBytes) {
    finding.verdict = Verdict::Missing;
    finding.needed = true;
    finding.note = "too little for one window: ulimit -v unlimited";
  }
  return finding;
}

void examine_limits(const HostFacts& facts, std::vector<Finding>* out) {
  out->push_back(mapping_count(facts.max_map_count));
  out->push_back({"vm.mmap_min_addr", Verdict::Ok, false,
                  facts.mmap_min_addr ? fmt::format("{}", *facts.mmap_min_addr) : "unknown",
                  "no window depends on low addresses"});
  out->push_back(overcommit(facts.overcommit_memory));
  out->push_back(address_space_limit(facts.address_space_limit));
}

Finding cost(std::string name, const std::optional<uint64_t>& nanoseconds, uint64_t expected,
             bool is_needed, const char* what) {
  Finding finding{std::move(name), Verdict::Ok, is_needed, "", what};
  if (!nanoseconds) {
    finding.verdict = Verdict::Missing;
    finding.value = "not measurable";
    return finding;
  }
  finding.value = fmt::format("{:.1f} us", static_cast<double>(*nanoseconds) / 1000.0);
  if (*nanoseconds > expected) {
    finding.verdict = Verdict::Slower;
    finding.note +=
        fmt::format("; {:.0f} us or less is usual", static_cast<double>(expected) / 1000);
  }
  return finding;
}

void examine_costs(const HostFacts& facts, std::vector<Finding>* out) {
  constexpr uint64_t kUsualSignal = 6000;
  constexpr uint64_t kUsualMapping = 8000;
  out->push_back(needed("timer", facts.timer, "a timer that signals the vCPU's thread"));
  out->push_back(cost("signal-cost", facts.signal_nanoseconds, kUsualSignal, true,
                      "SIGSEGV and back, each hidden fault"));
  out->push_back(cost("mapping-cost", facts.mapping_nanoseconds, kUsualMapping, true,
                      "mmap of one page, each hidden fault"));
}

// Reports which rights the monitor keeps while a guest runs. Guests run without a sandbox, too.
void examine_sandbox(const HostFacts& facts, std::vector<Finding>* out) {
  Finding filter{"sandbox-seccomp", Verdict::Ok, false, "yes",
                 "a running machine has only the system calls it needs"};
  if (!facts.sandbox_filter) {
    filter.verdict = Verdict::Missing;
    filter.value = "no";
    filter.note = can_be_confined() ? "a running machine keeps every system call"
                                    : "not in a build with a sanitizer";
  }
  out->push_back(std::move(filter));
  constexpr int kWithSignals = 6;
  Finding landlock{"sandbox-landlock", Verdict::Ok, false,
                   fmt::format("version {}", facts.landlock_version),
                   "the file system, TCP and signals to others are closed a second time"};
  if (facts.landlock_version == 0) {
    landlock.verdict = Verdict::Missing;
    landlock.value = "no";
    landlock.note = "seccomp stands alone";
  } else if (facts.landlock_version < kWithSignals) {
    landlock.note = "the file system is closed a second time";
  }
  out->push_back(std::move(landlock));
}

void examine_the_rest(const HostFacts& facts, std::vector<Finding>* out) {
  out->push_back(optional_for_direct("fsgsbase", facts.fsgsbase, "for direct execution only"));
  out->push_back(optional_for_direct("compatibility-mode", facts.compatibility_mode,
                                     "32-bit code through CS 0x23; for direct execution only"));
  out->push_back(useful("cpuid-faulting", facts.cpuid_faulting,
                        "trapping CPUID; for direct execution only",
                        "pages that hold the opcode of CPUID do not run directly"));
  Finding direct{"direct-execution", Verdict::Ok, false, "yes",
                 "user code that computes runs on the processor itself"};
  if (!facts.direct_execution.ok) {
    direct.verdict = Verdict::Slower;
    direct.value = "no";
    direct.note = "user code runs translated: " + facts.direct_execution.error;
  }
  out->push_back(std::move(direct));
  const bool has_group = !facts.delegated_group.empty();
  out->push_back({"control-group", Verdict::Ok, false, has_group ? facts.delegated_group : "none",
                  has_group ? "limits hold for all threads of a machine together"
                            : "limits are kept by the virtual CPU itself and by nice levels"});
  out->push_back({"kvm", Verdict::Ok, false, facts.kvm_device ? "present" : "absent", "not used"});
  std::string who = facts.user_id == 0 ? "root" : fmt::format("uid {}", facts.user_id);
  if (facts.capabilities) {
    who += *facts.capabilities == 0 ? ", no capabilities"
                                    : fmt::format(", capabilities {:#x}", *facts.capabilities);
  }
  out->push_back({"privilege", Verdict::Ok, false, who, "none needed"});
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::Ok:
      return "ok";
    case Verdict::Slower:
      return "slower";
    case Verdict::Missing:
      return "missing";
  }
  return "?";
}

std::vector<Finding> examine(const HostFacts& facts) {
  std::vector<Finding> findings;
  examine_cpu(facts, &findings);
  examine_memory(facts, &findings);
  examine_limits(facts, &findings);
  examine_costs(facts, &findings);
  examine_sandbox(facts, &findings);
  examine_the_rest(facts, &findings);
  return findings;
}

bool is_usable(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    if (finding.needed && finding.verdict == Verdict::Missing) return false;
  }
  return true;
}

std::string findings_as_text(const std::vector<Finding>& findings) {
  std::string text;
  std::string lacking;
  for (const Finding& finding : findings) {
    const bool fatal = finding.needed && finding.verdict == Verdict::Missing;
    text += fmt::format(
        "{:<8} {:<22} {}; {}{}\n", verdict_name(finding.verdict), finding.name, finding.value,
        finding.note,
        finding.verdict == Verdict::Missing ? (fatal ? " (needed)" : " (not needed)") : "");
    if (fatal) lacking += (lacking.empty() ? "" : ", ") + finding.name;
  }
  return text + (lacking.empty() ? "guests can run on this host\n"
                                 : "guests cannot run on this host: " + lacking + "\n");
}

std::string findings_as_json(const std::vector<Finding>& findings) {
  nlohmann::ordered_json out;
  out["usable"] = is_usable(findings);
  out["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    out["findings"].push_back({{"name", finding.name},
                               {"verdict", verdict_name(finding.verdict)},
                               {"needed", finding.needed},
                               {"value", finding.value},
                               {"note", finding.note}});
  }
  // The processor's name comes from the host: bytes that are not UTF-8 must not throw.
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace ringshift
