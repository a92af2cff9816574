#include "monitor/migration/migration_control.h"

namespace ringshift {

const char* migration_status_name(MigrationStatus status) {
  switch (status) {
    case MigrationStatus::None:
      return "none";
    case MigrationStatus::Setup:
      return "setup";
    case MigrationStatus::Active:
      return "active";
    case MigrationStatus::Device:
      return "device";
    case MigrationStatus::PostcopyActive:
      return "postcopy-active";
    case MigrationStatus::Completed:
      return "completed";
    case MigrationStatus::Failed:
      return "failed";
    case MigrationStatus::Cancelled:
      return "cancelled";
    case MigrationStatus::Unknown:
      return "unknown";
  }
  return "?";
}

}  // namespace ringshift
