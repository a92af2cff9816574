// Machine, ninth part: the objects that outlive it, from one life of its guest to the next.
#include "monitor/machine/machine.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {

// While we are small: a process that is forked from us now copies little. A host without direct
// execution is no error unless the user asked for it: `doctor` and --stats tell.
bool Machine::prepare_direct(const MachineConfig& config, MachineFoundation* foundation,
                             std::string* error) {
  const VcpuConfig& vcpu = config.vcpu;
  if (vcpu.engine != Engine::Translate || vcpu.user == UserEngine::Translate) return true;
  std::string why;
  foundation->direct_host =
      DirectHost::create(foundation->memory->descriptor(), config.cpuid_guard, &why);
  counters().direct_offered = foundation->direct_host != nullptr ? 1 : 0;
  if (foundation->direct_host != nullptr || vcpu.user != UserEngine::Direct) return true;
  *error = "--user direct: " + why;
  return false;
}

bool Machine::lay_foundation(const MachineConfig& config, MachineFoundation* foundation,
                             std::string* error) {
  foundation->memory = GuestMemory::create(config.memory_bytes, error);
  if (foundation->memory == nullptr) return false;
  if (const HostResult result = foundation->memory->reserve(config.memory_min); !result.ok()) {
    *error = "--limit: the host cannot give memory-min=" + std::to_string(config.memory_min >> 20) +
             "M: " + result.text();
    return false;
  }
  if (!prepare_direct(config, foundation, error)) return false;
  if (config.cpu.paravirt != Paravirt::None) foundation->run_delay = RunDelay::of_this_thread();
  if (config.vcpu.engine != Engine::Trap) return true;
  for (std::shared_ptr<lab::Tracee>& tracee : foundation->tracees) {
    tracee = lab::Tracee::create(foundation->memory->descriptor(), error);
    if (tracee == nullptr) return false;
  }
  return true;
}

bool Machine::stand_on_foundation(std::string* error) {
  if (config_.foundation == nullptr) {
    if (!lay_foundation(config_, &own_foundation_, error)) return false;
    config_.foundation = &own_foundation_;
  }
  memory_ = config_.foundation->memory.get();
  return true;
}

}  // namespace ringshift
