#include "tests/differential/guest.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "monitor/cpu/control_registers.h"
#include "monitor/host/host_signals.h"
#include "monitor/vcpu/execution_observer.h"
#include "tests/support/translator_fixture.h"

namespace ringshift::differential {
namespace {

using namespace layout;

constexpr uint32_t kGdt = kSystemPhysical, kIdt = kSystemPhysical + 0x800,
                   kTss = kSystemPhysical + 0x1000, kTasks = kSystemPhysical + 0x2000,
                   kTaskStack = kSystemPhysical + 0x3800, kHandler = kSystemPhysical + 0x4000;
constexpr uint32_t kTaskStride = 128, kTssBytes = 104, kPortMapBytes = 0x22;
constexpr uint32_t kTasksInUse = 20;  // vectors 0-19
constexpr uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x23, kData3 = 0x2b, kTssSelector = 0x30,
                   kTaskSelectors = 0x80;
constexpr uint16_t kFlatCode = 0xc09b, kFlatData = 0xc093;
constexpr uint16_t kStopPort = 0xf4;  // and the vector port after it
// Present, writable, accessed, dirty; user.
constexpr uint32_t kPageKernel = 0x63, kPageUser = 0x67, kWritableBit = 2;

constexpr uint32_t linear_of(uint32_t system_physical) {
  return kSystem + (system_physical - kSystemPhysical);
}

bool has_error_code(uint32_t vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

// Ends a run by a count, which is the same under any load.
class InstructionLimit final : public ExecutionObserver {
 public:
  explicit InstructionLimit(uint64_t most) : left_(most) {}
  void stops(Vcpu* vcpu) { vcpu_ = vcpu; }
  void before_interpreted(const GuestState&) override {
    if (left_ == 0 || --left_ == 0) vcpu_->request_stop(StopReason::Quit);
  }

 private:
  uint64_t left_;
  Vcpu* vcpu_ = nullptr;
};

}  // namespace

std::unique_ptr<Guest> Guest::create(Engine engine, std::string* error) {
  auto guest = std::unique_ptr<Guest>(new Guest(engine));
  if (!guest->build(error)) return nullptr;
  return guest;
}

Guest::~Guest() = default;

bool Guest::build(std::string* error) {
  clock_ = HostClock::create(error);
  if (clock_ == nullptr) return false;
  write_page_tables();
  return machine_.ports.claim(kStopPort, 2, *this, "end of case");
}

// Directory 0: code and data on supervisor pages; directory 1: on user pages. A and D are set from
// the start, so that running changes nothing here.
void Guest::write_page_tables() {
  for (uint32_t which = 0; which < 2; ++which) {
    const uint32_t directory = kDirectories + which * kDirectoryStride;
    const uint32_t bits = which == 0 ? kPageKernel : kPageUser;
    const auto map = [&](uint32_t linear, uint32_t table, uint32_t physical, uint32_t pages,
                         uint32_t page_bits) {
      set32(directory + (linear >> 22) * 4, table | kPageUser);
      for (uint32_t i = 0; i < pages; ++i) {
        set32(table + ((linear >> 12) & 0x3ff) * 4 + i * 4, (physical + i * kPageSize) | page_bits);
      }
    };
    map(kCodeBase, directory + 0x1000, kCodePhysical, kCodeBytes / kPageSize, bits);
    map(kDataBase, directory + 0x2000, kDataPhysical, kDataBytes / kPageSize, bits);
    const uint32_t data_table = directory + 0x2000;
    set32(data_table + ((kHole >> 12) & 0x3ff) * 4, 0);
    const uint32_t read_only = data_table + ((kReadOnly >> 12) & 0x3ff) * 4;
    set32(read_only, get32(read_only) & ~kWritableBit);
    map(kSystem, directory + 0x3000, kSystemPhysical, kSystemBytes / kPageSize, kPageKernel);
  }
}

// GDT, IDT of task gates, the interrupted task and one task a vector.
void Guest::write_tasks(uint32_t cr3) {
  std::memset(machine_.ram->at(GuestPhysical(kSystemPhysical)), 0, kSystemBytes);
  const auto descriptor = [this](uint32_t selector, uint32_t base, uint32_t limit,
                                 uint32_t attributes) {
    const uint32_t at = kGdt + (selector & 0xfff8U);
    set32(at, (base << 16) | (limit & 0xffffU));
    set32(at + 4,
          ((base >> 16) & 0xffU) | (attributes << 8) | (limit & 0xf0000U) | (base & 0xff000000U));
  };
  descriptor(kCode0, 0, 0xfffff, kFlatCode);
  descriptor(kData0, 0, 0xfffff, kFlatData);
  descriptor(kCode3, 0, 0xfffff, kFlatCode | 0x60U);
  descriptor(kData3, 0, 0xfffff, kFlatData | 0x60U);
  // A port map of zeros: ports up to 0xff are free at CPL 3.
  descriptor(kTssSelector, linear_of(kTss), kTssBytes + kPortMapBytes, 0x8b);
  set32(kTss + tss32::kTrap, kTssBytes << 16);
  for (uint32_t vector = 0; vector < kTasksInUse; ++vector) {
    const uint32_t task = kTasks + vector * kTaskStride;
    const uint32_t selector = kTaskSelectors + vector * 8;
    descriptor(selector, linear_of(task), kTssBytes - 1, 0x89);
    set32(task + tss32::kCr3, cr3);
    set32(task + tss32::kEip, linear_of(kHandler));
    set32(task + tss32::kEflags, kFlagReservedOne);
    set32(task + tss32::kEax, vector);
    set32(task + tss32::kEsp, linear_of(kTaskStack));
    set32(task + tss32::kCs, kCode0);
    for (const uint32_t segment : {tss32::kEs, tss32::kSs, tss32::kDs, tss32::kFs, tss32::kGs}) {
      set32(task + segment, kData0);
    }
    set32(kIdt + vector * 8, selector << 16);
    set32(kIdt + vector * 8 + 4, 0x8500);
  }
  set32(kHandler, 0xf4f5e6);  // out 0xf5, al; hlt
}

void Guest::set_segments(Ring ring, Segments segments) {
  const bool user = ring == Ring::User;
  const uint16_t dpl = user ? 0x60 : 0;
  for (SegmentCache& segment : state().segment) {
    segment = {0, 0xffffffffU, user ? kData3 : kData0, static_cast<uint16_t>(kFlatData | dpl)};
  }
  state().seg(SegmentRegister::Cs) = {0, 0xffffffffU, user ? kCode3 : kCode0,
                                      static_cast<uint16_t>(kFlatCode | dpl)};
  state().cpl = user ? 3 : 0;
  // Their selectors are not looked at: no case reads them.
  constexpr uint16_t kWritable = 2, kSixteenBit = 0x93;
  if (segments == Segments::NarrowStack) {
    state().seg(SegmentRegister::Ss) = {kDataBase, kDataBytes - 1, kData3,
                                        static_cast<uint16_t>(kSixteenBit | dpl)};
  }
  if (segments == Segments::ReadOnlyEs) {
    SegmentCache& es = state().seg(SegmentRegister::Es);
    es.attributes = static_cast<uint16_t>(es.attributes & ~kWritable);
  }
  if (segments == Segments::Limited) {
    for (SegmentCache& segment : state().segment) segment.limit = (kDataEndPage << 12) | 0xfffU;
    state().seg(SegmentRegister::Cs).limit = (kCodeEndPage << 12) | 0xfffU;
  }
  if (segments == Segments::Based) {
    state().seg(SegmentRegister::Ds).base = kDataShift;
    state().seg(SegmentRegister::Es) = SegmentCache{};
  }
  if (segments == Segments::NarrowCode) {
    for (SegmentCache& segment : state().segment) {
      segment = {kDataBase, kDataBytes - 1, kData3, static_cast<uint16_t>(kSixteenBit | dpl)};
    }
    constexpr uint16_t kReadableCode = 0x9b;
    state().seg(SegmentRegister::Cs) = {kCodeBase, kCodeBytes - 1, user ? kCode3 : kCode0,
                                        static_cast<uint16_t>(kReadableCode | dpl)};
  }
}

void Guest::prepare(const Start& start, Ring ring, std::span<const uint8_t> code,
                    std::span<const uint8_t> data) {
  GuestState& guest = state();
  guest = GuestState{};
  reset(guest);
  set_segments(ring, start.segments);
  guest.gpr = start.gpr;
  guest.eip = start.eip;
  guest.eflags = start.eflags;
  guest.fxsave = start.fxsave;
  guest.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Mp | kCr0Wp | kCr0Pg;
  if ((start.eflags & kFlagAc) != 0) guest.cr0 |= kCr0Am;
  guest.cr4 = kCr4Osfxsr | kCr4Osxmmexcpt;
  guest.cr3 = kDirectories + (ring == Ring::Kernel ? 0 : kDirectoryStride);
  guest.gdtr = {linear_of(kGdt), 0x7ff};
  guest.idtr = {linear_of(kIdt), kTasksInUse * 8 - 1};
  guest.tr = {linear_of(kTss), kTssBytes + kPortMapBytes, kTssSelector, 0x8b};
  guest.ldtr = SegmentCache{};
  write_tasks(guest.cr3);
  std::memset(machine_.ram->at(GuestPhysical(kCodePhysical)), 0xf4, kCodeBytes);
  const uint32_t in_area = code_base(start.segments) + start.eip - kCodeBase;
  std::copy(code.begin(), code.end(), machine_.ram->at(GuestPhysical(kCodePhysical + in_area)));
  std::copy(data.begin(), data.end(), machine_.ram->at(GuestPhysical(kDataPhysical)));
  translator()->cache().drop_all(SafePointForTest::get());
  if (loaded_cr3_ != guest.cr3) {
    loaded_cr3_ = guest.cr3;
    processor().note_state_changed();
  }
  processor().gate().frame().slots.unload_fpu();
}

uint32_t Guest::read(uint16_t, AccessWidth) { return 0xffffffffU; }

void Guest::write(uint16_t offset, AccessWidth, uint32_t value) {
  stop_vector_ = offset == 0 ? kStopped : value & 0xff;
  if (running_ != nullptr) running_->request_stop(StopReason::DebugExit);
}

void Guest::load(const GuestState& start, std::span<const uint8_t> ram) {
  state() = start;
  std::memcpy(machine_.ram->at(GuestPhysical(0)), ram.data(), ram.size());
  translator()->cache().drop_all(SafePointForTest::get());
  processor().note_state_changed();
  processor().note_memory_map_changed();
}

// Translated code cannot be counted: what hangs in it, although it ends when interpreted, is ended
// by a clock, long after any load of the host could be the reason.
StopReason Guest::run_loop(Watchdog watchdog_is) {
  constexpr std::chrono::seconds kHanging(300);
  InstructionLimit limit(kMostInstructions);
  Vcpu& vcpu = processor().make_loop(
      {.interrupts = interrupts_, .clock = *clock_},
      {.engine = engine_, .observer = engine_ == Engine::Interpret ? &limit : nullptr});
  limit.stops(&vcpu);
  if (!HostSignals::install(&processor().gate(), &processor().attention(), &message_))
    return StopReason::Unimplemented;
  std::mutex mutex;
  std::condition_variable ended;
  bool is_over = false;
  std::thread watchdog;
  if (watchdog_is == Watchdog::On && engine_ != Engine::Interpret) {
    watchdog = std::thread([&] {
      std::unique_lock lock(mutex);
      if (ended.wait_for(lock, kHanging, [&] { return is_over; })) return;
      vcpu.request_stop(StopReason::Quit);
      processor().attention().raise();
    });
  }
  running_ = &vcpu;
  stop_vector_ = kNotRun;
  const StopReason reason = vcpu.run();
  running_ = nullptr;
  if (watchdog.joinable()) {
    {
      const std::lock_guard lock(mutex);
      is_over = true;
    }
    ended.notify_one();
    watchdog.join();
  }
  HostSignals::uninstall();
  message_ = vcpu.message();
  return reason;
}

StopReason Guest::run_whole() { return run_loop(Watchdog::On); }

Outcome Guest::run() {
  const StopReason reason = run_loop(Watchdog::Off);
  if (reason == StopReason::DebugExit && stop_vector_ < kStopped) return outcome_of_task();
  Outcome outcome = outcome_here(nullptr);
  outcome.vector = stop_vector_;
  outcome.eip -= static_cast<uint32_t>(kEndBytes.size());
  if (reason != StopReason::DebugExit) {
    outcome.vector = kNotRun;
    outcome.message =
        "stop reason " + std::to_string(static_cast<unsigned>(reason)) + " " + message_;
  }
  return outcome;
}

Outcome Guest::outcome_here(const GuestFault* fault) const {
  const GuestState& guest = machine_.state();
  Outcome outcome;
  outcome.vector = fault == nullptr ? kStopped : static_cast<uint32_t>(fault->vector);
  outcome.eip = guest.eip;
  outcome.eflags = guest.eflags;
  outcome.gpr = guest.gpr;
  std::memcpy(outcome.fxsave.data(), guest.fxsave.data(), outcome.fxsave.size());
  if (fault != nullptr) {
    outcome.error_code = fault->error_code;
    outcome.cr2 = fault->cr2;
  }
  const uint8_t* data = machine_.ram->at(GuestPhysical(kDataPhysical));
  outcome.data.assign(data, data + kDataBytes);
  return outcome;
}

// The interrupted task's registers are in its TSS; the error code is on the handler's stack.
Outcome Guest::outcome_of_task() const {
  Outcome outcome = outcome_here(nullptr);
  outcome.vector = stop_vector_;
  outcome.eip = get32(kTss + tss32::kEip);
  outcome.eflags = get32(kTss + tss32::kEflags);
  for (uint32_t i = 0; i < kGprCount; ++i) outcome.gpr[i] = get32(kTss + tss32::kEax + i * 4);
  if (has_error_code(stop_vector_)) outcome.error_code = get32(kTaskStack - 4);
  outcome.cr2 = machine_.state().cr2;
  return outcome;
}

}  // namespace ringshift::differential
