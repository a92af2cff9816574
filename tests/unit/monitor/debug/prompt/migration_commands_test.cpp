#include "monitor/debug/prompt/migration_commands.h"

#include <gtest/gtest.h>

#include "tests/support/control_fixture.h"

namespace ringshift::debug {
namespace {

TEST(MigrationCommands, TakeUnits) {
  FakeControl target;
  std::string error;
  const struct {
    const char* text;
    uint64_t bytes;
  } kGood[] = {{"0", 0}, {"70000", 70000}, {"64K", 65536}, {"2m", 2U << 20}, {"1G", 1U << 30}};
  for (const auto& row : kGood) {
    EXPECT_TRUE(set_migration_limit(target, "max-bandwidth", row.text, &error)) << row.text;
    EXPECT_EQ(target.moving.kept.bandwidth, row.bytes);
  }
  for (const char* bad : {"", "-1", "M", "1T", "1MM", "99999999999999999999", "1.5M"}) {
    EXPECT_FALSE(set_migration_limit(target, "max-bandwidth", bad, &error)) << bad;
  }
  EXPECT_FALSE(set_migration_limit(target, "speed", "1", &error));
  EXPECT_TRUE(set_migration_limit(target, "downtime-limit", "2000", &error));
  EXPECT_FALSE(set_migration_limit(target, "downtime-limit", "2001", &error));
  EXPECT_EQ(migration_limits_text(target),
            "max-bandwidth: 1073741824 bytes/second\ndowntime-limit: 2000 ms\n");
}

TEST(MigrationCommands, SayHowFarItIs) {
  FakeControl target;
  EXPECT_EQ(migration_text(target), "");
  std::string error;
  ASSERT_TRUE(begin_migration(target, "unix:/there", std::nullopt, &error));
  EXPECT_TRUE(migration_text(target).starts_with("Status: active\n"));
  ASSERT_TRUE(cancel_migration(target, &error));
  target.moving.now.problem = "cancelled";
  EXPECT_TRUE(migration_text(target).starts_with("Status: cancelled\nProblem: cancelled\n"));
  EXPECT_FALSE(cancel_migration(target, &error));
}

TEST(MigrationCommands, PostCopyIsANumberOfRounds) {
  EXPECT_EQ(postcopy_rounds("0"), 0U);
  EXPECT_EQ(postcopy_rounds("1000"), 1000U);
  for (const char* bad : {"", "-1", "1001", "1x", "99999999999", " 1"}) {
    EXPECT_FALSE(postcopy_rounds(bad)) << bad;
  }
}

}  // namespace
}  // namespace ringshift::debug
