#include "monitor/command/run_surroundings.h"

#include <unistd.h>

#include "monitor/host/children/child_processes.h"
#include "monitor/host/sandbox/confinement.h"

namespace ringshift {
namespace {

bool open_network(RunOptions* options, RunSurroundings* around, std::string* error) {
  MachineConfig& machine = options->machine;
  // A replay has its network from the tape.
  if (machine.network.kind == NetworkRequest::Kind::None || !options->replay.folder.empty()) {
    return true;
  }
  const bool is_confined = options->sandbox != Sandbox::Off && can_be_confined();
  around->network = NetworkLink::open(
      machine.network, is_confined ? SlirpProcess::Walls::Up : SlirpProcess::Walls::Down, error);
  machine.network_link = around->network.get();
  return around->network != nullptr;
}

bool open_incoming(RunOptions* options, RunSurroundings* around, std::string* error) {
  if (options->migration.incoming.empty()) return true;
  around->incoming = MigrationListener::create(options->migration.incoming, error);
  options->machine.incoming = around->incoming.get();
  return around->incoming != nullptr;
}

bool open_share(RunOptions* options, RunSurroundings* around, std::string* error) {
  options->machine.share = options->share_request;
  // A replay has its folder from the tape.
  if (options->share_request.folder.empty() || !options->replay.folder.empty()) return true;
  around->share = ShareLink::open(
      options->share_request,
      options->sandbox != Sandbox::Off ? ShareServer::Walls::Up : ShareServer::Walls::Down, error);
  options->machine.share_link = around->share.get();
  return around->share != nullptr;
}

FixedMemory fixed_memory(const MachineConfig& machine) {
  return {machine.memory_bytes, machine.translator.arena_bytes,
          machine.network.kind == NetworkRequest::Kind::User};
}

}  // namespace

bool RunSurroundings::open(RunOptions* options, std::string* error) {
  const FixedMemory fixed = fixed_memory(options->machine);
  options->machine.memory_min =
      (options->limits.memory_min + kPageSize - 1) / kPageSize * kPageSize;
  if (!limit_processor(options->limits, options->machine.vcpu.cpu_percent, error) ||
      !is_enough_memory(options->limits, fixed, error) || !sandbox.prepare(*options, error)) {
    return false;
  }
  {
    const NetworkMemoryLimit limit(options->limits);
    if (!open_network(options, this, error)) return false;
  }
  if (network != nullptr) network->limit_to(options->limits.network_rate);
  const bool is_open =
      open_incoming(options, this, error) && open_share(options, this, error) &&
      open_media(options->media, &options->machine.media, error) &&
      ports.open(&options->machine.ports, options->replica.from == nullptr, error) &&
      tape.open(options, error) && replica.open(options, error) &&
      pid_file.write(options->pid_file, error);
  if (!options->machine.event_clock.is_used()) options->machine.media.work_beside_guest();
  limit_disks(options->limits, &options->machine.media);
  if (options->machine.vcpu.cpu_percent != 0) {
    std::vector<int>& counted = options->machine.vcpu.counted;
    counted = child_processes();
    counted.push_back(getpid());
    if (const std::optional<int> keeper = keeper_process()) counted.push_back(*keeper);
  }
  return is_open && limit_memory(options->limits, fixed, error);
}

}  // namespace ringshift
