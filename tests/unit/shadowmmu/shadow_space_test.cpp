// ShadowSpace: what is dropped is forgotten at once and unmapped in runs; what is not global is
// counted.
#include "shadowmmu/shadow_space.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 16U << 20;
constexpr GuestVirtualPage kFirst(0x400);  // begins a region of 4 MiB

using Runs = std::vector<std::pair<uint32_t, uint32_t>>;

// Maps nothing, and notes what it was asked to unmap.
class NotingMapper final : public WindowMapper {
 public:
  explicit NotingMapper(Runs* unmapped) : unmapped_(unmapped) {}
  [[nodiscard]] HostAddress base() const override { return {}; }
  [[nodiscard]] bool map(GuestVirtualPage, GuestPhysicalPage, uint32_t, HostAccess) override {
    return true;
  }
  void unmap(GuestVirtualPage at, uint32_t pages) override {
    unmapped_->emplace_back(at.number(), pages);
  }
  void restrict_to(GuestVirtualPage, HostAccess) override {}

 private:
  Runs* unmapped_;
};

class ShadowSpaceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    space_ = ShadowSpace::create(std::make_unique<NotingMapper>(&unmapped_), reverse_, traces_,
                                 ShadowBudget{1000, 1000}, &error);
    ASSERT_NE(space_, nullptr) << error;
  }
  void TearDown() override {
    space_->verify_invariants();
    space_.reset();
  }
  void fill(GuestVirtualPage at, bool is_global = false) {
    ShadowRun run;
    run.virtual_page = at;
    run.physical_page = GuestPhysicalPage(at.number() % 0x100);
    run.is_global = is_global;
    ASSERT_TRUE(space_->fill(run));
  }

  Runs unmapped_;
  ReverseMap reverse_{kRamBytes};
  TraceTable traces_{kRamBytes};
  std::unique_ptr<ShadowSpace> space_;
};

TEST_F(ShadowSpaceTest, NeighboursDroppedOneAfterTheOtherGoInOneCall) {
  for (uint32_t i = 0; i < 6; ++i) fill(kFirst + i);
  for (uint32_t i : {0U, 1U, 2U, 4U, 5U}) space_->drop(kFirst + i);
  EXPECT_EQ(space_->find(kFirst), nullptr);
  EXPECT_EQ(space_->mapped_pages(), 1U);
  EXPECT_TRUE(unmapped_.empty());
  space_->settle();
  EXPECT_EQ(unmapped_, (Runs{{0x400, 3}, {0x404, 2}}));
  space_->settle();
  EXPECT_EQ(unmapped_.size(), 2U);
}

TEST_F(ShadowSpaceTest, WhatIsMappedAnewIsNotUnmappedLater) {
  fill(kFirst);
  space_->drop(kFirst);
  fill(kFirst);
  EXPECT_EQ(unmapped_.size(), 1U);
  space_->settle();
  EXPECT_EQ(unmapped_.size(), 1U);
  EXPECT_NE(space_->find(kFirst), nullptr);
}

TEST_F(ShadowSpaceTest, ManyScatteredDropsDoNotPileUp) {
  constexpr uint32_t kPages = 400;
  for (uint32_t i = 0; i < kPages; ++i) fill(kFirst + 2 * i);
  for (uint32_t i = 0; i < kPages; ++i) space_->drop(kFirst + 2 * i);
  EXPECT_GT(unmapped_.size(), 100U);
  space_->settle();
  EXPECT_EQ(unmapped_.size(), kPages);
}

TEST_F(ShadowSpaceTest, WhatIsNotGlobalIsCountedByRegion) {
  const GuestVirtualPage elsewhere(0x900);
  fill(kFirst);
  fill(kFirst + 1, true);
  fill(elsewhere, true);
  EXPECT_EQ(space_->local_pages(), 1U);
  EXPECT_TRUE(space_->has_local(1));
  EXPECT_FALSE(space_->has_local(2));
  fill(elsewhere);
  EXPECT_EQ(space_->local_pages(), 2U);
  space_->drop(kFirst);
  EXPECT_FALSE(space_->has_local(1));
  EXPECT_EQ(space_->mapped_pages(), 2U);
}

TEST_F(ShadowSpaceTest, RetainAsksAboutHeldRegionsOnly) {
  const GuestVirtualPage last(0xfffff);
  fill(kFirst);
  fill(kFirst + 3);
  fill(last);
  std::vector<uint32_t> regions;
  space_->retain([](const ShadowMapping& mapping) { return mapping.virtual_page != kFirst; },
                 [&](uint32_t region) {
                   regions.push_back(region);
                   return region != 1;
                 });
  EXPECT_EQ(regions, (std::vector<uint32_t>{1, 1023}));
  EXPECT_EQ(space_->find(kFirst), nullptr);
  EXPECT_NE(space_->find(kFirst + 3), nullptr);
  EXPECT_NE(space_->find(last), nullptr);
}

}  // namespace
}  // namespace ringshift
