// ShadowSpace: a dropped mapping is forgotten at once and unmapped in runs; mappings that are not
// global are counted.
#include "shadowmmu/shadow_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/shared_base.h"

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
  [[nodiscard]] bool unmap(GuestVirtualPage at, uint32_t pages) override {
    unmapped_->emplace_back(at.number(), pages);
    return true;
  }
  [[nodiscard]] bool restrict_to(GuestVirtualPage, HostAccess) override { return true; }
  [[nodiscard]] bool clear() override { return true; }

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
  EXPECT_TRUE(space_->has_local(Region(1)));
  EXPECT_FALSE(space_->has_local(Region(2)));
  fill(elsewhere);
  EXPECT_EQ(space_->local_pages(), 2U);
  space_->drop(kFirst);
  EXPECT_FALSE(space_->has_local(Region(1)));
  EXPECT_EQ(space_->mapped_pages(), 2U);
}

TEST_F(ShadowSpaceTest, RetainAsksAboutHeldRegionsOnly) {
  const GuestVirtualPage last(0xfffff);
  fill(kFirst);
  fill(kFirst + 3);
  fill(last);
  std::vector<uint32_t> regions;
  space_->retain([](const ShadowMapping& mapping) { return mapping.virtual_page != kFirst; },
                 [&](Region region) {
                   regions.push_back(region.index());
                   return region != Region(1);
                 });
  EXPECT_EQ(regions, (std::vector<uint32_t>{1, 1023}));
  EXPECT_EQ(space_->find(kFirst), nullptr);
  EXPECT_NE(space_->find(kFirst + 3), nullptr);
  EXPECT_NE(space_->find(last), nullptr);
}

// Keeps what a host would: rights by page. Refuses as told.
class ModelMapper final : public WindowMapper {
 public:
  ModelMapper(std::vector<HostAccess>* rights, HostRefusals* refusals)
      : rights_(*rights), refusals_(*refusals) {}
  [[nodiscard]] HostAddress base() const override { return {}; }
  [[nodiscard]] bool map(GuestVirtualPage at, GuestPhysicalPage, uint32_t pages,
                         HostAccess access) override {
    return set(at, pages, access);
  }
  [[nodiscard]] bool unmap(GuestVirtualPage at, uint32_t pages) override {
    return set(at, pages, HostAccess::None);
  }
  [[nodiscard]] bool restrict_to(GuestVirtualPage at, HostAccess access) override {
    return set(at, 1, access);
  }
  [[nodiscard]] bool clear() override {
    std::fill(rights_.begin(), rights_.end(), HostAccess::None);
    return !refusals_.refuses();
  }

 private:
  bool set(GuestVirtualPage at, uint32_t pages, HostAccess access) {
    if (refusals_.refuses()) return false;
    std::fill_n(rights_.begin() + at.number(), pages, access);
    return true;
  }
  std::vector<HostAccess>& rights_;
  HostRefusals& refusals_;
};

class RefusedSpace : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint32_t kPages = 4096;  // of linear space, used here
  RefusedSpace() : rights_(1U << 20, HostAccess::None) {
    std::string error;
    refusals_.refuse_every(GetParam());
    space_ = ShadowSpace::create(std::make_unique<ModelMapper>(&rights_, &refusals_), reverse_,
                                 traces_, ShadowBudget{600, 2000, nullptr}, &error);
  }
  // After settle() the host grants no more than the records say, and no traced page may be written.
  void expect_nothing_left_behind() {
    space_->settle();
    space_->verify_invariants();
    for (uint32_t i = 0; i < kPages; ++i) {
      const ShadowMapping* mapping = space_->find(GuestVirtualPage(i));
      ASSERT_TRUE(mapping != nullptr || rights_[i] == HostAccess::None) << i;
      ASSERT_TRUE(rights_[i] != HostAccess::ReadWrite || mapping->is_writable) << i;
    }
  }

  HostRefusals refusals_;
  std::vector<HostAccess> rights_;
  ReverseMap reverse_{kRamBytes};
  TraceTable traces_{kRamBytes};
  std::unique_ptr<ShadowSpace> space_;
};

// 0: the budget alone, which is small enough to be used up.
INSTANTIATE_TEST_SUITE_P(Every, RefusedSpace, testing::Values(0, 1, 2, 3, 5, 17));

TEST_P(RefusedSpace, LeavesNothingBehind) {
  std::mt19937 random(GetParam());
  for (int i = 0; i < 3000; ++i) {
    const auto number = static_cast<uint32_t>(random());
    const GuestVirtualPage at(number % (kPages - 1024));
    const GuestPhysicalPage frame((number >> 12) % (kRamBytes / kPageSize - 1024));
    ShadowRun run;
    run.virtual_page = at;
    run.physical_page = frame;
    run.may_write = true;
    run.is_large = number % 64 == 0;
    run.pages = run.is_large ? 512 : 1;
    switch (number % 8) {
      case 0:
        space_->drop(at);
        break;
      case 1:
        traces_.add(frame, TraceReason::TranslatedCode);
        ShadowSpace::protect_all(reverse_.of(frame));
        break;
      case 2:
        traces_.remove(frame, TraceReason::TranslatedCode);
        break;
      case 3:
        if (number % 1024 == 3) space_->drop_region(at);
        break;
      default:
        (void)space_->fill(run);
    }
    if (i % 100 == 0) expect_nothing_left_behind();
  }
  expect_nothing_left_behind();
}

TEST_F(ShadowSpaceTest, ManyAliasesOfATracedPageStayInTheBudget) {
  // Each alias takes two host mappings to protect: 64 of them for 64 pages would take 8,192.
  for (uint32_t alias = 0; alias < 64; ++alias) {
    ShadowRun run;
    run.virtual_page = kFirst + alias * 512;
    run.physical_page = GuestPhysicalPage(0x200);
    run.pages = 64;
    run.may_write = run.is_large = true;
    (void)space_->fill(run);
  }
  for (uint32_t i = 0; i < 64; ++i) {
    const GuestPhysicalPage page(0x200 + i);
    traces_.add(page, TraceReason::TranslatedCode);
    ShadowSpace::protect_all(reverse_.of(page));
  }
  space_->verify_invariants();
}

// ---- what the host has ----

class HostedSpace : public testing::Test {
 protected:
  static constexpr uint32_t kPages = 512;  // of linear space, from 0 on
  void SetUp() override {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    ASSERT_NE(ram_, nullptr) << error;
    space_ = ShadowSpace::create(*ram_, reverse_, traces_, ShadowBudget{4000, 4000}, &error);
    ASSERT_NE(space_, nullptr) << error;
  }
  void fill(uint32_t page, uint32_t frame, bool may_write) {
    ShadowRun run;
    run.virtual_page = GuestVirtualPage(page);
    run.physical_page = GuestPhysicalPage(frame);
    run.may_write = may_write;
    ASSERT_TRUE(space_->fill(run));
  }
  // Mappings of the process that have a part in the window.
  [[nodiscard]] size_t mappings_of_host() const {
    std::ifstream maps("/proc/self/maps");
    const uint64_t begin = space_->base().value(), end = begin + (uint64_t{1} << 32);
    size_t found = 0;
    for (std::string line; std::getline(maps, line);) {
      uint64_t from = 0, to = 0;
      if (std::sscanf(line.c_str(), "%lx-%lx", &from, &to) != 2) continue;
      if (from < end && to > begin) ++found;
    }
    return found;
  }
  void expect_count_of_host() {
    space_->settle();
    space_->verify_invariants();
    EXPECT_EQ(space_->host_boundaries() + 1, mappings_of_host());
  }

  std::unique_ptr<GuestMemory> ram_;
  ReverseMap reverse_{kRamBytes};
  TraceTable traces_{kRamBytes};
  std::unique_ptr<ShadowSpace> space_;
};

TEST_F(HostedSpace, PagesInTheirOrderTakeOneMapping) {
  for (uint32_t i = 0; i < kPages; ++i) fill(10 + i, 100 + i, true);
  EXPECT_EQ(space_->host_boundaries(), 2U);
  expect_count_of_host();
}

TEST_F(HostedSpace, WhateverIsDoneTheCountIsTheHosts) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto number = static_cast<uint32_t>(random());
    const uint32_t page = 1 + number % kPages;  // the first has a neighbour outside
    const uint32_t in_order = page + 100;
    const uint32_t anywhere = (number >> 10) % (kRamBytes / kPageSize);
    const GuestPhysicalPage frame(in_order);
    switch (number >> 29) {
      case 0:
        space_->drop(GuestVirtualPage(page));
        break;
      case 1:
        if (!traces_.is_traced(frame)) traces_.add(frame, TraceReason::TranslatedCode);
        ShadowSpace::protect_all(reverse_.of(frame));
        break;
      case 2:
        if (traces_.is_traced(frame)) traces_.remove(frame, TraceReason::TranslatedCode);
        break;
      case 3:
        fill(page, anywhere, number % 2 == 0);
        break;
      default:
        fill(page, in_order, number % 8 != 0);
    }
    if (i % 50 == 0) expect_count_of_host();
  }
  expect_count_of_host();
  space_->drop_all();
  EXPECT_EQ(space_->host_boundaries(), 0U);
  expect_count_of_host();
}

TEST_F(ShadowSpaceTest, WhatItTakesGoesWithTheMappings) {
  EXPECT_EQ(space_->bytes(), 0U);
  for (uint32_t i = 0; i < 64; ++i) fill(kFirst + i * 512);
  EXPECT_GE(space_->bytes(), 64 * 2 * kPageSize);
  space_->drop_all();
  EXPECT_EQ(space_->bytes(), 0U);
  EXPECT_EQ(space_->find(kFirst), nullptr);
}

// A window onto RAM that begins as a base whose pages all have their number in their first byte.
class SharedSpaceTest : public testing::Test {
 protected:
  SharedSpaceTest() : ram_(GuestMemory::create(kRamBytes, &error_)) {
    for (uint32_t page = 0; page < kPages; ++page) *ram_->at(at(page)) = static_cast<uint8_t>(page);
    base_.put_under(*ram_);
    space_ = ShadowSpace::create(*ram_, reverse_, traces_, {1000, 10000, &refusals_}, &error_);
  }
  ~SharedSpaceTest() override { space_->verify_invariants(); }
  [[nodiscard]] static GuestPhysical at(uint32_t page) { return GuestPhysicalPage(page).address(); }
  [[nodiscard]] bool fill(GuestVirtualPage to, uint32_t page, uint32_t pages = kPages) {
    return space_->fill({.virtual_page = to,
                         .physical_page = GuestPhysicalPage(page),
                         .pages = pages,
                         .may_write = true,
                         .is_large = true});
  }
  void make_own(uint32_t page) {
    PageRange moved;
    ASSERT_TRUE(ram_->make_own(GuestPhysicalPage(page), &moved).ok());
    ShadowSpace::follow_all(reverse_, moved, Backing::Own);
  }
  void make_shared(uint32_t page) {
    PageRange moved;
    ASSERT_TRUE(ram_->make_shared(GuestPhysicalPage(page), &moved).ok());
    ShadowSpace::follow_all(reverse_, moved, Backing::Base);
  }
  [[nodiscard]] volatile uint8_t& byte(GuestVirtualPage page) {
    return *reinterpret_cast<uint8_t*>(space_->base().value() + page.address().value());
  }
  static constexpr uint32_t kPages = 16;

  std::string error_;
  ReverseMap reverse_{kRamBytes};
  TraceTable traces_{kRamBytes};
  HostRefusals refusals_;
  std::unique_ptr<GuestMemory> ram_;
  SharedBase base_;
  std::unique_ptr<ShadowSpace> space_;
};

TEST_F(SharedSpaceTest, PagesOfTheBaseAreReadThroughTheWindowAndNotWritable) {
  ASSERT_TRUE(fill(kFirst, 1, kPages - 1));
  for (uint32_t i = 0; i < kPages - 1; ++i) {
    EXPECT_EQ(byte(kFirst + i), i + 1);
    EXPECT_TRUE(space_->find(kFirst + i)->may_write);
    EXPECT_FALSE(space_->find(kFirst + i)->is_writable);
  }
  EXPECT_EQ(space_->host_boundaries(), 2U) << "one mapping of the host's";
}

TEST_F(SharedSpaceTest, EveryMappingOfACopyFollows) {
  const GuestVirtualPage second(0x2000);
  ASSERT_TRUE(fill(kFirst, 0) && fill(second, 0));
  make_own(5);
  for (const GuestVirtualPage first : {kFirst, second}) {
    EXPECT_TRUE(space_->find(first + 4)->is_writable && space_->find(first + 7)->is_writable);
    EXPECT_FALSE(space_->find(first + 3)->is_writable || space_->find(first + 8)->is_writable);
  }
  byte(kFirst + 5) = 0x99;
  EXPECT_EQ(byte(second + 5), 0x99);
  EXPECT_EQ(*ram_->at(at(5)), 0x99);
  EXPECT_EQ(base_.byte_at(at(5).value()), 5);
  EXPECT_EQ(space_->host_boundaries(), 8U) << "three mappings each";
}

TEST_F(SharedSpaceTest, TracedPagesOfACopyStayReadOnly) {
  traces_.add(GuestPhysicalPage(6), TraceReason::TranslatedCode);
  ASSERT_TRUE(fill(kFirst, 0));
  make_own(5);
  EXPECT_TRUE(space_->find(kFirst + 5)->is_writable);
  EXPECT_FALSE(space_->find(kFirst + 6)->is_writable);
  EXPECT_EQ(space_->find(kFirst + 6)->backing, Backing::Own);
}

TEST_F(SharedSpaceTest, SharedAgainItIsOneMappingAgain) {
  ASSERT_TRUE(fill(kFirst, 0));
  make_own(5);
  make_shared(5);
  EXPECT_EQ(space_->host_boundaries(), 2U);
  EXPECT_FALSE(space_->find(kFirst + 5)->is_writable);
  EXPECT_EQ(byte(kFirst + 5), 5);
}

// Each page by itself: read through the window, and one mapping that joins with none beside it.
TEST_F(SharedSpaceTest, PagesThatAreSharedAloneFollowAlone) {
  ASSERT_TRUE(fill(kFirst, 0));
  make_own(5);
  ASSERT_TRUE(ram_->join({GuestPhysicalPage(6), 1}).ok());
  ShadowSpace::follow_all(reverse_, {GuestPhysicalPage(6), 1}, Backing::Base);
  ASSERT_TRUE(ram_->join_elsewhere(GuestPhysicalPage(7), {.base = 0, .page = 12}).ok());
  ShadowSpace::follow_all(reverse_, {GuestPhysicalPage(7), 1}, Backing::Elsewhere);
  EXPECT_EQ(byte(kFirst + 6), 6);
  EXPECT_EQ(byte(kFirst + 7), 12);
  EXPECT_TRUE(space_->find(kFirst + 5)->is_writable);
  EXPECT_FALSE(space_->find(kFirst + 6)->is_writable || space_->find(kFirst + 7)->is_writable);
  space_->verify_invariants();
  EXPECT_EQ(space_->host_boundaries(), 6U);
  space_->drop_all();
  ASSERT_TRUE(fill(kFirst, 0)) << "a run of all of them";
  EXPECT_EQ(byte(kFirst + 7), 12);
  make_own(7);
  byte(kFirst + 7) = 0x99;
  EXPECT_EQ(*ram_->at(at(7)), 0x99);
  EXPECT_EQ(byte(kFirst + 12), 12);
}

TEST_F(SharedSpaceTest, AHostThatRefusesCostsTheWindowWhatItHas) {
  ASSERT_TRUE(fill(kFirst, 0));
  refusals_.refuse_every(1);
  make_own(5);
  EXPECT_EQ(space_->mapped_pages(), 0U);
  refusals_.refuse_every(0);
  ASSERT_TRUE(fill(kFirst, 0));
  byte(kFirst + 5) = 0x99;
  EXPECT_EQ(*ram_->at(at(5)), 0x99);
}

TEST_F(SharedSpaceTest, ASpaceElsewhereLosesWhatItCannotShow) {
  make_own(5);
  Runs unmapped;
  auto other = ShadowSpace::create(std::make_unique<NotingMapper>(&unmapped), reverse_, traces_,
                                   ShadowBudget{1000, 1000}, &error_);
  ASSERT_TRUE(other->fill({.virtual_page = kFirst, .physical_page = GuestPhysicalPage(5)}));
  make_shared(5);
  EXPECT_EQ(other->find(kFirst), nullptr);
  other->settle();
  EXPECT_EQ(unmapped, (Runs{{kFirst.number(), 1}}));
}

}  // namespace
}  // namespace ringshift
