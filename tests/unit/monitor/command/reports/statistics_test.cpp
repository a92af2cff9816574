#include "monitor/command/reports/statistics.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "shadowmmu/guest_memory.h"

namespace ringshift {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Statistics, TextLeavesOutZeroCountersUnlessAllAreAsked) {
  Counters counters;
  counters.halts = 12;
  const std::string text = statistics_as_text(counters, {}, StatisticsDetail::NonZero);
  EXPECT_TRUE(contains(text, "cpu\n  halts"));
  EXPECT_FALSE(contains(text, "attentions"));
  const std::string all = statistics_as_text(counters, {}, StatisticsDetail::All);
  EXPECT_TRUE(contains(all, "attentions"));
}

TEST(Statistics, TextNamesEachGroupOnceInARow) {
  Counters counters;
  counters.units_translated = 1;
  counters.instructions_translated = 2;
  const std::string text = statistics_as_text(counters, {}, StatisticsDetail::NonZero);
  EXPECT_EQ(text.find("translator\n"), text.rfind("translator\n"));
}

TEST(Statistics, RatiosFollowFromTheCounters) {
  Counters counters;
  counters.translate_cycles = 3000;
  counters.instructions_translated = 10;
  counters.units_translated = 4;
  counters.faults_hidden = 6;
  counters.faults_true = 3;
  counters.halted_nanoseconds = 1'500'000'000;
  const auto json = nlohmann::json::parse(statistics_as_json(counters, {}));
  EXPECT_DOUBLE_EQ(json["derived.host_cycles_per_translated_instruction"], 300.0);
  EXPECT_DOUBLE_EQ(json["derived.instructions_per_unit"], 2.5);
  EXPECT_DOUBLE_EQ(json["derived.hidden_faults_per_true_fault"], 2.0);
  EXPECT_DOUBLE_EQ(json["time.halted_s"], 1.5);
}

TEST(Statistics, ARatioToZeroIsLeftOut) {
  const auto json = nlohmann::json::parse(statistics_as_json({}, {}));
  EXPECT_FALSE(json.contains("derived.hidden_faults_per_true_fault"));
  EXPECT_FALSE(json.contains("memory.monitor_mib"));
}

TEST(Statistics, JsonHasEveryCounterUnderItsName) {
  Counters counters;
  counters.exit_interpret = 7;
  const auto json = nlohmann::json::parse(statistics_as_json(counters, {}));
  EXPECT_EQ(json["exits.interpret"], 7);
  EXPECT_EQ(json["exits.unlinked"], 0);
  EXPECT_TRUE(json["derived.exits"].is_number_unsigned());
  EXPECT_EQ(json["derived.exits"], 7);
  for_each_counter(counters, [&](std::string_view name, uint64_t) {
    EXPECT_TRUE(json.contains(std::string(name))) << name;
  });
}

TEST(Statistics, GuestRamCountsAsItIsTouched) {
  std::string error;
  const std::unique_ptr<GuestMemory> memory = GuestMemory::create(16U << 20, &error);
  ASSERT_NE(memory, nullptr) << error;
  for (uint64_t page = 0; page < 256; ++page) *memory->at(GuestPhysical(page * kPageSize)) = 1;
  const ProcessFigures figures = measure_process(1.0, memory->descriptor());
  ASSERT_TRUE(figures.guest_ram_resident_bytes.has_value());
  EXPECT_GE(*figures.guest_ram_resident_bytes, 256U * kPageSize);
  EXPECT_LT(*figures.guest_ram_resident_bytes, 16U << 20);
}

}  // namespace
}  // namespace ringshift
