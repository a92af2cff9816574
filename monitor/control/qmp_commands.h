// QmpCommands: the commands of QMP that there are, by name. See docs/control.md; QEMU, qapi/*.json.
#pragma once

#include <string>

#include "monitor/control/json_value.h"
#include "monitor/control/qmp_arguments.h"
#include "monitor/debug/control_target.h"

namespace ringshift::control {

// arguments: an object, or null.
[[nodiscard]] QmpReply run_qmp_command(const std::string& name, const JsonValue* arguments,
                                       debug::ControlTarget& target);

// The object that the greeting and query-version have. version: three numbers with dots between.
[[nodiscard]] JsonValue version_of(const std::string& version);

}  // namespace ringshift::control
