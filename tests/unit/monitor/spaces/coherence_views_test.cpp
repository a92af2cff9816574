// Coherence: what all user views cost together stays in its bound, whatever a guest does with its
// address spaces; and a host that refuses one more mapping costs speed only.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "devices/bus/bus.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/spaces/coherence.h"
#include "shadowmmu/base/counters.h"
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 4U << 20;
constexpr uint32_t kDirectory = 0x1000;  // of the first space; more of them 4 KiB apart
constexpr uint32_t kSpaces = 110;
constexpr uint32_t kTable = 0x100000;   // for all of linear space: every page is one of RAM
constexpr uint32_t kUserEntry = 0x67;   // P W U A D
constexpr uint32_t kPages = 32 * 1024;  // of code in each space: as many as a view remembers

class CoherenceViews : public ::testing::Test {
 protected:
  CoherenceViews() {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    auto storage = FrameStorage::create(&error);
    frame_ = &storage->frame();
    physical_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    linear_ = std::make_unique<LinearMemory>(*physical_, state());
    coherence_ = Coherence::create(*physical_, *linear_, state(), &error);
    translator_ = Translator::create({.arena_bytes = 1U << 20, .limits = {}, .features = {}},
                                     *coherence_, *coherence_, *coherence_, *coherence_, &error);
    gate_ = Gate::create(translator_->stubs(), translator_->arena(), &error, std::move(storage));
    coherence_->attach(gate_.get(), &translator_->cache(), &translator_->arena());
    for (uint32_t i = 0; i < 1024; ++i) set32(kTable + i * 4, (i << 12) | kUserEntry);
    for (uint32_t space = 0; space < kSpaces; ++space) {
      for (uint32_t i = 0; i < 1024; ++i) {
        set32(kDirectory + space * kPageSize + i * 4, kTable | kUserEntry);
      }
    }
    reset(state());
    state().cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    state().cpl = 3;
    go_to_space(0);
    linear_->flush();
    coherence_->on_paging_mode_changed();
    counters() = Counters{};
  }
  [[nodiscard]] GuestState& state() { return frame_->state; }
  void set32(uint32_t at, uint32_t value) {
    std::memcpy(ram_->at(GuestPhysical(at)), &value, sizeof(value));
  }
  void go_to_space(uint32_t space) {
    state().cr3 = kDirectory + space * kPageSize;
    linear_->flush();
    coherence_->on_cr3_loaded();
  }
  void fetch(uint32_t eip) {
    GuestPhysical at;
    EXPECT_FALSE(coherence_->code_at(GuestVirtual(eip), Privilege::User, &at).empty());
  }
  void give_window() {
    constexpr uint64_t kMuchWork = 1U << 20;
    (void)coherence_->note_user_work(kMuchWork);
  }
  // Weighed after so many pages only.
  static constexpr size_t kSlack = size_t{4} << 20;

  std::unique_ptr<GuestMemory> ram_;
  MemoryBus bus_;
  Frame* frame_ = nullptr;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> linear_;
  std::unique_ptr<Coherence> coherence_;
  std::unique_ptr<Translator> translator_;
  std::unique_ptr<Gate> gate_;
};

TEST_F(CoherenceViews, AHundredSpacesFullOfCodeStayInTheBound) {
  for (uint32_t space = 0; space < kSpaces; ++space) {
    go_to_space(space);
    for (uint32_t page = 0; page < kPages; ++page) fetch(page << 12);
    ASSERT_LE(coherence_->user_view_bytes(), Coherence::kMostViewBytes + kSlack) << space;
  }
  EXPECT_GT(counters().user_views_evicted, 0U);
  EXPECT_GT(coherence_->user_view_bytes(), Coherence::kMostViewBytes / 2);
  coherence_->verify_invariants();
}

TEST_F(CoherenceViews, SoDoWindowsTouchedAllOver) {
  for (uint32_t space = 0; space < 24; ++space) {
    go_to_space(space);
    fetch(0);
    give_window();
    ASSERT_TRUE(coherence_->has_window(Privilege::User));
    // One page in each 2 MiB: the dearest there is.
    for (uint32_t block = 0; block < 2048; ++block) {
      ASSERT_EQ(coherence_->fill_window(GuestVirtual(block << 21), true, Privilege::User),
                Coherence::Miss::Filled);
    }
    ASSERT_LE(coherence_->user_view_bytes(), Coherence::kMostViewBytes + kSlack) << space;
  }
  coherence_->verify_invariants();
}

TEST_F(CoherenceViews, AViewIsHadWithoutAJumpTableOfItsOwn) {
  coherence_->refuse_every(1);  // all
  for (uint32_t space = 0; space < kSpaces; ++space) {
    go_to_space(space);
    fetch(0x1000);
    coherence_->select_view(Privilege::User);
    EXPECT_NE(frame_->slots.jump_table, 0U);
    give_window();
    EXPECT_FALSE(coherence_->has_window(Privilege::User));  // refused: it stays soft
  }
  coherence_->on_a20_changed();  // all views go, with the one table
  fetch(0x1000);
  coherence_->verify_invariants();
}

TEST_F(CoherenceViews, WhateverTheHostRefusesNothingIsLeftBehind) {
  for (const uint32_t every : {2U, 3U, 5U, 7U, 1U}) {
    SCOPED_TRACE(every);
    coherence_->refuse_every(0);
    go_to_space(every);
    fetch(0);
    give_window();
    coherence_->refuse_every(every);
    for (uint32_t i = 0; i < 2000; ++i) {
      const GuestVirtual at((i * 7919 % 4096) << 12);
      (void)coherence_->fill_window(at, i % 2 == 0, Privilege::User);
      if (i % 5 == 0) coherence_->ensure_code_trace(GuestPhysicalPage(i % 1024));
      if (i % 7 == 0) coherence_->on_page_invalidated(at);
      if (i % 50 == 0) coherence_->select_view(Privilege::User);
      if (i % 200 == 0) coherence_->verify_invariants();
    }
    coherence_->select_view(Privilege::User);
    coherence_->verify_invariants();
  }
}

}  // namespace
}  // namespace ringshift
