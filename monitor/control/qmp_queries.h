// QmpQueries: what QMP's query commands return. See docs/control.md; QEMU, qapi/*.json.
#pragma once

#include "monitor/control/json_value.h"
#include "monitor/debug/control_target.h"

namespace ringshift::control {

[[nodiscard]] JsonValue query_status(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_cpus(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_block(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_name(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_uuid(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_kvm(debug::ControlTarget& target);
[[nodiscard]] JsonValue query_mice(debug::ControlTarget& target);

}  // namespace ringshift::control
