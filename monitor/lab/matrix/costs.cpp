#include "monitor/lab/matrix/costs.h"

#include <array>
#include <vector>

#include "monitor/command/reports/host_probes.h"
#include "monitor/lab/matrix/virtual_processor.h"

namespace ringshift::lab {
namespace {

using Bytes = std::vector<uint8_t>;

void append(Bytes* out, const Bytes& more) { out->insert(out->end(), more.begin(), more.end()); }

// Cycles for so many turns of a translated loop around `body`, which keeps EBP, ECX and EDI. The
// first passes translate it, the last one counts. Zero: it did not end.
uint32_t cycles_of_loop(const Bytes& body, uint32_t turns) {
  constexpr uint8_t kPasses = 3;
  Instruction loop;
  loop.name = loop.form = "loop";
  Bytes& code = loop.code;
  append(&code, {0xbf, kPasses, 0, 0, 0});  // mov edi, passes
  const size_t pass = code.size();
  append(&code, {0x0f, 0x31, 0x89, 0xc5, 0xb9});  // rdtsc; mov ebp, eax; mov ecx, turns
  for (int shift = 0; shift < 32; shift += 8) {
    code.push_back(static_cast<uint8_t>(turns >> shift));
  }
  append(&code, body);
  append(&code, {0x49, 0x75, static_cast<uint8_t>(0 - (body.size() + 3))});  // dec ecx; jnz
  append(&code, {0x0f, 0x31, 0x29, 0xe8, 0x4f});  // rdtsc; sub eax, ebp; dec edi
  append(&code, {0x75, static_cast<uint8_t>(pass - code.size() - 2)});  // jnz
  const VirtualOutcome outcome = run_translated(loop);
  const bool ended = outcome.ran && outcome.state.reg(Gpr::Edi) == 0;
  return ended ? outcome.state.reg(Gpr::Eax) : 0;
}

// The cycles that `body` costs more than `rest`, the part of it that only makes the loop.
uint32_t cycles_each(const Bytes& body, const Bytes& rest, uint32_t turns) {
  const uint32_t with = cycles_of_loop(body, turns);
  const uint32_t without = cycles_of_loop(rest, turns);
  return with <= without ? 0 : (with - without + turns / 2) / turns;
}

struct Looped {
  const char* name;
  Bytes body, rest;
};

}  // namespace

Costs measure_costs() {
  constexpr uint32_t kManyTurns = 100'000, kSomeTurns = 5'000;
  const std::array<Looped, 6> kLooped = {{
      {"PUSHFD", {0x9c, 0x58}, {0x50, 0x58}},             // pushfd; pop eax
      {"POPFD", {0x6a, 0x02, 0x9d}, {0x6a, 0x02, 0x58}},  // push 2; popfd
      {"CLI", {0xfa}, {}},                                //
      {"STI", {0xfb}, {}},                                //
      {"RDTSC", {0x0f, 0x31}, {}},                        //
      {"MOV r, Sreg", {0x8c, 0xd8}, {}},                  // mov eax, ds
  }};
  Costs costs;
  for (const Looped& looped : kLooped) {
    costs.translated[looped.name] = cycles_each(looped.body, looped.rest, kManyTurns);
  }
  costs.callout = cycles_each({0x0f, 0x01, 0xe0}, {}, kSomeTurns);  // smsw eax
  costs.trap_nanoseconds = measure_signal().value_or(0);
  return costs;
}

}  // namespace ringshift::lab
