#include "monitor/lab/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/parts/guests/guest_code.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/vcpu/execution_observer.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift::lab {
namespace {

constexpr size_t kMostCopies = 200;
// For the guest that comes with the program: after so many faults it is in the middle of its work.
constexpr uint32_t kFaultsBeforeClone = 40;
constexpr uint64_t kBlock = 512;  // stat(2): st_blocks

uint64_t memory_of(int descriptor) {
  struct stat status {};
  return describe_descriptor(descriptor, &status) ? static_cast<uint64_t>(status.st_blocks) * kBlock
                                                  : 0;
}

// Ends a run after some page faults of the guest's, or some time.
class MomentWatch : public ExecutionObserver {
 public:
  MomentWatch(uint32_t faults, double seconds)
      : faults_(faults), seconds_(seconds), started_(HostClock::monotonic()) {}
  void watch(Machine* machine) { machine_ = machine; }
  void on_guest_fault(const GuestFault& fault, const GuestState&) override {
    if (fault.vector == Vector::PageFault && ++seen_ == faults_) end();
  }
  void before_interrupt(const Event&, const GuestState&) override {
    if (static_cast<double>(HostClock::monotonic() - started_) / 1e9 >= seconds_) end();
  }
  void after_interpreted(const GuestState&) override {
    if (static_cast<double>(HostClock::monotonic() - started_) / 1e9 >= seconds_) end();
  }

 protected:
  [[nodiscard]] Machine& machine() { return *machine_; }

 private:
  void end() { machine_->request_stop(StopReason::Quit); }

  uint32_t faults_;
  double seconds_;
  int64_t started_;
  uint32_t seen_ = 0;
  Machine* machine_ = nullptr;
};

// Takes note of each grain that becomes the machine's own.
class CopyWatch final : public MomentWatch {
 public:
  CopyWatch(MemoryReport* report, double seconds) : MomentWatch(0, seconds), report_(report) {}
  void begin(Machine* machine) {
    watch(machine);
    const MachinePages& pages = *machine->memory().machine_pages();
    for (size_t i = 0; i < pages.grains(); ++i) was_.push_back(pages.backing(first_page(i)));
  }
  void before_interpreted(const GuestState& state) override { look(state.eip); }
  void after_interpreted(const GuestState& state) override {
    look(state.eip);
    MomentWatch::after_interpreted(state);
  }
  void on_host_fault(FaultKind, GuestVirtual, bool, const GuestState& state) override {
    look(state.eip);
  }

 private:
  [[nodiscard]] GuestPhysicalPage first_page(size_t grain) {
    const uint32_t pages = machine().memory().machine_pages()->grain_pages();
    return GuestPhysicalPage(static_cast<uint32_t>(grain * pages));
  }
  void look(uint32_t eip) {
    const MachinePages* pages = machine().memory().machine_pages();
    for (size_t i = 0; pages != nullptr && i < was_.size(); ++i) {
      const Backing now = pages->backing(first_page(i));
      if (now == was_[i]) continue;
      was_[i] = now;
      if (report_->copies.size() == kMostCopies) {
        ++report_->copies_left_out;
        continue;
      }
      report_->copies.push_back(
          {eip, guest_instruction(machine(), eip), first_page(i).address().value()});
    }
  }

  MemoryReport* report_;
  std::vector<Backing> was_;
};

// Counts the mappings that the host's kernel lists at the machine's RAM.
void count_mapped(Machine& machine, MemoryReport* report) {
  const auto begin =
      static_cast<uint64_t>(reinterpret_cast<uintptr_t>(machine.memory().at(GuestPhysical(0))));
  const uint64_t end = begin + machine.memory().size();
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    uint64_t from = 0, to = 0;
    char dash = 0;
    words >> std::hex >> from >> dash >> to;
    from = std::max(from, begin);
    to = std::min(to, end);
    if (from >= to) continue;
    const bool is_shared = line.find("ringshift-clone") != std::string::npos;
    (is_shared ? report->mapped_shared : report->mapped_own) += (to - from) / kPageSize;
  }
}

MemoryKind kind_now(GuestMemory& ram, GuestPhysicalPage page) {
  const MachinePages& pages = *ram.machine_pages();
  if (pages.backing(page) == Backing::Base) return MemoryKind::Shared;
  const PageRange grain = pages.grain_around(page);
  if (pages.is_in_base(page)) return MemoryKind::Copied;
  const uint64_t start = grain.first.address().value();
  const uint64_t bytes = uint64_t{grain.pages} * kPageSize;
  const bool is_used = has_contents(ram.descriptor(), start, start + bytes);
  return is_used ? MemoryKind::Fresh : MemoryKind::Zero;
}

void count_grains(Machine& machine, MemoryReport* report) {
  GuestMemory& ram = machine.memory();
  const MachinePages& pages = *ram.machine_pages();
  report->ram_bytes = ram.size();
  report->grain_bytes = uint64_t{pages.grain_pages()} * kPageSize;
  for (size_t i = 0; i < pages.grains(); ++i) {
    const GuestPhysicalPage page(static_cast<uint32_t>(i * pages.grain_pages()));
    const MemoryKind kind = kind_now(ram, page);
    report->grains.push_back(kind);
    report->pages[static_cast<size_t>(kind)] += pages.grain_around(page).pages;
    if (kind == MemoryKind::Shared && report->shared_bytes == 0) {
      report->shared_bytes = memory_of(ram.descriptor_of(page));
    }
  }
  report->own_bytes = memory_of(ram.descriptor());
  const VirtioBalloon* balloon = machine.pci() != nullptr ? machine.pci()->balloon() : nullptr;
  if (balloon != nullptr) report->ballooned = ram.size() - balloon->kept_bytes();
}

// The clone, on a thread of its own: the machine that it comes from is still there.
bool run_clone(const MachineConfig& config, double seconds, MemoryReport* report,
               std::string* error) {
  CopyWatch watch(report, seconds);
  MachineConfig cloned = config;
  cloned.vcpu.observer = &watch;
  const std::unique_ptr<Machine> machine = Machine::create(cloned, error);
  if (machine == nullptr) return false;
  if (machine->memory().machine_pages() == nullptr) {
    *error = "the clone has no memory to share";
    return false;
  }
  watch.begin(machine.get());
  report->end = end_of(machine->run());
  if (machine->memory().machine_pages() == nullptr) {
    *error = "the guest has reset its machine, which gives up what it shares";
    return false;
  }
  report->guest = guest_tables(*machine);
  count_grains(*machine, report);
  count_mapped(*machine, report);
  return true;
}

// Its machine does not run, so all steps are taken at once.
bool clone_now(Machine& machine, CloneProgress* progress, std::string* error) {
  if (!machine.clone().begin(false, error)) return false;
  while (true) {
    machine.clone().service();
    *progress = machine.clone().progress();
    const bool is_ready = progress->status == CloneStatus::Ready;
    if (is_ready && !machine.clone().is_busy()) return true;
    if (progress->status != CloneStatus::Failed) continue;
    *error = progress->problem;
    return false;
  }
}

}  // namespace

const char* memory_kind_name(MemoryKind kind) {
  constexpr const char* kNames[] = {"shared", "copied", "fresh", "zero"};
  return kNames[static_cast<size_t>(kind)];
}

MemoryKind kind_of(const MemoryReport& report, uint64_t physical) {
  const uint64_t grain = physical / report.grain_bytes;
  return grain < report.grains.size() ? report.grains[grain] : MemoryKind::Zero;
}

bool watch_memory(const MachineConfig& config, double seconds, MemoryReport* report,
                  std::string* error) {
  const double half = seconds / 2;
  MomentWatch watch(kFaultsBeforeClone, half);
  MachineConfig watched = config;
  watched.vcpu.observer = &watch;
  const std::unique_ptr<Machine> machine = Machine::create(watched, error);
  if (machine == nullptr) return false;
  watch.watch(machine.get());
  (void)machine->run();
  CloneProgress progress;
  if (!clone_now(*machine, &progress, error)) return false;
  report->pause_microseconds = progress.pause_microseconds;
  report->first_bytes = memory_of(machine->memory().descriptor());
  MachineConfig cloned = config;
  cloned.resume_path = progress.file;
  bool is_done = false;
  std::thread other([&] { is_done = run_clone(cloned, half, report, error); });
  other.join();
  return is_done;
}

}  // namespace ringshift::lab
