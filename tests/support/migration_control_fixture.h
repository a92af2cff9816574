// FakeMigration: a MigrationControl that notes what is asked of it. Owns: all of it.
#pragma once

#include <string>

#include "monitor/migration/migration_control.h"

namespace ringshift {

class FakeMigration final : public MigrationControl {
 public:
  [[nodiscard]] bool begin(const std::string& where, std::optional<uint32_t> postcopy_after,
                           std::string* error) override {
    asked = where;
    rounds = postcopy_after;
    *error = "nobody is there";
    if (where != "unix:/nobody") now.status = MigrationStatus::Active;
    return where != "unix:/nobody";
  }
  [[nodiscard]] bool start_postcopy(std::string* error) override {
    *error = "no migration is under way";
    if (now.status != MigrationStatus::Active) return false;
    now.status = MigrationStatus::PostcopyActive;
    return true;
  }
  [[nodiscard]] bool cancel(std::string* error) override {
    *error = "no migration is under way";
    if (now.status != MigrationStatus::Active) return false;
    now.status = MigrationStatus::Cancelled;
    return true;
  }
  [[nodiscard]] MigrationProgress progress() override { return now; }
  [[nodiscard]] const MigrationLimits& limits() const override { return kept; }
  [[nodiscard]] bool set_limits(const MigrationLimits& limits, std::string*) override {
    kept = limits;
    return true;
  }

  std::string asked;
  std::optional<uint32_t> rounds;
  MigrationProgress now;
  MigrationLimits kept;
};

}  // namespace ringshift
