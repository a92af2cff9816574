#include "monitor/lab/paging.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/parts/guests/guest_code.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/vcpu/execution_observer.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/walker.h"

namespace ringshift::lab {
namespace {

constexpr size_t kMostEvents = 160;

// One line of /proc/self/maps, if it is a piece of the supervisor's window.
bool window_piece(const std::string& line, Machine& machine, PageRun* run) {
  std::istringstream words(line);
  uint64_t start = 0, end = 0, offset = 0;
  char dash = 0;
  std::string rights;
  words >> std::hex >> start >> dash >> end >> rights >> offset;
  if (rights.empty() || rights[0] != 'r') return false;
  const auto linear = machine.processor().data().window_address(start, Privilege::Supervisor);
  if (!linear) return false;
  *run = {linear->value(), static_cast<uint32_t>((end - start) / kPageSize), offset,
          rights[1] == 'w'};
  return true;
}

std::vector<PageRun> shadow_now(Machine& machine) {
  machine.processor().data().settle(Privilege::Supervisor);
  std::vector<PageRun> runs;
  std::ifstream maps("/proc/self/maps");
  PageRun run;
  for (std::string line; std::getline(maps, line);) {
    if (window_piece(line, machine, &run)) runs.push_back(run);
  }
  return runs;
}

bool continues(const PageRun& run, uint64_t linear, const Translation& found) {
  const uint64_t bytes = uint64_t{run.pages} * kPageSize;
  return run.linear + bytes == linear && run.physical + bytes == found.physical.value() &&
         run.writable == found.writable && run.dirty == found.dirty && run.user == found.user;
}

class PagingWatch final : public ExecutionObserver {
 public:
  PagingWatch(PagingReport* report, double seconds)
      : report_(report), seconds_(seconds), started_(HostClock::monotonic()) {}
  void watch(Machine* machine) { machine_ = machine; }

  void before_interpreted(const GuestState& state) override {
    eip_ = state.eip;
    flushes_ = counters().tlb_flushes;
    invalidations_ = counters().tlb_invlpg;
    code_writes_ = counters().trace_writes_code;
  }
  void after_interpreted(const GuestState& state) override {
    if (counters().tlb_invlpg != invalidations_) {
      add(PagingEventKind::Invalidate, vanished_page(), false);
    } else if (counters().tlb_flushes != flushes_) {
      add(PagingEventKind::Flush, state.cr3, false);
    }
    if (counters().trace_writes_code != code_writes_) {
      add(PagingEventKind::CodeWrite, last_address_, true);
    }
    stop_when_due();
  }
  void before_interrupt(const Event&, const GuestState&) override { stop_when_due(); }
  void on_guest_fault(const GuestFault& fault, const GuestState& state) override {
    if (fault.vector != Vector::PageFault) return;
    eip_ = state.eip;
    // The access that the window could not serve is the guest's own fault: both are one event.
    if (!report_->events.empty()) {
      const PagingEvent& last = report_->events.back();
      const bool same =
          last.kind == PagingEventKind::Trace && last.eip == eip_ && last.address == fault.cr2;
      if (same) report_->events.pop_back();
    }
    add(PagingEventKind::TrueFault, fault.cr2, (fault.error_code & kPageFaultWrite) != 0);
  }
  void on_host_fault(FaultKind kind, GuestVirtual address, bool is_write,
                     const GuestState& state) override {
    if (kind == FaultKind::Soft) return;
    eip_ = state.eip;
    last_address_ = address.value();
    add(kind == FaultKind::Hidden ? PagingEventKind::Hidden : PagingEventKind::Trace,
        address.value(), is_write);
  }

 private:
  // The page that INVLPG has removed, found by comparing the host's map before and after; zero if
  // none.
  [[nodiscard]] uint32_t vanished_page() const {
    if (report_->events.empty()) return 0;
    const std::vector<PageRun> now = shadow_now(*machine_);
    for (const PageRun& run : report_->events.back().shadow) {
      const bool stays = std::any_of(now.begin(), now.end(), [&](const PageRun& other) {
        return run.linear >= other.linear && (run.linear - other.linear) / kPageSize < other.pages;
      });
      if (!stays) return run.linear;
    }
    return 0;
  }
  void add(PagingEventKind kind, uint32_t address, bool is_write) {
    if (report_->events.size() == kMostEvents) {
      ++report_->events_left_out;
      return;
    }
    TableMoment tables(*machine_,
                       report_->events.empty() ? TableMoment() : report_->events.back().tables);
    report_->events.push_back({kind, eip_, address, is_write, guest_instruction(*machine_, eip_),
                               shadow_now(*machine_), std::move(tables)});
  }
  void stop_when_due() {
    if (static_cast<double>(HostClock::monotonic() - started_) / 1e9 >= seconds_) {
      machine_->request_stop(StopReason::Quit);
    }
  }

  PagingReport* report_;
  double seconds_;
  int64_t started_;
  Machine* machine_ = nullptr;
  uint32_t eip_ = 0;
  uint32_t last_address_ = 0;
  uint64_t flushes_ = 0, invalidations_ = 0, code_writes_ = 0;
};

}  // namespace

std::vector<PageRun> guest_tables(Machine& machine) {
  std::vector<PageRun> runs;
  LinearMemory& memory = machine.processor().cpu().memory;
  const PagingMode mode = memory.paging_mode();
  if (!mode.paging) return runs;
  for (uint64_t linear = 0; linear < uint64_t{1} << 32; linear += kPageSize) {
    const WalkResult walked =
        probe(mode, memory.physical(), GuestVirtual(static_cast<uint32_t>(linear)),
              AccessKind::Read, Privilege::Supervisor);
    if (walked.fault) continue;
    const Translation& found = walked.translation;
    if (!runs.empty() && continues(runs.back(), linear, found)) {
      ++runs.back().pages;
    } else {
      runs.push_back({static_cast<uint32_t>(linear), 1, found.physical.value(), found.writable,
                      found.dirty, found.user});
    }
  }
  return runs;
}

const char* paging_event_name(PagingEventKind kind) {
  switch (kind) {
    case PagingEventKind::Hidden:
      return "hidden fault";
    case PagingEventKind::Trace:
      return "trace fault";
    case PagingEventKind::TrueFault:
      return "true fault";
    case PagingEventKind::CodeWrite:
      return "code changed";
    case PagingEventKind::Invalidate:
      return "INVLPG";
    case PagingEventKind::Flush:
      return "flush";
  }
  return "?";
}

bool watch_paging(const MachineConfig& config, double seconds, PagingReport* report,
                  std::string* error) {
  PagingWatch watch(report, seconds);
  MachineConfig watched = config;
  watched.vcpu.observer = &watch;
  const std::unique_ptr<Machine> machine = Machine::create(watched, error);
  if (machine == nullptr) return false;
  watch.watch(machine.get());
  report->end = end_of(machine->run());
  report->guest = guest_tables(*machine);
  report->shadow = shadow_now(*machine);
  for (uint64_t at = 0; at < machine->memory().size(); at += kPageSize) {
    const auto page = GuestPhysicalPage::of(GuestPhysical(at));
    if (machine->watch().watches(page)) report->traced.push_back(at);
  }
  return true;
}

}  // namespace ringshift::lab
