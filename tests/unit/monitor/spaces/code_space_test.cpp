// CodeSpace: the keys and bytes of code as each address space sees them.
#include "monitor/spaces/code_space.h"

#include <gtest/gtest.h>

#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;
constexpr uint32_t kKernelCode = Paged::kKernel + 0x10123;
constexpr uint32_t kUserCode = Paged::kUser + 0x10123;

class CodeSpaceTest : public ::testing::Test {
 protected:
  [[nodiscard]] CodeSpace& code() { return paged_.processor().code(); }
  PagedMachine paged_;
};

TEST_F(CodeSpaceTest, TheKeySaysWhereAndHow) {
  const auto key = code().key_for(Eip(kKernelCode), Privilege::Supervisor);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->physical, GuestPhysical(0x10123));
  EXPECT_EQ(key->style, AccessStyle::Window);
  EXPECT_EQ(key->view, 0U);
}

TEST_F(CodeSpaceTest, TwoSpacesShareTheCodeOfAFrame) {
  paged_.enter_user();
  const auto one = code().key_for(Eip(kUserCode), Privilege::User);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_EQ(code().key_for(Eip(kUserCode), Privilege::User), one);
  EXPECT_EQ(one->style, AccessStyle::Soft);
}

TEST_F(CodeSpaceTest, AViewThatHasEarnedItHasCodeOfItsOwn) {
  paged_.enter_user();
  (void)paged_.spaces().note_user_work(1U << 20);
  EXPECT_EQ(code().key_for(Eip(kUserCode), Privilege::User)->style, AccessStyle::Window);
  for (int tick = 0; tick < 8; ++tick) paged_.spaces().note_user_tick();
  EXPECT_NE(code().key_for(Eip(kUserCode), Privilege::User)->view, 0U);
}

TEST_F(CodeSpaceTest, WhatCannotBeFetchedHasNoKey) {
  EXPECT_FALSE(code().key_for(Eip(0x40000000), Privilege::Supervisor));
  paged_.enter_user();
  EXPECT_FALSE(code().key_for(Eip(kKernelCode), Privilege::User));
  paged_.map(Paged::kUserTable, 20, Paged::kPages, Paged::kUserPage);  // behind RAM
  EXPECT_FALSE(code().key_for(Eip(Paged::kUser + 20 * kPageSize), Privilege::User));
}

TEST_F(CodeSpaceTest, FetchingSetsTheAccessedBit) {
  GuestPhysical physical;
  const auto bytes = code().code_at(GuestVirtual(kKernelCode), Privilege::Supervisor, &physical);
  EXPECT_EQ(bytes.size(), kPageSize - 0x123);
  EXPECT_EQ(physical, GuestPhysical(0x10123));
  EXPECT_NE(paged_.entry(Paged::kKernelTable, 16) & Paged::kAccessed, 0U);
}

TEST_F(CodeSpaceTest, NothingIsKeptOutUntilSomebodySaysSo) {
  EXPECT_EQ(code().kept_out(), nullptr);
  KeptOut addresses;
  code().set_kept_out(&addresses);
  EXPECT_EQ(code().kept_out(), nullptr) << "never an empty set";
  addresses.insert(GuestVirtual(kKernelCode));
  EXPECT_EQ(code().kept_out(), &addresses);
}

}  // namespace
}  // namespace ringshift
