// The miss path: a guest address that generated code could not reach, from the guest's tables to a
// window's mapping or a soft TLB's entry, and its flush.
#include <cstring>

#include "bench/micro/cycles.h"
#include "monitor/cpu/control_registers.h"
#include "tests/support/processor_machine.h"
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 4U << 20;
constexpr uint32_t kPageDirectory = 0x1000;
constexpr uint32_t kPageTable = 0x2000;
constexpr uint32_t kKernelBase = 0xc0000000;
constexpr uint32_t kFlags = 0x63;  // present, writable, accessed, dirty
constexpr GuestVirtual kAddress(0xc0200010);

// A paged guest of 4 MiB, mapped at 3 GiB, and what answers its misses.
class MissMachine {
 public:
  MissMachine() {
    std::memset(machine_.ram->at(GuestPhysical(0)), 0, kRamBytes);
    machine_.set32(kPageDirectory + (kKernelBase >> 22) * 4, kPageTable | kFlags);
    for (uint32_t page = 0; page < kRamBytes / kPageSize; ++page) {
      machine_.set32(kPageTable + page * 4, (page << 12) | kFlags);
    }
    machine_.state().cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    machine_.state().cr3 = kPageDirectory;
    machine_.processor->note_state_changed();
    spaces().apply(SafePointForTest::get());
    spaces().select(Privilege::Supervisor);
  }
  [[nodiscard]] AddressSpaces& spaces() { return machine_.processor->spaces(); }
  [[nodiscard]] DataPaths& data() { return machine_.processor->data(); }

 private:
  ProcessorMachine machine_{kRamBytes};
};

// Two pages that want the same entry, in turn.
void MissSoft(benchmark::State& state) {
  constexpr GuestVirtual kRival(kAddress.value() + kSoftTlbEntries * kPageSize);
  static_assert(kRival.value() < kKernelBase + kRamBytes);
  MissMachine machine;
  GuestVirtual address = kAddress;
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    const auto answer = machine.data().fill_soft(address, true, Privilege::Supervisor);
    if (answer != Miss::Filled) return state.SkipWithError("not filled");
    address = address == kAddress ? kRival : kAddress;
  }
  cycles.stop();
  cycles.report(state, "cycles/miss", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(MissSoft);

// INVLPG, the safe point's work, and the miss that follows: two or three host system calls.
void MissWindowAfterInvalidation(benchmark::State& state) {
  MissMachine machine;
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    machine.spaces().on_page_invalidated(kAddress);
    machine.spaces().apply(SafePointForTest::get());
    const auto answer = machine.data().fill_window(kAddress, true, Privilege::Supervisor);
    if (answer != Miss::Filled) return state.SkipWithError("not filled");
  }
  cycles.stop();
  cycles.report(state, "cycles/miss", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(MissWindowAfterInvalidation);

}  // namespace
}  // namespace ringshift
