#include "monitor/control/qmp_migration.h"

#include <gtest/gtest.h>

#include "tests/support/control_fixture.h"

namespace ringshift::control {
namespace {

class QmpMigrationTest : public ::testing::Test {
 protected:
  QmpReply run(QmpReply (*command)(QmpArguments&, debug::ControlTarget&), JsonValue::Object members,
               const char* known) {
    const JsonValue arguments(std::move(members));
    QmpArguments named(&arguments, known);
    return command(named, target_);
  }
  QmpReply move(const char* where) { return run(migrate, {{"uri", where}}, "uri detach "); }
  QmpReply limit(JsonValue::Object members) {
    return run(set_migration_parameters, std::move(members), "max-bandwidth downtime-limit ");
  }

  debug::FakeControl target_;
};

TEST_F(QmpMigrationTest, BeginsAndIsCancelled) {
  EXPECT_EQ(query_migration(target_).text(), "{}");
  EXPECT_TRUE(run(cancel_migration, {}, "").is_error);
  EXPECT_TRUE(run(migrate, {}, "uri detach ").is_error);
  EXPECT_EQ(move("unix:/nobody").text, "nobody is there");
  EXPECT_FALSE(move("unix:/there").is_error);
  EXPECT_EQ(target_.moving.asked, "unix:/there");
  EXPECT_FALSE(run(cancel_migration, {}, "").is_error);
  EXPECT_EQ(*query_migration(target_).find("status")->as_text(), "cancelled");
}

TEST_F(QmpMigrationTest, GoesOnByPostCopy) {
  const auto move_after = [&](int64_t rounds) {
    return run(migrate, {{"uri", "unix:/there"}, {"postcopy", rounds}}, "uri detach postcopy ");
  };
  EXPECT_TRUE(run(start_postcopy, {}, "").is_error);
  EXPECT_TRUE(move_after(-1).is_error);
  EXPECT_TRUE(move_after(1001).is_error);
  EXPECT_TRUE(target_.moving.asked.empty());
  EXPECT_FALSE(move("unix:/there").is_error);
  EXPECT_EQ(target_.moving.rounds, std::nullopt);
  EXPECT_FALSE(move_after(3).is_error);
  EXPECT_EQ(target_.moving.rounds, 3U);
  EXPECT_FALSE(run(start_postcopy, {}, "").is_error);
  EXPECT_EQ(*query_migration(target_).find("status")->as_text(), "postcopy-active");
}

TEST_F(QmpMigrationTest, SaysHowFarItIs) {
  target_.moving.now = {.status = MigrationStatus::Active,
                        .total = 1 << 20,
                        .sent = 300,
                        .remaining = 65536,
                        .zero_grains = 1,
                        .data_grains = 2,
                        .grain_bytes = 65536,
                        .rounds = 3,
                        .dirty_rate = 8192,
                        .bandwidth = 1'000'000,
                        .throttle = 30,
                        .total_milliseconds = 12,
                        .setup_milliseconds = 2,
                        .downtime_milliseconds = 7,
                        .problem = ""};
  EXPECT_EQ(
      query_migration(target_).text(),
      R"({"status":"active","ram":{"transferred":300,"remaining":65536,"total":1048576,)"
      R"("duplicate":16,"normal":32,"normal-bytes":131072,"dirty-pages-rate":2,)"
      R"("dirty-sync-count":3,"postcopy-requests":0,"page-size":4096,"mbps":8.0},"total-time":12,)"
      R"("setup-time":2,"expected-downtime":7,"cpu-throttle-percentage":30})");
  target_.moving.now.status = MigrationStatus::Failed;
  target_.moving.now.problem = "the other side has gone";
  EXPECT_EQ(*query_migration(target_).find("error-desc")->as_text(), "the other side has gone");
  target_.moving.now.status = MigrationStatus::Completed;
  EXPECT_EQ(*query_migration(target_).find("downtime")->as_integer(), 7);
}

TEST_F(QmpMigrationTest, HasLimits) {
  EXPECT_FALSE(limit({{"max-bandwidth", 1 << 20}, {"downtime-limit", 70}}).is_error);
  EXPECT_EQ(query_migration_parameters(target_).text(),
            R"({"max-bandwidth":1048576,"downtime-limit":70})");
  for (const int bad : {-1, 2001}) {
    EXPECT_TRUE(limit({{"downtime-limit", bad}}).is_error) << bad;
  }
  EXPECT_TRUE(limit({{"max-bandwidth", -1}}).is_error);
  EXPECT_TRUE(limit({{"max-bandwidth", "much"}}).is_error);
  EXPECT_EQ(target_.moving.kept.downtime, 70U);
  EXPECT_FALSE(limit({}).is_error);
}

TEST_F(QmpMigrationTest, AMachineThatCannotBeMovedSaysSo) {
  target_.can_move = false;
  EXPECT_EQ(move("unix:/there").text, "this machine cannot be moved");
  EXPECT_TRUE(run(cancel_migration, {}, "").is_error);
  EXPECT_TRUE(limit({{"downtime-limit", 7}}).is_error);
  EXPECT_EQ(query_migration(target_).text(), "{}");
}

}  // namespace
}  // namespace ringshift::control
