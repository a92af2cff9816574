// The instructions that are events, by their bytes; and the count that walks.
#include "translator/event_rule.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "translator/event_counter.h"

namespace ringshift {
namespace {

EventRule rule_of(std::vector<uint8_t> bytes) {
  bytes.resize(kMaxInstructionBytes, 0x90);
  GuestInstruction instruction;
  EXPECT_EQ(decode(bytes, DecodeMode::Bits32, &instruction), DecodeOutcome::Ok);
  return event_rule(instruction);
}

TEST(EventRule, BranchesThatSayWhereAreEventsByWhere) {
  for (const std::vector<uint8_t>& bytes :
       std::vector<std::vector<uint8_t>>{{0xeb, 0xfe},
                                         {0xe9, 0, 0, 0, 0},
                                         {0xe8, 0, 0, 0, 0},
                                         {0x74, 0x10},
                                         {0x0f, 0x85, 0, 0, 0, 0},
                                         {0xe2, 0xfe},
                                         {0xe1, 0},
                                         {0xe3, 0},
                                         {0x67, 0xe3, 0}}) {
    EXPECT_EQ(rule_of(bytes), EventRule::Branch);
  }
}

TEST(EventRule, BranchesThatDoNotSayWhereAreEventsAlways) {
  for (const std::vector<uint8_t>& bytes :
       std::vector<std::vector<uint8_t>>{{0xc3},
                                         {0xc2, 4, 0},
                                         {0xcb},
                                         {0xff, 0xe0},
                                         {0xff, 0xd0},
                                         {0xff, 0x20},
                                         {0xff, 0x28},
                                         {0xea, 0, 0, 0, 0, 8, 0},
                                         {0x9a, 0, 0, 0, 0, 8, 0}}) {
    EXPECT_EQ(rule_of(bytes), EventRule::Always);
  }
}

TEST(EventRule, PortsAndTheClockTakeTheirTimeAndTheRestNone) {
  EXPECT_EQ(rule_of({0x0f, 0x31}), EventRule::Time);
  EXPECT_EQ(rule_of({0xe4, 0x60}), EventRule::Port);
  EXPECT_EQ(rule_of({0xef}), EventRule::Port);
  for (const std::vector<uint8_t>& bytes : std::vector<std::vector<uint8_t>>{{0x90},
                                                                             {0xf4},
                                                                             {0xfb},
                                                                             {0xcf},
                                                                             {0xcd, 0x80},
                                                                             {0xf3, 0xa4},
                                                                             {0xf3, 0x6c},
                                                                             {0x0f, 0x34}}) {
    EXPECT_EQ(rule_of(bytes), EventRule::None);
  }
}

TEST(EventRule, OnlyAStepUpwardsInItsPageIsNone) {
  EXPECT_TRUE(goes_up_in_page(Eip(0x1000), Eip(0x1fff)));
  EXPECT_FALSE(goes_up_in_page(Eip(0x1000), Eip(0x1000)));
  EXPECT_FALSE(goes_up_in_page(Eip(0x1004), Eip(0x1000)));
  EXPECT_FALSE(goes_up_in_page(Eip(0x1fff), Eip(0x2000)));
  EXPECT_FALSE(goes_up_in_page(Eip(0xffffffff), Eip(0)));
}

TEST(EventCounter, CountsAndStopsWhereItsBudgetEnds) {
  constexpr uint64_t kFloor = 0x10000, kRoom = 64;
  uint64_t walk = 0;
  uint64_t origin = 0;
  EventCounter counter(&walk, &origin, kFloor, kRoom);
  EXPECT_TRUE(counter.is_due());
  EXPECT_EQ(counter.count(), 0U);
  counter.allow(3);
  for (uint64_t i = 1; i <= 3; ++i) {
    EXPECT_FALSE(counter.is_due());
    EXPECT_GE(walk, kFloor);  // what translated code would load from
    counter.add(1);
    EXPECT_EQ(counter.count(), i);
  }
  EXPECT_TRUE(counter.is_due());
  EXPECT_EQ(walk, kFloor - 1);
  counter.allow(1000);  // more than there is room for
  for (uint64_t i = 0; i < kRoom; ++i) counter.add(1);
  EXPECT_TRUE(counter.is_due());
  EXPECT_EQ(counter.count(), 3 + kRoom);
}

TEST(EventCounter, MayPassItsBudgetByAnAccessToAPort) {
  uint64_t walk = 0;
  uint64_t origin = 0;
  EventCounter counter(&walk, &origin, 0x10000, 64);
  counter.allow(1);
  counter.add(kEventsOfPortAccess);
  EXPECT_TRUE(counter.is_due());
  EXPECT_EQ(counter.count(), kEventsOfPortAccess);
  EXPECT_GT(walk, 0x10000U - kPageSize);
  counter.add(1'000'000);  // many accesses to a device, without an event between
  EXPECT_TRUE(counter.is_due());
  EXPECT_EQ(counter.count(), kEventsOfPortAccess + 1'000'000);
  EXPECT_GT(walk, 0x10000U - kPageSize);
  counter.set_count(5000);
  EXPECT_EQ(counter.count(), 5000U);
  EXPECT_TRUE(counter.is_due());
}

}  // namespace
}  // namespace ringshift
