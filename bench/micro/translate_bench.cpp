// The cost of translating a real program's text, stage by stage.
#include <vector>

#include "bench/micro/code_stream.h"
#include "bench/micro/cycles.h"
#include "translator/decode.h"
#include "translator/emit.h"
#include "translator/plan.h"

namespace ringshift {
namespace {

constexpr const char* kCyclesPerInstruction = "cycles/instruction";

void finish(benchmark::State& state, const Cycles& cycles, uint64_t instructions) {
  cycles.report(state, kCyclesPerInstruction, instructions);
  state.SetItemsProcessed(static_cast<int64_t>(instructions));
  state.SetLabel(code_text().origin);
}

void Decode(benchmark::State& state) {
  const std::span<const uint8_t> text = code_text().bytes;
  GuestInstruction instruction;
  Cycles cycles;
  uint64_t instructions = 0;
  for (auto _ : state) {
    cycles.start();
    for (size_t at = 0; at < text.size(); ++instructions) {
      const bool whole =
          decode(text.subspan(at), DecodeMode::Bits32, &instruction) == DecodeOutcome::Ok;
      benchmark::DoNotOptimize(instruction);
      at += whole ? instruction.length : 1;
    }
    cycles.stop();
  }
  finish(state, cycles, instructions);
}
BENCHMARK(Decode)->Unit(benchmark::kMillisecond);

void Plan(benchmark::State& state) {
  CodeStream stream(AccessStyle::Window);
  TranslationUnit unit;
  Cycles cycles;
  uint64_t instructions = 0;
  for (auto _ : state) {
    cycles.start();
    for (const TranslationKey& key : stream.blocks) {
      plan(key, stream.machine, stream.machine, {}, {}, &unit);
    }
    cycles.stop();
    instructions += stream.instructions;
  }
  finish(state, cycles, instructions);
}
BENCHMARK(Plan)->Unit(benchmark::kMillisecond);

void PlanAndEmit(benchmark::State& state, AccessStyle style) {
  CodeStream stream(style);
  Emitter emitter(stream.machine.translator->stubs());
  const CodeExecuteView at = stream.machine.translator->arena().next();
  TranslationUnit unit;
  Cycles cycles;
  uint64_t instructions = 0;
  uint64_t guest_bytes = 0;
  uint64_t host_bytes = 0;
  for (auto _ : state) {
    cycles.start();
    for (const TranslationKey& key : stream.blocks) {
      plan(key, stream.machine, stream.machine, {}, {}, &unit);
      host_bytes += emitter.emit(unit, at, 0).bytes.size();
      guest_bytes += unit.byte_length();
    }
    cycles.stop();
    instructions += stream.instructions;
  }
  finish(state, cycles, instructions);
  state.counters["host bytes/guest byte"] =
      static_cast<double>(host_bytes) / static_cast<double>(guest_bytes);
}
BENCHMARK_CAPTURE(PlanAndEmit, window, AccessStyle::Window)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PlanAndEmit, soft, AccessStyle::Soft)->Unit(benchmark::kMillisecond);

// Host code for units that are planned already.
void Emit(benchmark::State& state) {
  CodeStream stream(AccessStyle::Window);
  Emitter emitter(stream.machine.translator->stubs());
  const CodeExecuteView at = stream.machine.translator->arena().next();
  std::vector<TranslationUnit> units(stream.blocks.size());
  for (size_t i = 0; i < units.size(); ++i) {
    plan(stream.blocks[i], stream.machine, stream.machine, {}, {}, &units[i]);
  }
  Cycles cycles;
  uint64_t instructions = 0;
  for (auto _ : state) {
    cycles.start();
    for (const TranslationUnit& unit : units) {
      benchmark::DoNotOptimize(emitter.emit(unit, at, 0).bytes.data());
    }
    cycles.stop();
    instructions += stream.instructions;
  }
  finish(state, cycles, instructions);
}
BENCHMARK(Emit)->Unit(benchmark::kMillisecond);

// Everything up to code that can be found and run: what the vCPU waits for.
void Ensure(benchmark::State& state) {
  CodeStream stream(AccessStyle::Window);
  Cycles cycles;
  uint64_t instructions = 0;
  for (auto _ : state) {
    state.PauseTiming();
    stream.machine.forget_code();
    stream.machine.traced_pages.clear();
    state.ResumeTiming();
    cycles.start();
    for (const TranslationKey& key : stream.blocks) {
      benchmark::DoNotOptimize(
          &stream.machine.translator->find_or_make(key, SafePointForTest::get()));
    }
    cycles.stop();
    instructions += stream.instructions;
  }
  finish(state, cycles, instructions);
}
BENCHMARK(Ensure)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ringshift
