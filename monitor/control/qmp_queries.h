// QmpQueries: the answers of QMP's query commands. See docs/control.md; QEMU, qapi/*.json.
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
// An object of the guest's figures about its memory; empty until it has told.
[[nodiscard]] JsonValue query_memory_figures(debug::ControlTarget& target);
// An array: of one card, or of none.
[[nodiscard]] JsonValue query_network(debug::ControlTarget& target);

}  // namespace ringshift::control
