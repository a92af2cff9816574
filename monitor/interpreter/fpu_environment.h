// Interpreter x87 environment: FNSTENV, FLDENV, FNSAVE, FRSTOR in all four layouts, FNINIT's state.
// Converts between the FXSAVE image and the older layouts. See SDM 1 8.1.10, figures 8-9 to 8-12.
#pragma once

#include "monitor/interpreter/operation.h"

namespace ringshift::interp {

void initialize_x87(GuestState& state);
// Also recomputes ES and B, which say whether an unmasked exception is pending.
void set_control_word(GuestState& state, uint16_t value);
// Any MMX instruction sets TOP to 0 and tags all registers valid (SDM 1 9.5.1).
void enter_mmx(GuestState& state);

// Called before pointers and opcode of the last x87 instruction are stored. They are the guest's
// only if this interpreter has executed it. If events are counted, each engine must leave the same
// memory, so zeros are stored.
void leave_out_pointers(Execution& x);

[[nodiscard]] MaybeFault store_environment(Execution& x, const Operation& op);
[[nodiscard]] MaybeFault load_environment(Execution& x, const Operation& op);
[[nodiscard]] MaybeFault save_x87(Execution& x, const Operation& op);
[[nodiscard]] MaybeFault restore_x87(Execution& x, const Operation& op);

}  // namespace ringshift::interp
