#include "monitor/lab/ways/ways.h"

#include <x86intrin.h>

#include <algorithm>
#include <memory>

#include "monitor/lab/lockstep/run_limit.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/parts/serial_capture.h"
#include "shadowmmu/base/counters.h"

namespace ringshift::lab {
namespace {

// How often guest code has given way to the monitor: a callout that then leaves is one.
uint64_t entries_so_far() {
  const Counters& count = counters();
  return count.callouts + count.exit_unlinked + count.exit_indirect + count.exit_interpret +
         count.exit_soft_miss + count.exit_host_fault + count.exit_event_window +
         count.exit_ensure_fpu + count.trap_stops;
}

// The guest's marks.
class Marks final : public BusTap {
 public:
  explicit Marks(Way* way) : way_(way) {}
  void watch(const GuestState* state) { state_ = state; }
  [[nodiscard]] size_t measured() const { return measured_; }
  void on_read(uint64_t, AccessWidth, uint64_t) override {}
  void on_write(uint64_t port, AccessWidth, uint64_t value) override {
    constexpr uint64_t kMarkPort = 0x80, kBegin = 0x80, kGood = 0x40, kNumber = 0x3f;
    if (port != kMarkPort || (value & kNumber) >= kWaysOperations.size()) return;
    if ((value & kBegin) == 0) return end(value & kNumber, (value & kGood) != 0);
    entries_ = entries_so_far();
    began_ = __rdtsc();
  }

 private:
  void end(size_t number, bool is_good) {
    const uint64_t cycles = __rdtsc() - began_;
    const double times = kWaysOperations[number].times;
    WaysCell& cell = way_->cells[number];
    const double each = static_cast<double>(cycles) / times;
    const bool is_right = is_good && (state_->eflags & kFlagIf) != 0;
    cell.cycles = cell.is_measured ? std::min(cell.cycles, each) : each;
    cell.is_right = cell.is_measured ? cell.is_right && is_right : is_right;
    // The mark itself is one.
    cell.entries = static_cast<double>(entries_so_far() - entries_ - 1) / times;
    cell.is_measured = true;
    ++measured_;
  }

  Way* way_;
  const GuestState* state_ = nullptr;
  uint64_t entries_ = 0, began_ = 0;
  size_t measured_ = 0;
};

bool run_way(const MachineConfig& base, Engine engine, double seconds, Way* way,
             std::string* error) {
  const SerialCapture serial;
  if (!serial.ok()) {
    *error = "no temporary file for the serial line";
    return false;
  }
  MachineConfig config = base;
  config.vcpu.engine = engine;
  config.vcpu.user = UserEngine::Translate;
  config.cpu.paravirt = way->calls ? Paravirt::Ringshift : Paravirt::None;
  config.boot.command_line = way->calls ? kCallingWay : kNativeWay;
  config.memory_bytes = 16U << 20;
  serial.attach(&config);
  Marks marks(way);
  const std::unique_ptr<Machine> machine = Machine::create(config, error);
  if (machine == nullptr) return false;
  marks.watch(&machine->state());
  machine->set_tap(&marks, nullptr, nullptr);
  const RunLimit limit(*machine, seconds);
  const MachineOutcome outcome = machine->run();
  if (marks.measured() != kWaysOperations.size()) way->problem = end_of(outcome);
  return true;
}

Engine engine_of(const Way& way) {
  return std::string_view(way.engine) == "trap" ? Engine::Trap : Engine::Translate;
}

}  // namespace

// SDM 3C, "Instructions That Cause VM Exits" and "Other Causes of VM Exits"; AMD's manual 2, "Guest
// Mode Operation", is alike in these.
const std::array<CitedCost, kWaysOperations.size()>& cited_costs() {
  static constexpr std::array<CitedCost, kWaysOperations.size()> kCosts = {{
      {0, "CLI, PUSHF and POPF act on the guest's own EFLAGS"},
      {0, "INT and IRET go through the guest's own IDT and rings"},
      {0, "with nested page tables INVLPG and the guest's entries are its own; page faults, too"},
      {0, "with nested page tables MOV CR3 is the guest's own"},
      {5, "three OUT to the timer, HLT, one OUT to the interrupt controller"},
      {64, "an OUT for each character"},
  }};
  return kCosts;
}

bool measure_ways(const MachineConfig& base, double seconds, WaysReport* report,
                  std::string* error) {
  constexpr int kRuns = 3;
  const std::unique_ptr<ImageFile> image = ImageFile::create(ways_guest(), error);
  if (image == nullptr) return false;
  MachineConfig config = base;
  config.boot = {};
  config.boot.kernel_path = image->path();
  report->ways = {
      {.name = "translated", .engine = "translate", .calls = false, .problem = {}, .cells = {}},
      {.name = "calling, translated",
       .engine = "translate",
       .calls = true,
       .problem = {},
       .cells = {}},
      {.name = "calling, deprivileged",
       .engine = "trap",
       .calls = true,
       .problem = {},
       .cells = {}},
      {.name = "trap-and-emulate", .engine = "trap", .calls = false, .problem = {}, .cells = {}}};
  for (Way& way : report->ways) {
    for (int run = 0; run < kRuns && way.problem.empty(); ++run) {
      const Engine engine = engine_of(way);
      if (run_way(config, engine, seconds, &way, error)) continue;
      // A host that runs no 32-bit code can still translate it.
      if (engine != Engine::Trap) return false;
      way.problem = *error;
    }
  }
  return true;
}

}  // namespace ringshift::lab
