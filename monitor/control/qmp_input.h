// QmpInput: send-key and input-send-event: keys, buttons and movement from JSON. See
// docs/control.md; QEMU, qapi/ui.json.
#pragma once

#include "monitor/control/qmp_arguments.h"
#include "monitor/debug/control_target.h"

namespace ringshift::control {

[[nodiscard]] QmpReply send_key(QmpArguments& arguments, debug::ControlTarget& target);
[[nodiscard]] QmpReply send_events(QmpArguments& arguments, debug::ControlTarget& target);

}  // namespace ringshift::control
