#include "shadowmmu/base/address.h"

#include <gtest/gtest.h>

#include <concepts>
#include <type_traits>
#include <unordered_set>

namespace ringshift {
namespace {

template <typename Left, typename Right>
concept CanSubtract = requires(Left left, Right right) {
  left - right;
};
template <typename Left, typename Right>
concept CanAdd = requires(Left left, Right right) {
  left + right;
};
template <typename Left, typename Right>
concept CanCompare = requires(Left left, Right right) {
  left < right;
};
template <typename Left, typename Right>
concept CanEqual = requires(Left left, Right right) {
  left == right;
};

// No way from one kind to another, nor from a plain number, without a name being written.
template <typename Left, typename Right>
constexpr bool kStrangers =
    !CanSubtract<Left, Right> && !CanAdd<Left, Right> && !CanCompare<Left, Right> &&
    !CanEqual<Left, Right> && !std::is_convertible_v<Left, Right> &&
    !std::is_constructible_v<Left, Right> && !std::is_assignable_v<Left&, Right>;

static_assert(kStrangers<GuestOffset, GuestVirtual>);
static_assert(kStrangers<GuestVirtual, GuestOffset>);
static_assert(kStrangers<GuestVirtual, GuestPhysical>);
static_assert(kStrangers<GuestPhysical, GuestVirtual>);
static_assert(kStrangers<GuestPhysical, HostAddress>);
static_assert(kStrangers<HostAddress, GuestPhysical>);
static_assert(kStrangers<HostAddress, GuestVirtual>);
static_assert(kStrangers<GuestOffset, GuestPhysical>);
static_assert(kStrangers<GuestOffset, HostAddress>);
static_assert(kStrangers<GuestVirtualPage, GuestPhysicalPage>);
static_assert(kStrangers<GuestVirtualPage, GuestVirtual>);
static_assert(kStrangers<GuestPhysical, GuestPhysicalPage>);

static_assert(!std::is_convertible_v<uint32_t, GuestVirtual>);
static_assert(!std::is_convertible_v<GuestVirtual, uint32_t>);
static_assert(!std::is_convertible_v<uint64_t, GuestPhysicalPage>);
static_assert(!std::is_convertible_v<GuestPhysical, uint64_t>);
static_assert(!CanAdd<GuestVirtual, GuestVirtual>);

// The operations that one kind allows with itself.
static_assert(CanSubtract<GuestVirtual, GuestVirtual>);
static_assert(CanAdd<GuestPhysical, uint64_t>);
static_assert(CanCompare<HostAddress, HostAddress>);
static_assert(
    std::same_as<decltype(GuestVirtual(1) - GuestVirtual(0)), GuestVirtual::Representation>);
static_assert(sizeof(GuestVirtual) == 4 && sizeof(GuestPhysical) == 8);

TEST(Address, LinearArithmeticWrapsAtFourGibibytes) {
  EXPECT_EQ(GuestVirtual(0xffffffff) + 2, GuestVirtual(1));
  EXPECT_EQ(GuestVirtual(1) - 2U, GuestVirtual(0xffffffff));
  EXPECT_EQ(GuestVirtual(1) - GuestVirtual(0xffffffff), 2U);
}

TEST(Address, PageBaseAndOffsetMakeUpTheAddress) {
  GuestPhysical address(0xf12345678);
  EXPECT_EQ(address.page_base(), GuestPhysical(0xf12345000));
  EXPECT_EQ(address.offset_in_page(), 0x678U);
  EXPECT_EQ(address.page_base() + address.offset_in_page(), address);
}

TEST(Address, PageNumberLeadsBackToThePageBase) {
  EXPECT_EQ(GuestPhysicalPage::of(GuestPhysical(0xf12345678)).number(), 0xf12345U);
  EXPECT_EQ(GuestVirtualPage::of(GuestVirtual(0xffffffff)).address(), GuestVirtual(0xfffff000));
}

TEST(Address, PagesAndAddressesAreUsableAsKeys) {
  std::unordered_set<GuestPhysicalPage> pages{GuestPhysicalPage(1), GuestPhysicalPage(1)};
  std::unordered_set<GuestVirtual> addresses{GuestVirtual(1), GuestVirtual(2)};
  EXPECT_EQ(pages.size(), 1U);
  EXPECT_EQ(addresses.size(), 2U);
}

}  // namespace
}  // namespace ringshift
