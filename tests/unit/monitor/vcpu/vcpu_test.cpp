// Vcpu and its engines: a whole processor runs small programs until something stops it, by
// whichever engine.
#include "monitor/vcpu/vcpu.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "devices/interrupts/pic8259.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/time/host_clock.h"
#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;
constexpr uint32_t kFrame = 16;  // of the code
constexpr uint32_t kCode = Paged::kKernel + kFrame * kPageSize;
constexpr uint16_t kStopPort = 0xf4;

// Stops the loop at a write, with what was written.
class StopPort final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return 0; }
  void write(uint16_t, AccessWidth, uint32_t value) override {
    written = value;
    loop->request_stop(StopReason::DebugExit);
  }
  Vcpu* loop = nullptr;
  uint32_t written = 0;
};

class VcpuTest : public ::testing::TestWithParam<Engine> {
 protected:
  VcpuTest() {
    std::string error;
    clock_ = HostClock::create(&error);
    EXPECT_NE(clock_, nullptr) << error;
    EXPECT_TRUE(paged_.machine.ports.claim(kStopPort, 1, port_, "stop"));
    paged_.state().eip = kCode;
    paged_.state().reg(Gpr::Esp) = Paged::kKernel + 0x100000;
  }
  StopReason run(VcpuConfig config = {}) {
    config.engine = GetParam();
    config.user = UserEngine::Translate;
    Processor& processor = paged_.processor();
    Vcpu& loop = processor.make_loop({.interrupts = interrupts_, .clock = *clock_}, config);
    port_.loop = &loop;
    std::string error;
    EXPECT_TRUE(HostSignals::install(&processor.gate(), &processor.attention(), &error)) << error;
    const StopReason reason = loop.run();
    HostSignals::uninstall();
    message_ = loop.message();
    return reason;
  }
  [[nodiscard]] bool translates() const { return GetParam() == Engine::Translate; }

  PagedMachine paged_;
  std::unique_ptr<HostClock> clock_;
  InterruptControllerPair interrupts_;
  StopPort port_;
  std::string message_;
};

TEST_P(VcpuTest, RunsToTheStopThatADeviceAsksFor) {
  // mov ecx, 1000; add eax, ecx; loop; out 0xf4, al; hlt
  paged_.put_code(kFrame, {0xb9, 0xe8, 3, 0, 0, 0x01, 0xc8, 0xe2, 0xfc, 0xe6, 0xf4, 0xf4});
  paged_.state().reg(Gpr::Eax) = 0;
  EXPECT_EQ(run(), StopReason::DebugExit);
  EXPECT_EQ(paged_.state().reg(Gpr::Eax), 500500U);
  EXPECT_EQ(port_.written, 500500U & 0xff);
  EXPECT_EQ(counters().units_translated != 0, translates());
}

TEST_P(VcpuTest, HltThatNothingCanEndIsPowerOff) {
  paged_.put_code(kFrame, {0xf4});
  EXPECT_EQ(run(), StopReason::Halted);
  EXPECT_EQ(paged_.state().eip, kCode + 1);
}

TEST_P(VcpuTest, ATripleFaultIsAReset) {
  paged_.put_code(kFrame, {0x0f, 0x0b});  // ud2, without a table of handlers
  paged_.state().idtr = {0, 0};
  EXPECT_EQ(run(), StopReason::Reset);
}

TEST_P(VcpuTest, WindowsFillOnDemandAndStoresArrive) {
  // mov edi, kKernel+0x200000; mov ecx, 100; l: mov [edi], ecx; add edi, 0x1000; loop l; out; hlt
  paged_.put_code(kFrame, {0xbf, 0,    0, 0x20, 0xc0, 0xb9, 100,  0,    0,    0,    0x89, 0x0f,
                           0x81, 0xc7, 0, 0x10, 0,    0,    0xe2, 0xf6, 0xe6, 0xf4, 0xf4});
  EXPECT_EQ(run(), StopReason::DebugExit);
  for (uint32_t i = 0; i < 100; ++i) {
    ASSERT_EQ(paged_.machine.get32(0x200000 + i * kPageSize), 100 - i) << i;
  }
  EXPECT_EQ(counters().faults_hidden >= 100, translates());
}

TEST_P(VcpuTest, CodeThatChangesItselfRunsAsChanged) {
  // mov byte [kCode+8], 2; mov al, 1 (the immediate is at kCode+8); out 0xf4, al; hlt
  paged_.put_code(kFrame, {0xc6, 0x05, 8, 0, 1, 0xc0, 2, 0xb0, 1, 0xe6, 0xf4, 0xf4});
  EXPECT_EQ(run(), StopReason::DebugExit);
  EXPECT_EQ(port_.written, 2U);
}

TEST_P(VcpuTest, TortureChangesNothing) {
  paged_.put_code(kFrame, {0xb9, 0xe8, 3, 0, 0, 0x01, 0xc8, 0xe2, 0xfc, 0xe6, 0xf4, 0xf4});
  paged_.state().reg(Gpr::Eax) = 0;
  VcpuConfig config;
  config.torture = {.drop_every = 1, .verify_every = 1};
  config.make_callouts = false;
  EXPECT_EQ(run(config), StopReason::DebugExit);
  EXPECT_EQ(paged_.state().reg(Gpr::Eax), 500500U);
}

TEST_P(VcpuTest, ALoopCanBeMadeAnewOverTheSameProcessor) {
  paged_.put_code(kFrame, {0x40, 0xe6, 0xf4, 0xeb, 0xfb});  // inc eax; out 0xf4, al; jmp
  paged_.state().reg(Gpr::Eax) = 0;
  for (uint32_t round = 1; round <= 3; ++round) {
    EXPECT_EQ(run(), StopReason::DebugExit);
    EXPECT_EQ(port_.written, round);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, VcpuTest, ::testing::Values(Engine::Translate, Engine::Interpret),
                         [](const ::testing::TestParamInfo<Engine>& engine) {
                           return engine.param == Engine::Translate ? "Translate" : "Interpret";
                         });

}  // namespace
}  // namespace ringshift
