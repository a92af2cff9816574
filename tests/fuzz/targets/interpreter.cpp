// Any bytes as code in any mode, with descriptors, gates and page tables of its choice: a step ends
// in a value (V1), the same way twice, and a fault leaves registers as they were (V1).
#include <algorithm>
#include <cstring>
#include <memory>

#include "monitor/cpu/event_delivery.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/interpreter_fixture.h"

namespace ringshift::fuzz {
namespace {

constexpr uint32_t kSteps = 48;

class Processor : public InterpreterFixture {
 public:
  static Processor& get() {
    static Processor processor;  // RAM and the floating-point unit are dear to make
    return processor;
  }
  void run(FuzzBytes bytes) {
    begin();
    const uint8_t shape = bytes.u8();
    enter(shape);
    choose_registers(bytes);
    sow(bytes, shape);
    const auto code = bytes.rest();
    const uint32_t at = state.seg(SegmentRegister::Cs).base + state.eip;
    for (size_t i = 0; i < code.size() && at + i < kRamBytes; ++i) {
      set8(at + static_cast<uint32_t>(i), code[i]);
    }
    cpu().memory.flush();
    for (uint32_t i = 0; i < kSteps && state.activity == ActivityState::Running; ++i) {
      if (!step_once()) break;
    }
  }
  using InterpreterFixture::state;
  [[nodiscard]] uint8_t* ram() { return cpu().memory.physical().ram().at(GuestPhysical(0)); }

 private:
  void TestBody() override {}

  void begin() {
    std::memset(ram(), 0, kRamBytes);
    state = GuestState();
    reset(state);
    set_up_tables();
    state.cr0 = kCr0Pe | kCr0Et;
    state.gdtr = {kGdt, 0xff};
    state.idtr = {kIdt, 0x7ff};
    state.tr = {kTss, 0x2fff, kTssSelector, 0x8b};
    state.ldtr = SegmentCache{};
    state.eflags = kFlagReservedOne;
    tsc_.now = 1000;
    cpu().memory_types = MemoryTypes{};
    enter_ring(0);
  }
  void enter(uint8_t shape) {
    state.cr4 = (shape & 8) != 0 ? kCr4Osfxsr | kCr4Osxmmexcpt : 0;
    switch (shape & 7) {
      case 0:
        return enter_real_mode();
      case 1:
        return enter_v86(3);
      case 2:
        return enter_v86(0);
      case 3:
        return enter_ring(3);
      case 4:
        return enter_ring(1);
      case 5:
        enter_ring(0);
        state.seg(SegmentRegister::Cs) = {0, 0xfffff, kCode16, 0x9b};
        return;
      default:
        return enter_ring(0);
    }
  }
  void choose_registers(FuzzBytes& bytes) {
    static constexpr std::array<uint32_t, 8> kValues = {0,          1,     0xffffffff, 0x80000000,
                                                        0x7fffffff, kData, 0x0000ffff, 0xfffffffe};
    for (uint32_t& value : state.gpr) {
      const uint8_t choice = bytes.u8();
      if (choice < 128) value = kValues[choice % 8] + (choice >> 3);
      if (choice >= 192) value = bytes.u32();
    }
    constexpr uint32_t kChosen =
        kFlagsArithmetic | kFlagTf | kFlagDf | kFlagIf | kFlagIopl | kFlagNt | kFlagRf | kFlagAc;
    state.eflags = (state.eflags & ~kChosen) | (bytes.u32() & kChosen);
  }
  // Dwords of the tables, then paging: what the guest's memory holds is its own choice.
  void sow(FuzzBytes& bytes, uint8_t shape) {
    static constexpr std::array<uint32_t, 8> kTables = {kGdt,      kIdt,    kLdt,    kTss,
                                                        kOtherTss, 0xf0000, 0xf1000, kData};
    if ((shape & 16) != 0 && state.protected_mode()) enable_paging();
    if ((shape & 32) != 0) state.ldtr = {kLdt, 0xff, kLdtSelector, 0x82};
    for (uint32_t count = bytes.u8() % 32; count != 0; --count) {
      const uint32_t table = bytes.pick(kTables);
      const uint32_t at = table + bytes.u8() * 4U;
      set32(at, bytes.u32());
    }
    if ((shape & 64) != 0) state.dr[7] = 0x400U | (bytes.u32() & 0xffff03ffU);
    if ((shape & 64) != 0) state.dr[0] = kData + bytes.u8();
  }
  // False: the run ends here.
  bool step_once() {
    const GuestState before = state;
    const Eip eip = state.pointer();
    const StepResult result = step();
    switch (result.kind) {
      case StepKind::Done:
        return true;
      case StepKind::EventDue:
      case StepKind::Halted:
        return false;
      case StepKind::Unimplemented:
        CHECK(!result.message.empty());
        return false;
      case StepKind::Fault:
        check_untouched(before, result.fault);
        return hand_over(Event::from_fault(result.fault, state.pointer()), state.pointer());
      case StepKind::SoftwareEvent: {
        Event event;
        event.kind = result.is_software_exception ? EventKind::SoftwareException
                                                  : EventKind::SoftwareInterrupt;
        event.vector = result.vector;
        event.return_eip = result.return_eip;
        return hand_over(event, eip);
      }
    }
    UNREACHABLE();
  }
  // A trap comes after its instruction; a task switch that fails has taken place (SDM 3A 7.3); a
  // repeated string instruction has made some of its steps.
  void check_untouched(const GuestState& before, const GuestFault& fault) {
    if (fault.vector == Vector::Debug || before.tr.selector != state.tr.selector) return;
    CHECK(state.eip == before.eip);
    if (state.reg(Gpr::Ecx) != before.reg(Gpr::Ecx)) return;
    CHECK(state.gpr == before.gpr);
    CHECK(state.cpl == before.cpl);
    CHECK(((state.eflags ^ before.eflags) & ~kFlagRf) == 0);
  }
  bool hand_over(const Event& event, Eip eip) {
    if (deliver(cpu(), event, eip) != DeliveryResult::Shutdown) return true;
    state.activity = ActivityState::Shutdown;
    return false;
  }
};

bool same(const GuestState& left, const GuestState& right) {
  return left.gpr == right.gpr && left.eip == right.eip && left.eflags == right.eflags &&
         left.cpl == right.cpl && left.cr0 == right.cr0 && left.cr3 == right.cr3 &&
         left.cr4 == right.cr4 && left.activity == right.activity && left.dr == right.dr &&
         left.fxsave == right.fxsave;
}

}  // namespace

void fuzz_interpreter(std::span<const uint8_t> input) {
  Processor& processor = Processor::get();
  processor.run(FuzzBytes(input));
  // The second time is as dear as the first, so the input says whether it is made.
  if (input.size() < 2 || input[1] % 4 != 0) return;
  const GuestState first = processor.state;
  const std::vector<uint8_t> ram(processor.ram(), processor.ram() + (1U << 20));
  processor.run(FuzzBytes(input));
  CHECK(same(first, processor.state));
  CHECK(std::memcmp(ram.data(), processor.ram(), ram.size()) == 0);
}

}  // namespace ringshift::fuzz
