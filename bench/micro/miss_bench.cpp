// The miss path: a guest address that generated code could not reach, from the guest's tables to a
// window's mapping or a soft TLB's entry, and its flush.
#include <cstring>
#include <memory>
#include <string>

#include "bench/micro/cycles.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/spaces/coherence.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/guest_memory.h"
#include "tests/support/translator_fixture.h"
#include "translator/gate.h"
#include "translator/translator.h"

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
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    CHECK(ram_ != nullptr);
    std::memset(ram_->at(GuestPhysical(0)), 0, kRamBytes);
    auto storage = FrameStorage::create(&error);
    CHECK(storage != nullptr);
    frame_ = &storage->frame();
    physical_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    linear_ = std::make_unique<LinearMemory>(*physical_, frame_->state);
    coherence = Coherence::create(*physical_, *linear_, frame_->state, &error);
    CHECK(coherence != nullptr);
    translator_ = Translator::create({.arena_bytes = 1U << 20, .limits = {}, .features = {}},
                                     *coherence, *coherence, *coherence, *coherence, &error);
    CHECK(translator_ != nullptr);
    gate_ = Gate::create(translator_->stubs(), translator_->arena(), &error, std::move(storage));
    CHECK(gate_ != nullptr);
    coherence->attach(gate_.get(), &translator_->cache(), &translator_->arena());
    physical_->set_observer(coherence.get());
    turn_paging_on();
  }
  std::unique_ptr<Coherence> coherence;

 private:
  void turn_paging_on() {
    store(kPageDirectory + (kKernelBase >> 22) * 4, kPageTable | kFlags);
    for (uint32_t page = 0; page < kRamBytes / kPageSize; ++page) {
      store(kPageTable + page * 4, (page << 12) | kFlags);
    }
    reset(frame_->state);
    frame_->state.cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    frame_->state.cr3 = kPageDirectory;
    linear_->flush();
    coherence->on_paging_mode_changed();
    coherence->apply(SafePointForTest::get());
    coherence->select_view(Privilege::Supervisor);
  }
  void store(uint32_t at, uint32_t value) {
    std::memcpy(ram_->at(GuestPhysical(at)), &value, sizeof(value));
  }

  std::unique_ptr<GuestMemory> ram_;
  MemoryBus bus_;
  Frame* frame_ = nullptr;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> linear_;
  std::unique_ptr<Translator> translator_;
  std::unique_ptr<Gate> gate_;
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
    const auto answer = machine.coherence->fill_soft(address, true, Privilege::Supervisor);
    if (answer != Coherence::Miss::Filled) return state.SkipWithError("not filled");
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
    machine.coherence->on_page_invalidated(kAddress);
    machine.coherence->apply(SafePointForTest::get());
    const auto answer = machine.coherence->fill_window(kAddress, true, Privilege::Supervisor);
    if (answer != Coherence::Miss::Filled) return state.SkipWithError("not filled");
  }
  cycles.stop();
  cycles.report(state, "cycles/miss", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(MissWindowAfterInvalidation);

}  // namespace
}  // namespace ringshift
