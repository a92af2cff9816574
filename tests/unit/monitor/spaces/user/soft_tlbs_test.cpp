// SoftTlbs: each flush removes the entries that it must, and a CR3 load with global pages no
// others.
#include "monitor/spaces/user/soft_tlbs.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>

namespace ringshift {
namespace {

constexpr GuestVirtualPage kPage(0xc0123);
constexpr GuestVirtualPage kOtherPage(0xc0777);
constexpr GuestVirtualPage kFarPage(0x08048);

class SoftTlbsTest : public testing::Test {
 protected:
  SoftTlbsTest() : frame_(std::make_unique<Frame>()) { tlbs_.attach(frame_.get()); }
  void fill(GuestVirtualPage page, Privilege privilege, bool is_global, bool is_large = false) {
    SoftTlbs::Fill fill;
    fill.page = page;
    fill.host_page = 0x7000000000;
    fill.may_write = true;
    fill.is_global = is_global;
    fill.is_large = is_large;
    tlbs_.fill(fill, privilege);
  }
  [[nodiscard]] bool supervisor_has(GuestVirtualPage page) const {
    return tlbs_.holds(page, false, Privilege::Supervisor);
  }
  [[nodiscard]] bool user_has(GuestVirtualPage page) const {
    return tlbs_.holds(page, false, Privilege::User);
  }

  std::unique_ptr<Frame> frame_;
  SoftTlbs tlbs_;
};

TEST_F(SoftTlbsTest, AReadOnlyPageIsNotHeldForWriting) {
  SoftTlbs::Fill fill;
  fill.page = kPage;
  tlbs_.fill(fill, Privilege::User);
  EXPECT_TRUE(tlbs_.holds(kPage, false, Privilege::User));
  EXPECT_FALSE(tlbs_.holds(kPage, true, Privilege::User));
  EXPECT_FALSE(tlbs_.holds(kPage, false, Privilege::Supervisor));
}

TEST_F(SoftTlbsTest, APageWithCodeIsHeldForStoresUntilAllMustBeSeen) {
  CodeBytes bytes;
  SoftTlbs::Fill fill;
  fill.page = kPage;
  fill.host_page = 0x7000000000;
  fill.code = &bytes;
  const auto holds = [this] { return tlbs_.holds(kPage, true, Privilege::User); };
  tlbs_.fill(fill, Privilege::User);
  EXPECT_TRUE(holds());
  EXPECT_FALSE(tlbs_.holds(kPage, true, Privilege::Supervisor));
  tlbs_.forget_writes_to(fill.host_page);
  EXPECT_FALSE(holds());
  EXPECT_TRUE(tlbs_.holds(kPage, false, Privilege::User));
  tlbs_.fill(fill, Privilege::User);
  fill.code = nullptr;
  tlbs_.fill(fill, Privilege::User);
  EXPECT_FALSE(holds()) << "the place is that of the last fill";
  fill.code = &bytes;
  tlbs_.fill(fill, Privilege::User);
  tlbs_.flush_page(kPage);
  EXPECT_FALSE(holds());
  uint32_t held = 0;
  tlbs_.for_each_beside_code([&held](GuestVirtualPage, uint64_t, uint64_t) { ++held; });
  EXPECT_EQ(held, 0U);
}

TEST_F(SoftTlbsTest, EachFlushTakesThePageThatIsWatchedInPart) {
  const std::function<void()> flushes[] = {[this] { tlbs_.flush(); },
                                           [this] { tlbs_.flush_all_but_global(); },
                                           [this] { tlbs_.flush_page(kOtherPage); }};
  SoftTlbs::Fill fill;
  fill.page = kPage;
  for (const std::function<void()>& flush : flushes) {
    tlbs_.fill_around(fill, kPage.address() + 4, kPage.address() + 7, Privilege::Supervisor);
    EXPECT_TRUE(tlbs_.holds_around(kPage, false, Privilege::Supervisor));
    EXPECT_FALSE(tlbs_.holds_around(kPage, true, Privilege::Supervisor));
    EXPECT_FALSE(tlbs_.holds_around(kPage, false, Privilege::User));
    EXPECT_FALSE(supervisor_has(kPage));
    flush();
    EXPECT_FALSE(tlbs_.holds_around(kPage, false, Privilege::Supervisor));
  }
}

TEST_F(SoftTlbsTest, ACr3LoadSparesWhatIsGlobal) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kOtherPage, Privilege::Supervisor, false);
  fill(kFarPage, Privilege::User, true);
  tlbs_.flush_all_but_global();
  EXPECT_TRUE(supervisor_has(kPage));
  EXPECT_FALSE(supervisor_has(kOtherPage));
  EXPECT_FALSE(user_has(kFarPage));
}

TEST_F(SoftTlbsTest, ASlotIsAsGlobalAsItsLastFill) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kPage, Privilege::Supervisor, false);
  tlbs_.flush_all_but_global();
  EXPECT_FALSE(supervisor_has(kPage));
  fill(kPage, Privilege::Supervisor, false);
  fill(kPage, Privilege::Supervisor, true);
  tlbs_.flush_all_but_global();
  EXPECT_TRUE(supervisor_has(kPage));
}

TEST_F(SoftTlbsTest, AFlushTakesEverything) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kFarPage, Privilege::User, false);
  tlbs_.flush();
  EXPECT_FALSE(supervisor_has(kPage));
  EXPECT_FALSE(user_has(kFarPage));
}

TEST_F(SoftTlbsTest, InvalidatingAPageTakesItAlone) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kPage, Privilege::User, true);
  fill(kOtherPage, Privilege::Supervisor, false);
  tlbs_.flush_page(kPage);
  EXPECT_FALSE(supervisor_has(kPage));
  EXPECT_FALSE(user_has(kPage));
  EXPECT_TRUE(supervisor_has(kOtherPage));
}

TEST_F(SoftTlbsTest, InvalidatingAnyPartOfALargePageTakesAllOfIt) {
  fill(kPage, Privilege::Supervisor, true, true);
  tlbs_.flush_page(kPage + 1);
  EXPECT_FALSE(supervisor_has(kPage));
}

// ---- stores to page tables ----

class TableStoresTest : public SoftTlbsTest {
 protected:
  static constexpr uint64_t kRam = 0x7000000000;
  static constexpr GuestPhysicalPage kTable{5};

  TableStoresTest() {
    tlbs_.attach(tables_, kRam);
    tables_.set_policy(ShadowPolicy::Trace, 8);
    tables_.set_is_linked([](const TableLink&) { return true; });
    (void)tables_.note_compared({kTable, GuestPhysical(0), false}, TableTraces::Finding::New, 1);
    traces_.add(kTable, TraceReason::PageTable);
    tables_.begin(kTable, 1);
  }
  void fill_table(bool is_global) {
    SoftTlbs::Fill fill;
    fill.page = kPage;
    fill.host_page = kRam + kTable.address().value();
    fill.may_mark = true;
    fill.is_global = is_global;
    tlbs_.fill(fill, Privilege::Supervisor);
  }
  [[nodiscard]] bool holds_for_writing() const {
    return tlbs_.holds(kPage, true, Privilege::Supervisor);
  }
  // As the stub does.
  void store() {
    TableTlbEntry& entry = frame_->table_tlb[kPage.number() % kSoftTlbEntries];
    ASSERT_EQ(entry.negated_page + kPage.number(), 0U);
    EXPECT_EQ(entry.addend + kPage.address().value(), kRam + kTable.address().value());
    entry.is_written = 1;
    frame_->slots.tables_written = 1;
  }
  TraceTable traces_{1U << 20};
  TableTraces tables_{traces_};
};

TEST_F(TableStoresTest, AMarkIsDeliveredOnce) {
  fill_table(true);
  EXPECT_TRUE(holds_for_writing());
  EXPECT_EQ(frame_->supervisor_tlb[kPage.number() % kSoftTlbEntries].negated_write_page, 1U);
  store();
  tlbs_.deliver_marks();
  const uint64_t version = tables_.ask(kTable);
  EXPECT_NE(version, 1U);
  tlbs_.deliver_marks();
  EXPECT_EQ(tables_.ask(kTable), version);
}

TEST_F(TableStoresTest, NoFlushLosesAMark) {
  const std::function<void()> flushes[] = {
      [this] { tlbs_.flush(); }, [this] { tlbs_.flush_all_but_global(); },
      [this] { tlbs_.flush_page(kPage); },
      [this] { tlbs_.forget_writes_to(kRam + kTable.address().value()); }};
  for (const std::function<void()>& flush : flushes) {
    fill_table(false);
    const uint64_t version = tables_.ask(kTable);
    store();
    flush();
    EXPECT_FALSE(holds_for_writing());
    EXPECT_NE(tables_.ask(kTable), version);
  }
}

TEST_F(TableStoresTest, ATableIsAsGlobalAsItsOwnFill) {
  fill_table(true);
  fill(kPage + kSoftTlbEntries, Privilege::Supervisor, false);  // of the same slot
  tlbs_.flush_all_but_global();
  EXPECT_TRUE(holds_for_writing());
  fill_table(false);
  fill(kPage + kSoftTlbEntries, Privilege::Supervisor, true);
  tlbs_.flush_all_but_global();
  EXPECT_FALSE(holds_for_writing());
}

TEST_F(TableStoresTest, WritesToAPageAreForgottenReadsAreNot) {
  SoftTlbs::Fill fill;
  fill.page = kPage;
  fill.host_page = kRam + 0x7000;
  fill.may_write = true;
  for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
    tlbs_.fill(fill, privilege);
    tlbs_.forget_writes_to(kRam + 0x8000);
    EXPECT_TRUE(tlbs_.holds(kPage, true, privilege));
    tlbs_.forget_writes_to(kRam + 0x7000);
    EXPECT_FALSE(tlbs_.holds(kPage, true, privilege));
    EXPECT_TRUE(tlbs_.holds(kPage, false, privilege));
  }
  tlbs_.fill_around(fill, kPage.address(), kPage.address(), Privilege::User);
  tlbs_.forget_writes_to(kRam + 0x7000);
  EXPECT_FALSE(tlbs_.holds_around(kPage, true, Privilege::User));
}

}  // namespace
}  // namespace ringshift
