#include "monitor/manager/machines/machine_figures.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace ringshift::manager {
namespace {

TEST(MachineFigures, AreReadFromStatistics) {
  MachineFigures figures;
  ASSERT_TRUE(read_statistics(
      R"({"time.wall_s": 2.5, "time.held_s": 1, "derived.exits": 7,
          "memory.guest_ram_resident_mib": 10.0, "memory.monitor_mib": 5.5,
          "disk.bytes_read": 1000, "disk.bytes_written": 24, "network.bytes_sent": 5})",
      &figures));
  EXPECT_EQ(figures.wall_s, 2.5);
  EXPECT_EQ(figures.held_s, 1.0);
  EXPECT_EQ(figures.exits, 7.0);
  EXPECT_EQ(figures.memory_mib, 15.5);
  EXPECT_EQ(figures.disk_bytes, 1024.0);
  EXPECT_FALSE(figures.network_bytes);  // a half of it is none
}

TEST(MachineFigures, NonsenseIsNone) {
  MachineFigures figures;
  for (const std::string& text :
       {std::string(), std::string("{"), std::string(100000, '['), std::string("{nonsense}")}) {
    EXPECT_FALSE(read_statistics(text, &figures)) << text.substr(0, 20);
  }
}

TEST(MachineFigures, RatesAreOfTheTimeBetween) {
  MachineFigures before, now;
  before.at = 1'000'000'000;
  now.at = 3'000'000'000;
  before.processor_s = 1;
  now.processor_s = 1.5;
  before.wall_s = 10;
  now.wall_s = 12;
  before.held_s = 1;
  now.held_s = 2;
  before.exits = 100;
  now.exits = 300;
  before.disk_bytes = 0;
  now.disk_bytes = 4096;
  before.network_bytes = 1024;
  now.network_bytes = 3072;
  const MachineRates rates = rates_of(before, now);
  EXPECT_DOUBLE_EQ(rates.processor_percent, 25);
  EXPECT_DOUBLE_EQ(rates.held_percent.value_or(0), 50);
  EXPECT_DOUBLE_EQ(rates.exits_per_s.value_or(0), 100);
  EXPECT_DOUBLE_EQ(rates.disk_kib_per_s.value_or(0), 2);
  EXPECT_DOUBLE_EQ(rates.network_kib_per_s.value_or(0), 1);
}

TEST(MachineFigures, WhatIsNotKnownIsNotTold) {
  const MachineRates rates = rates_of({}, {});
  EXPECT_FALSE(rates.held_percent || rates.memory_mib || rates.exits_per_s);
}

TEST(ProcessTimes, HaveThisProcessBelowItsParent) {
  const ProcessTimes times;
  EXPECT_GE(times.of_tree(getppid()), times.of_tree(getpid()));
  EXPECT_EQ(times.of_tree(-1), 0);
}

}  // namespace
}  // namespace ringshift::manager
