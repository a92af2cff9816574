#include "monitor/lab/neighbours/neighbours.h"

#include <sched.h>

#include <array>
#include <barrier>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "monitor/host/shared_cpu.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/lab/parts/progress.h"
#include "monitor/lab/parts/serial_capture.h"

namespace ringshift::lab {
namespace {

constexpr Nanoseconds kRun = 700'000'000;
constexpr uint64_t kMemory = uint64_t{8} << 20;
constexpr unsigned kLimit = 25;
constexpr double kNanoseconds = 1e9;

struct Attack {
  const char* name;
  NeighbourWay way;
  unsigned limit;
};

constexpr std::array<Attack, 7> kAttacks{{
    {"computes", NeighbourWay::Computes, 0},
    {"takes interrupts without end", NeighbourWay::TakesInterrupts, 0},
    {"prints without end", NeighbourWay::Prints, 0},
    {"changes its own code", NeighbourWay::ChangesItsCode, 0},
    {"writes all over its memory", NeighbourWay::WritesRam, 0},
    {"computes, with a limit", NeighbourWay::Computes, kLimit},
    {"changes its own code, with a limit", NeighbourWay::ChangesItsCode, kLimit},
}};

// One machine on one thread: made, then run from the moment that all are ready.
class Side {
 public:
  Side(const MachineConfig& config, NeighbourWay way, unsigned limit)
      : config_(config), image_(neighbour_guest(way)) {
    config_.memory_bytes = kMemory;
    config_.vcpu.user = UserEngine::Translate;
    config_.vcpu.cpu_percent = limit;
  }

  void run(int cpu, std::barrier<>* ready) {
    const bool is_there = make(cpu);
    ready->arrive_and_wait();
    if (!is_there) return;
    std::optional<ClockTimer> end(std::in_place, machine_->clock(), [this](Nanoseconds) {
      machine_->request_stop(StopReason::Quit);
    });
    end->arm(machine_->clock().now() + kRun);
    const Nanoseconds began = HostClock::monotonic(), used = HostClock::thread_time();
    const uint32_t before = rounds();
    (void)machine_->run();
    used_ = static_cast<double>(HostClock::thread_time() - used) / kNanoseconds;
    seconds_ = static_cast<double>(HostClock::monotonic() - began) / kNanoseconds;
    rounds_ = rounds() - before;
    end.reset();
    machine_.reset();
  }

  [[nodiscard]] double used() const { return used_; }
  [[nodiscard]] double seconds() const { return seconds_; }
  [[nodiscard]] uint32_t rounds_done() const { return rounds_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] bool make(int cpu) {
    if (!move_to_cpu(cpu)) {
      problem_ = "the host does not let a thread choose its CPU";
      return false;
    }
    file_ = ImageFile::create(image_, &problem_);
    if (file_ == nullptr) return false;
    config_.boot = {};
    config_.boot.kernel_path = file_->path();
    serial_.attach(&config_);
    machine_ = Machine::create(config_, &problem_);
    return machine_ != nullptr;
  }
  [[nodiscard]] uint32_t rounds() {
    uint32_t count = 0;
    std::memcpy(&count, machine_->memory().at(GuestPhysical(kNeighbourRoundsAt)), sizeof count);
    return count;
  }

  MachineConfig config_;
  std::vector<uint8_t> image_;
  std::unique_ptr<ImageFile> file_;
  const SerialCapture serial_;
  std::unique_ptr<Machine> machine_;
  std::string problem_;
  double used_ = 0, seconds_ = 0;
  uint32_t rounds_ = 0;
};

bool run_beside(const MachineConfig& config, const Attack* attack, NeighbourRun* out,
                std::string* error) {
  const int cpu = sched_getcpu();
  std::barrier<> ready(attack != nullptr ? 2 : 1);
  Side own(config, NeighbourWay::Computes, 0);
  std::optional<Side> other;
  std::thread beside;
  if (attack != nullptr) {
    other.emplace(config, attack->way, attack->limit);
    beside = std::thread([&] { other->run(cpu, &ready); });
  }
  std::thread worker([&] { own.run(cpu, &ready); });
  worker.join();
  if (beside.joinable()) beside.join();
  *error = !own.problem().empty() || !other ? own.problem() : other->problem();
  *out = {.doing = attack != nullptr ? attack->name : "nothing",
          .limit = attack != nullptr ? attack->limit : 0,
          .seconds = own.seconds(),
          .own = own.used(),
          .others = other ? other->used() : 0,
          .rounds = own.rounds_done(),
          .others_rounds = other ? other->rounds_done() : 0};
  return error->empty();
}

}  // namespace

bool measure_neighbours(const MachineConfig& config, std::vector<NeighbourRun>* runs,
                        std::string* error) {
  note_step("alone on a CPU");
  NeighbourRun alone;
  if (!run_beside(config, nullptr, &alone, error)) return false;
  runs->push_back(alone);
  for (const Attack& attack : kAttacks) {
    note_step(attack.name);
    NeighbourRun run;
    if (!run_beside(config, &attack, &run, error)) return false;
    runs->push_back(run);
  }
  return true;
}

}  // namespace ringshift::lab
