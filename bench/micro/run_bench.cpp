// Running translated code: through the gate and back; a loop of loads, each way of reaching memory.
// The loops alone: --benchmark_filter=LoadLoop.
#include <cstdint>
#include <numeric>
#include <vector>

#include "bench/micro/cycles.h"
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

void GateRoundTrip(benchmark::State& state) {
  TranslatorMachine machine;
  machine.load(TranslatorMachine::kCode, "f4");  // hlt: leaves for the interpreter at once
  const uint64_t body = machine.fragment_at_eip(TranslatorMachine::kCode).body();
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    machine.state().eip = TranslatorMachine::kCode;
    const Exit exit = machine.gate->run(body, machine.translator->cache());
    if (exit.reason != ExitReason::Interpret || exit.eip != Eip(TranslatorMachine::kCode)) {
      return state.SkipWithError("left for another reason, or at another instruction");
    }
  }
  cycles.stop();
  cycles.report(state, "cycles/trip", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(GateRoundTrip);

constexpr uint32_t kArray = 0x40000;
constexpr uint32_t kLoads = 16384;  // 16 pages: a soft TLB holds them, and so does the second cache
constexpr uint32_t kSum = kLoads / 2 * (kLoads - 1);

void report_loads(benchmark::State& state, const Cycles& cycles) {
  const auto loads = static_cast<uint64_t>(state.iterations()) * kLoads;
  cycles.report(state, "cycles/load", loads);
  state.SetItemsProcessed(static_cast<int64_t>(loads));
}

void LoadLoop(benchmark::State& state, AccessStyle style) {
  TranslatorMachine machine(style);
  machine.load(TranslatorMachine::kCode,
               "03 06 "     // .a: add eax, [esi]
               "83 c6 04 "  // add esi, 4
               "49 "        // dec ecx
               "75 f8 "     // jnz .a
               "f4 "        // hlt
  );
  for (uint32_t i = 0; i < kLoads; ++i) machine.write32(kArray + i * 4, i);
  const auto run = [&machine] {
    machine.state().eip = TranslatorMachine::kCode;
    machine.reg(Gpr::Eax) = 0;
    machine.reg(Gpr::Esi) = kArray;
    machine.reg(Gpr::Ecx) = kLoads;
    return machine.run().reason == ExitReason::Interpret && machine.reg(Gpr::Eax) == kSum;
  };
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    if (!run()) return state.SkipWithError("the loop does not end with the sum");
  }
  cycles.stop();
  report_loads(state, cycles);
}
BENCHMARK_CAPTURE(LoadLoop, window, AccessStyle::Window)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(LoadLoop, soft, AccessStyle::Soft)->Unit(benchmark::kMicrosecond);

void LoadLoopNative(benchmark::State& state) {
  std::vector<uint32_t> array(kLoads);
  std::iota(array.begin(), array.end(), 0U);
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    const uint32_t* at = array.data();
    uint32_t left = kLoads;
    uint32_t sum = 0;
    asm volatile(
        ".p2align 6\n"
        "1: addl (%[at]), %[sum]\n"
        "addq $4, %[at]\n"
        "decl %[left]\n"
        "jnz 1b\n"
        : [at] "+r"(at), [left] "+r"(left), [sum] "+r"(sum)
        :
        : "cc", "memory");
    if (sum != kSum) return state.SkipWithError("the sum is wrong");
  }
  cycles.stop();
  report_loads(state, cycles);
}
BENCHMARK(LoadLoopNative)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ringshift
