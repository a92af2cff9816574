#include "monitor/paravirt/vmware_interface.h"

#include "devices/interrupts/local_apic.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/support/paravirt_fixture.h"

namespace ringshift {
namespace {

class VmwareInterfaceTest : public ParavirtFixture {
 protected:
  static constexpr uint32_t kPage = 0x30000;

  VmwareInterfaceTest() {
    model.paravirt = Paravirt::Vmware;
    model.tsc_hz = 5'000'000'000;
    model.steal_time = true;
    vmware_ = make();
    EXPECT_TRUE(cpu().ports.claim(VmwareInterface::kPort, 4, *vmware_, "vmware"));
  }
  std::unique_ptr<VmwareInterface> make() {
    return std::make_unique<VmwareInterface>(state, *told_memory_, model,
                                             [this] { return stolen_time_; });
  }
  uint32_t ask(uint32_t command, uint32_t esi = 0, uint32_t edi = 0) {
    state.reg(Gpr::Eax) = VmwareInterface::kMagic;
    state.reg(Gpr::Ebx) = 0xffffffff;
    state.reg(Gpr::Ecx) = command;
    state.reg(Gpr::Esi) = esi;
    state.reg(Gpr::Edi) = edi;
    return cpu().ports.read(VmwareInterface::kPort, AccessWidth::Dword);
  }
  Nanoseconds stolen_time_ = 100;
  std::unique_ptr<VmwareInterface> vmware_;
};

TEST_F(VmwareInterfaceTest, AnswersWhatLinuxAsks) {
  EXPECT_EQ(ask(10), 6U);
  EXPECT_EQ(state.reg(Gpr::Ebx), VmwareInterface::kMagic);
  EXPECT_EQ(ask(45), static_cast<uint32_t>(5'000'000'000));
  EXPECT_EQ(state.reg(Gpr::Ebx), 1U);
  EXPECT_EQ(state.reg(Gpr::Ecx), kLocalApicHertz);
  EXPECT_EQ(ask(68) & 0x80000008U, 0U) << "answered, and no x2APIC";
  EXPECT_EQ(ask(0xffff000aU), 6U) << "the upper half of ECX is a channel's";
}

TEST_F(VmwareInterfaceTest, IsSilentWithoutTheMagicNumber) {
  (void)ask(10);
  state.reg(Gpr::Eax) = 0;
  state.reg(Gpr::Ebx) = 7;
  EXPECT_EQ(cpu().ports.read(VmwareInterface::kPort, AccessWidth::Dword), 0xffffffffU);
  state.reg(Gpr::Eax) = VmwareInterface::kMagic;
  EXPECT_EQ(cpu().ports.read(VmwareInterface::kPort, AccessWidth::Word), 0xffffU);
  EXPECT_EQ(cpu().ports.read(VmwareInterface::kPort + 1, AccessWidth::Byte), 0xffU);
  cpu().ports.write(VmwareInterface::kPort, AccessWidth::Dword, 1);
  EXPECT_EQ(state.reg(Gpr::Ebx), 7U);
}

TEST_F(VmwareInterfaceTest, OtherCommandsAreNotImplemented) {
  for (uint32_t command = 0; command < 0x200; ++command) {
    if (command == 10 || command == 45 || command == 68 || command == 91) continue;
    ASSERT_EQ(ask(command), 0xffffffffU) << command;
    ASSERT_EQ(state.reg(Gpr::Ebx), 0xffffffffU) << command;
  }
}

TEST_F(VmwareInterfaceTest, StolenTimeIsInTicks) {
  EXPECT_EQ(ask(91, 0, 1), 0U) << "off: there, and not on";
  ASSERT_EQ(ask(91, 0, kPage), 1U);
  EXPECT_EQ(told<uint32_t>(kPage), 0U);
  stolen_time_ += 1'000'000'000;
  vmware_->at_safe_point();
  EXPECT_EQ(told<uint64_t>(kPage), 5'000'000'000U);
  EXPECT_EQ(ask(91, 0, 1), 0U);
  stolen_time_ += 1'000'000'000;
  vmware_->at_safe_point();
  EXPECT_EQ(told<uint64_t>(kPage), 5'000'000'000U);
}

TEST_F(VmwareInterfaceTest, HostileAddressesTurnItOff) {
  for (const auto& [esi, edi] : {std::pair{0U, kPage + 8},
                                 {0U, static_cast<uint32_t>(kRamBytes)},
                                 {1U, kPage},
                                 {0xffffffffU, 0xffffffc0U},
                                 {0U, 0xfee00000U}}) {
    EXPECT_EQ(ask(91, esi, edi), 0U) << esi << ' ' << edi;
    stolen_time_ += 5;
    vmware_->at_safe_point();
  }
  EXPECT_EQ(told<uint32_t>(kPage), 0U);
  EXPECT_EQ(told<uint32_t>(kPage + 8), 0U);
  model.steal_time = false;
  EXPECT_EQ(ask(91, 0, kPage), 0xffffffffU);
}

TEST_F(VmwareInterfaceTest, StolenTimeSurvivesASave) {
  ASSERT_EQ(ask(91, 0, kPage), 1U);
  stolen_time_ += 1000;
  vmware_->at_safe_point();
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(
      StateArchive::save([&](StateArchive& a) { a.part("vmware", *vmware_); }, &saved, &error))
      << error;
  const auto other = make();
  stolen_time_ = 10;
  ASSERT_TRUE(StateArchive::load(
      saved, [&](StateArchive& a) { a.part("vmware", *other); }, &error))
      << error;
  stolen_time_ += 1000;
  other->at_safe_point();
  EXPECT_EQ(told<uint32_t>(kPage), 5U * (1000 + 1000));
}

}  // namespace
}  // namespace ringshift
