// DirectSpaces: the pages of an address space that a sandboxed process is shown, and those kept
// from it.
#include "monitor/spaces/user/direct_spaces.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;
constexpr uint32_t kFrame = 16;
constexpr uint32_t kCode = Paged::kUser + kFrame * kPageSize;
constexpr uint32_t kData = Paged::kUser + 0x200000;

class DirectSpacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    host_ = DirectHost::create(paged_.machine.ram->descriptor(), CpuidGuard::Auto, &error);
    if (host_ == nullptr) GTEST_SKIP() << "no direct execution on this host: " << error;
    paged_.enter_user();
    DirectRules rules;
    rules.traps = host_->traps();
    direct_ = std::make_unique<DirectSpaces>(paged_.processor().resources(), paged_.spaces(),
                                             host_.get(), rules);
  }
  [[nodiscard]] const ShadowMapping* held(uint32_t linear) {
    return direct_->space()->shadow().find(GuestVirtualPage::of(GuestVirtual(linear)));
  }
  [[nodiscard]] DirectSpaces::Miss fetch(uint32_t eip) {
    return direct_->fill(GuestVirtual(eip), Eip(eip));
  }

  PagedMachine paged_;
  std::unique_ptr<DirectHost> host_;
  std::unique_ptr<DirectSpaces> direct_;
};

TEST(DirectSpacesNotOffered, SaysSo) {
  PagedMachine paged;
  EXPECT_FALSE(paged.processor().direct().offered());
}

TEST_F(DirectSpacesTest, TheProcessBelongsToTheAddressSpace) {
  DirectSpace* space = direct_->space();
  ASSERT_NE(space, nullptr);
  EXPECT_EQ(direct_->space(), space);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_NE(direct_->space(), space);
  paged_.load_cr3(Paged::kDirectory);
  EXPECT_EQ(direct_->space(), space);
}

TEST_F(DirectSpacesTest, PlainCodeIsMappedTracedAndExecutable) {
  paged_.put_code(kFrame, {0x40, 0xeb, 0xfd});
  ASSERT_NE(direct_->space(), nullptr);
  EXPECT_EQ(fetch(kCode), DirectSpaces::Miss::Filled);
  ASSERT_NE(held(kCode), nullptr);
  EXPECT_TRUE(held(kCode)->is_executable);
  EXPECT_FALSE(held(kCode)->is_writable);  // M5
  EXPECT_TRUE(
      paged_.watch().traces().is_traced_for(GuestPhysicalPage(kFrame), TraceReason::DirectCode));
}

TEST_F(DirectSpacesTest, SensitiveCodeIsNotMappedAndIsRemembered) {
  paged_.put_code(kFrame, {0x0f, 0x01, 0x00});  // sgdt [eax]
  ASSERT_NE(direct_->space(), nullptr);
  EXPECT_FALSE(direct_->is_known_sensitive(Eip(kCode)));
  EXPECT_EQ(fetch(kCode), DirectSpaces::Miss::Sensitive);
  EXPECT_TRUE(direct_->is_known_sensitive(Eip(kCode)));
  EXPECT_EQ(held(kCode), nullptr);
}

TEST_F(DirectSpacesTest, AWriteToCodeRevokesItsExecution) {
  paged_.put_code(kFrame, {0x40, 0xeb, 0xfd});
  ASSERT_NE(direct_->space(), nullptr);
  ASSERT_EQ(fetch(kCode), DirectSpaces::Miss::Filled);
  const uint8_t changed = 0x48;
  paged_.machine.physical.write(GuestPhysical(kFrame * kPageSize), &changed, 1);
  paged_.spaces().apply(Paged::safe());
  EXPECT_TRUE(held(kCode) == nullptr || !held(kCode)->is_executable);
}

TEST_F(DirectSpacesTest, DataComesWithTheNeighboursTheGuestHasUsed) {
  ASSERT_NE(direct_->space(), nullptr);
  const uint32_t used = Paged::kUserPage | Paged::kAccessed;
  const uint32_t first = (kData - Paged::kUser) / kPageSize;
  paged_.map(Paged::kUserTable, first + 1, first + 1, used);
  paged_.map(Paged::kUserTable, first + 2, first + 2, used);
  EXPECT_EQ(direct_->fill(GuestVirtual(kData), Eip(kCode)), DirectSpaces::Miss::Filled);
  EXPECT_NE(held(kData + 2 * kPageSize), nullptr);
  EXPECT_EQ(held(kData + 3 * kPageSize), nullptr) << "A is not set: the guest has not been there";
}

TEST_F(DirectSpacesTest, KernelPagesAreNeverShown) {
  ASSERT_NE(direct_->space(), nullptr);
  EXPECT_EQ(direct_->fill(GuestVirtual(Paged::kKernel), Eip(kCode)), DirectSpaces::Miss::Interpret);
  EXPECT_EQ(held(Paged::kKernel), nullptr);
}

TEST_F(DirectSpacesTest, RdtscFaultsOnlyWhereTheGuestsCounterIsNotTheHosts) {
  EXPECT_EQ(direct_->time_stamp_trap(), TimeStampTrap::Off);
  paged_.state().tsc_offset = 1;
  EXPECT_EQ(direct_->time_stamp_trap(), TimeStampTrap::On);
  paged_.state().tsc_offset = 0;
  paged_.state().cr4 |= kCr4Tsd;
  EXPECT_EQ(direct_->time_stamp_trap(), TimeStampTrap::On);
}

TEST_F(DirectSpacesTest, ASpaceThatHasEndedGivesUp) {
  ASSERT_NE(direct_->space(), nullptr);
  direct_->end();
  EXPECT_TRUE(paged_.spaces().enter(Privilege::User).policy.has_given_up());
  EXPECT_EQ(fetch(kCode), DirectSpaces::Miss::Interpret);
}

}  // namespace
}  // namespace ringshift
