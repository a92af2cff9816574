// CpuidFaulting: on with the first hand-over, off when the thread has been alone; CPUID that is
// executed all the same goes on.
#include "monitor/host/cpuid_faulting.h"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>

#include "monitor/host/attention.h"
#include "monitor/host/host_signals.h"

namespace ringshift {
namespace {

constexpr int kArchGetCpuid = 0x1011;  // 1: CPUID does not fault

bool faults_here() { return syscall(SYS_arch_prctl, kArchGetCpuid, 0) == 0; }

class CpuidFaultingTest : public testing::Test {
 protected:
  void SetUp() override {
    if (syscall(SYS_arch_prctl, kArchSetCpuid, 1UL) != 0) GTEST_SKIP() << "no CPUID faulting";
  }
  void TearDown() override { syscall(SYS_arch_prctl, kArchSetCpuid, 1UL); }
};

TEST_F(CpuidFaultingTest, BeginsWithAHandOverAndEndsWhenTheThreadHasBeenAlone) {
  CpuidFaulting faulting;
  EXPECT_FALSE(faults_here());
  faulting.before_handing_over(1000);
  EXPECT_TRUE(faults_here());
  faulting.before_handing_over(2000);
  faulting.while_alone(2000 + CpuidFaulting::kAloneCycles);
  EXPECT_TRUE(faults_here());
  faulting.while_alone(2001 + CpuidFaulting::kAloneCycles);
  EXPECT_FALSE(faulting.is_on());
  EXPECT_FALSE(faults_here());
  faulting.before_handing_over(3000 + CpuidFaulting::kAloneCycles);
  EXPECT_TRUE(faults_here());
}

TEST_F(CpuidFaultingTest, ItsEndIsTheEnd) {
  {
    CpuidFaulting faulting;
    faulting.before_handing_over(0);
    ASSERT_TRUE(faults_here());
  }
  EXPECT_FALSE(faults_here());
}

TEST_F(CpuidFaultingTest, KnowsTheInstruction) {
  alignas(16) constexpr std::array<uint8_t, 6> kBytes = {0x0f, 0xa2, 0x0f, 0x31, 0xa2, 0x0f};
  const auto base = reinterpret_cast<uint64_t>(kBytes.data());
  EXPECT_TRUE(CpuidFaulting::is_cpuid(base));
  EXPECT_FALSE(CpuidFaulting::is_cpuid(base + 2));
  EXPECT_FALSE(CpuidFaulting::is_cpuid(base + 4));
}

// As a library would that looks at the processor late: it gets its answer, not a signal.
TEST_F(CpuidFaultingTest, CpuidInThisThreadIsLetThroughAndTheNextHandOverBeginsAnew) {
  std::string error;
  Attention attention;
  ASSERT_TRUE(HostSignals::install(nullptr, &attention, &error)) << error;
  CpuidFaulting faulting;
  faulting.before_handing_over(0);
  ASSERT_TRUE(faults_here());
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __cpuid(0, eax, ebx, ecx, edx);
  EXPECT_NE(eax, 0U);
  EXPECT_FALSE(faults_here());
  faulting.while_alone(CpuidFaulting::kAloneCycles + 1);
  faulting.before_handing_over(CpuidFaulting::kAloneCycles + 2);
  EXPECT_TRUE(faults_here());
  faulting.end();
  HostSignals::uninstall();
}

}  // namespace
}  // namespace ringshift
