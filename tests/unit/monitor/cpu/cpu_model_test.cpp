#include "monitor/cpu/cpu_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "devices/interrupts/local_apic.h"

namespace ringshift {
namespace {

std::string text(std::initializer_list<uint32_t> words) {
  std::string result;
  for (const uint32_t word : words) {
    char bytes[4];
    std::memcpy(bytes, &word, sizeof(bytes));
    result.append(bytes, sizeof(bytes));
  }
  return result;
}

TEST(CpuModel, NamesItself) {
  const CpuModel model;
  const CpuidResult vendor = model.cpuid(0, 0);
  EXPECT_EQ(text({vendor.ebx, vendor.edx, vendor.ecx}), "GenuineIntel");
  const CpuidResult hypervisor = model.cpuid(0x40000000, 0);
  EXPECT_EQ(text({hypervisor.ebx, hypervisor.ecx, hypervisor.edx}), "RingshiftVMM");
  std::string brand;
  for (uint32_t leaf = 0x80000002U; leaf <= 0x80000004U; ++leaf) {
    const CpuidResult part = model.cpuid(leaf, 0);
    brand += text({part.eax, part.ebx, part.ecx, part.edx});
  }
  EXPECT_STREQ(brand.c_str(), "Ringshift virtual CPU");
}

TEST(CpuModel, ClaimsWhatLinuxNeedsAndNothingThatIsMissing) {
  const CpuidResult features = CpuModel().cpuid(1, 0);
  for (const unsigned bit : {0U, 3U, 4U, 5U, 6U, 8U, 11U, 12U, 13U, 15U, 23U, 24U, 25U, 26U}) {
    EXPECT_TRUE((features.edx >> bit) & 1U) << bit;
  }
  for (const unsigned bit : {1U, 7U, 9U, 14U, 17U, 28U}) {  // VME MCE APIC MCA PSE36 HTT
    EXPECT_FALSE((features.edx >> bit) & 1U) << bit;
  }
  for (const unsigned bit : {3U, 5U, 13U, 21U, 26U, 27U, 28U}) {  // MONITOR VMX CX16 x2APIC XSAVE
    EXPECT_FALSE((features.ecx >> bit) & 1U) << bit;
  }
  EXPECT_TRUE((CpuModel().cpuid(0x80000001U, 0).edx >> 20) & 1U);
  EXPECT_TRUE((CpuModel().cpuid(0x80000007U, 0).edx >> 8) & 1U);
}

TEST(CpuModel, ShowsTheHypervisorThatWasChosen) {
  CpuModel model;
  model.tsc_hz = 2'445'427'000;
  EXPECT_EQ(model.cpuid(0x40000000, 0).eax, 0x40000000U);
  EXPECT_EQ(model.cpuid(0x40000001, 0).eax, model.cpuid(0x16, 0).eax) << "no leaf of its own";

  model.paravirt = Paravirt::Kvm;
  CpuidResult shown = model.cpuid(0x40000000, 0);
  EXPECT_EQ(text({shown.ebx, shown.ecx, shown.edx}), std::string("KVMKVMKVM\0\0\0", 12));
  EXPECT_EQ(shown.eax, 0x40000001U);
  EXPECT_EQ(model.cpuid(0x40000001, 0).eax, 0x0bU);
  model.steal_time = model.tsc_is_stable = true;
  EXPECT_EQ(model.cpuid(0x40000001, 0).eax, 0x0100002bU);
  EXPECT_EQ(model.cpuid(0x40000001, 0).edx, 0U);
  EXPECT_EQ(model.cpuid(0x40000010, 0).eax, 0U);

  model.paravirt = Paravirt::Ringshift;
  shown = model.cpuid(0x40000000, 0);
  EXPECT_EQ(text({shown.ebx, shown.ecx, shown.edx}), "RingshiftVMM");
  EXPECT_EQ(shown.eax, 0x40000001U);
  EXPECT_EQ(model.cpuid(0x40000001, 0).eax, kRingshiftVersion);
  EXPECT_EQ(model.cpuid(0x40000001, 0).ebx, kRingshiftMsrs);

  model.paravirt = Paravirt::Vmware;
  shown = model.cpuid(0x40000000, 0);
  EXPECT_EQ(text({shown.ebx, shown.ecx, shown.edx}), "VMwareVMware");
  EXPECT_EQ(shown.eax, 0x40000010U);
  shown = model.cpuid(0x40000010, 0);
  EXPECT_EQ(shown.eax, 2'445'427U);
  EXPECT_EQ(shown.ebx, kLocalApicHertz / 1000);
  EXPECT_EQ(shown.ecx | shown.edx, 0U);
  EXPECT_EQ(model.cpuid(0x40000001, 0).eax, 0U);
}

TEST(CpuModel, OffersTheApicOfTheBoard) {
  CpuModel model;
  model.apic = true;
  EXPECT_TRUE((model.cpuid(1, 0).edx >> 9) & 1U);
  EXPECT_EQ(model.cpuid(6, 0).eax, 1U << 2);
  EXPECT_EQ(CpuModel().cpuid(6, 0).eax, 0U);
}

TEST(CpuModel, SwitchesTakeTheirBitsAway) {
  CpuModel model;
  model.pae = false;
  model.sysenter = false;
  model.sse42 = false;
  model.meltdown = true;
  const CpuidResult features = model.cpuid(1, 0);
  EXPECT_EQ(features.eax & 0xff0U, 0x680U);
  EXPECT_EQ(features.edx & ((1U << 6) | (1U << 11) | (1U << 26)), 0U);
  EXPECT_EQ(features.ecx, 1U << 31);
  EXPECT_EQ(model.cpuid(7, 0).edx, 0U);
  EXPECT_EQ(model.cpuid(0x80000001U, 0).edx, 0U);
  EXPECT_EQ(CpuModel().cpuid(7, 0).edx, 1U << 29);
}

TEST(CpuModel, Bmi1IsOfferedWhereTheHostHasIt) {
  constexpr uint32_t kBmi1 = 1U << 3;
  CpuModel model;
  EXPECT_EQ(model.cpuid(7, 0).ebx, host_has_bmi1() ? kBmi1 : 0U);
  model.bmi1 = true;
  EXPECT_EQ(model.cpuid(7, 0).ebx, kBmi1);
  EXPECT_EQ(model.cpuid(7, 1).ebx, 0U);
  model.bmi1 = false;
  EXPECT_EQ(model.cpuid(7, 0).ebx, 0U);
}

TEST(CpuModel, ClockLeafIsThereOnlyWhenTheRateIsKnown) {
  CpuModel model;
  EXPECT_EQ(model.cpuid(0, 0).eax, 0xaU);
  EXPECT_EQ(model.cpuid(0x15, 0).eax, 0U);
  model.tsc_hz = 2500000000ULL;
  EXPECT_EQ(model.cpuid(0, 0).eax, 0x16U);
  const CpuidResult clock = model.cpuid(0x15, 0);
  EXPECT_EQ(uint64_t{clock.ecx} * clock.ebx / clock.eax, 2500000000ULL);
  EXPECT_EQ(clock.ecx, kLocalApicHertz);
}

TEST(CpuModel, ClockLeafIsExactEnoughInThirtyTwoBits) {
  for (const uint64_t rate : {800'000'123ULL, 2'593'906'111ULL, 3'999'999'999ULL}) {
    CpuModel model;
    model.tsc_hz = rate;
    const CpuidResult clock = model.cpuid(0x15, 0);
    const uint64_t kilohertz = uint64_t{clock.ecx / 1000} * clock.ebx;
    EXPECT_LE(kilohertz, ~uint32_t{0}) << rate;
    EXPECT_NEAR(static_cast<double>(kilohertz) / clock.eax * 1000, static_cast<double>(rate),
                static_cast<double>(rate) * 20e-6);
  }
}

// Generated code answers a leaf without subleaves whatever ECX asks for.
TEST(CpuModel, OnlyLeavesThatHaveSubleavesDependOnThem) {
  for (const Paravirt paravirt :
       {Paravirt::None, Paravirt::Kvm, Paravirt::Vmware, Paravirt::Ringshift}) {
    for (const bool is_late : {false, true}) {
      CpuModel model;
      model.paravirt = paravirt;
      model.sse42 = model.apic = is_late;
      model.tsc_hz = is_late ? 2'000'000'000 : 0;
      for (const uint32_t range : {0U, 0x40000000U, 0x80000000U, 0xc0000000U}) {
        for (uint32_t leaf = range; leaf < range + 0x120; ++leaf) {
          if (CpuModel::has_subleaves(leaf)) continue;
          const CpuidResult first = model.cpuid(leaf, 0);
          for (const uint32_t subleaf : {1U, 2U, 3U, 0xffffffffU}) {
            const CpuidResult other = model.cpuid(leaf, subleaf);
            EXPECT_EQ(text({first.eax, first.ebx, first.ecx, first.edx}),
                      text({other.eax, other.ebx, other.ecx, other.edx}))
                << leaf << ' ' << subleaf;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace ringshift
