// QmpMigration: QMP's words about moving the machine to another process, and cloning it. See
// docs/control.md; QEMU, qapi/migration.json.
#pragma once

#include "monitor/control/json_value.h"
#include "monitor/control/qmp_arguments.h"
#include "monitor/debug/control_target.h"

namespace ringshift::control {

[[nodiscard]] QmpReply migrate(QmpArguments& arguments, debug::ControlTarget& target);
[[nodiscard]] QmpReply start_postcopy(QmpArguments& arguments, debug::ControlTarget& target);
[[nodiscard]] QmpReply cancel_migration(QmpArguments& arguments, debug::ControlTarget& target);
[[nodiscard]] QmpReply set_migration_parameters(QmpArguments& arguments,
                                                debug::ControlTarget& target);
[[nodiscard]] QmpReply clone(QmpArguments& arguments, debug::ControlTarget& target);
[[nodiscard]] JsonValue query_clone(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_migration(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_migration_parameters(debug::ControlTarget& target);

}  // namespace ringshift::control
