// The cost of a guest address that is not mapped yet: walking the guest's tables, filling a window
// and dropping from it. The fills and drops are host system calls; they vary most by host.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "bench/micro/cycles.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/shadow_space.h"
#include "shadowmmu/walker.h"
#include "tests/support/table_memory.h"

namespace ringshift {
namespace {

constexpr uint64_t kDirectory = 0x1000;
constexpr uint64_t kTable = 0x2000;
constexpr uint32_t kFlags = 0x67;  // present, writable, user, accessed, dirty
// Directory index 3 of two levels, 6 of PAE; table index 7 of both.
constexpr GuestVirtual kAddress(0x00c07abc);

void walk_again_and_again(benchmark::State& state, const PagingMode& mode, TableMemory& memory) {
  CHECK(!walk(mode, memory, kAddress, AccessKind::Read, Privilege::User).fault);
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    benchmark::DoNotOptimize(walk(mode, memory, kAddress, AccessKind::Read, Privilege::User));
  }
  cycles.stop();
  cycles.report(state, "cycles/walk", static_cast<uint64_t>(state.iterations()));
}

void WalkTwoLevel(benchmark::State& state) {
  TableMemory memory;
  memory.store32(kDirectory + 3 * 4, static_cast<uint32_t>(kTable) | kFlags);
  memory.store32(kTable + 7 * 4, 0x5000 | kFlags);
  PagingMode mode;
  mode.paging = true;
  mode.cr3 = kDirectory;
  walk_again_and_again(state, mode, memory);
}
BENCHMARK(WalkTwoLevel);

void WalkPae(benchmark::State& state) {
  TableMemory memory;
  memory.store64(kDirectory + 6 * 8, kTable | kFlags);
  memory.store64(kTable + 7 * 8, 0x5000 | kFlags);
  PagingMode mode;
  mode.paging = true;
  mode.pae = true;
  mode.pdpte[0] = kDirectory | 1;
  walk_again_and_again(state, mode, memory);
}
BENCHMARK(WalkPae);

class Space {
 public:
  static constexpr uint64_t kRamBytes = 16U << 20;
  static constexpr ShadowBudget kBudget{50000, 1U << 20};

  Space() : reverse_(kRamBytes), traces_(kRamBytes) {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    CHECK(ram_ != nullptr);
    // Now, so that no benchmark pays for the memory itself.
    std::memset(ram_->at(GuestPhysical(0)), 1, kRamBytes);
    space_ = ShadowSpace::create(*ram_, reverse_, traces_, kBudget, &error);
    CHECK(space_ != nullptr);
  }
  [[nodiscard]] ShadowSpace& operator*() { return *space_; }
  void touch(const ShadowRun& run) const {
    const uint64_t first = space_->base().value() + run.virtual_page.address().value();
    for (uint64_t page = 0; page < run.pages; ++page) {
      *reinterpret_cast<volatile uint8_t*>(first + page * kPageSize) = 2;
    }
  }

 private:
  std::unique_ptr<GuestMemory> ram_;
  ReverseMap reverse_;
  TraceTable traces_;
  std::unique_ptr<ShadowSpace> space_;
};

// A run of pages is mapped, each page is written to, and then the run's 4 MiB region is dropped.
// Short runs are populated while they are mapped, long ones by the touches: only the sum compares.
void ShadowFillAndDrop(benchmark::State& state) {
  Space space;
  ShadowRun run;
  run.virtual_page = GuestVirtualPage::of(GuestVirtual(0xc0400000U));
  run.physical_page = GuestPhysicalPage::of(GuestPhysical(0x400000U));
  run.pages = static_cast<uint32_t>(state.range(0));
  run.may_write = true;
  Cycles filling;
  Cycles touching;
  Cycles dropping;
  uint64_t pages = 0;
  for (auto _ : state) {
    filling.start();
    const bool filled = (*space).fill(run);
    filling.stop();
    if (!filled) return state.SkipWithError("the host refuses the mapping");
    touching.start();
    space.touch(run);
    touching.stop();
    dropping.start();
    (*space).drop_region(run.virtual_page);
    dropping.stop();
    pages += run.pages;
  }
  filling.report(state, "cycles/page filled", pages);
  touching.report(state, "cycles/page touched", pages);
  dropping.report(state, "cycles/page dropped", pages);
}
BENCHMARK(ShadowFillAndDrop)->Arg(1)->Arg(16)->Arg(512)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ringshift
