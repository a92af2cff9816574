// MigrationCommands: the monitor's words about moving the machine to another process, as QEMU's
// monitor has them, and about cloning it. See docs/migration.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "monitor/debug/control_target.h"

namespace ringshift::debug {

// False, here and below, with one line in *error.
[[nodiscard]] bool begin_migration(ControlTarget& target, const std::string& where,
                                   std::optional<uint32_t> postcopy_after, std::string* error);
[[nodiscard]] bool start_postcopy(ControlTarget& target, std::string* error);
// How many rounds over RAM before post-copy; none: it is no such number.
inline constexpr uint32_t kMostPostcopyRounds = 1000;
[[nodiscard]] std::optional<uint32_t> postcopy_rounds(const std::string& text);
[[nodiscard]] bool cancel_migration(ControlTarget& target, std::string* error);
// "max-bandwidth": bytes a second, or with K, M or G behind the number, 0: no limit.
// "downtime-limit": milliseconds.
[[nodiscard]] bool set_migration_limit(ControlTarget& target, const std::string& name,
                                       const std::string& value, std::string* error);
[[nodiscard]] bool begin_clone(ControlTarget& target, bool freezes_disks, std::string* error);
[[nodiscard]] std::string clone_text(ControlTarget& target);
[[nodiscard]] std::string migration_text(ControlTarget& target);
[[nodiscard]] std::string migration_limits_text(ControlTarget& target);

}  // namespace ringshift::debug
