// Host faults of calls and returns: the return stack is full, or the guest has returned to another
// place than the one the return point is for.
#include "monitor/vcpu/engines/translate_engine.h"
#include "shadowmmu/base/check.h"
#include "translator/recovery.h"

namespace ringshift {

// False: it is another kind of fault.
bool TranslateEngine::handle_return_fault(const HostFault& fault, Privilege privilege) {
  if (parts_.gate.is_return_stack_guard(fault.address)) {
    parts_.gate.reset_return_stack(privilege);
    return true;
  }
  if (!parts_.gate.is_return_check(fault.address)) return false;
  handle_odd_return(fault, privilege);
  return true;
}

// The guest has returned to a place where no pending call expects it. The other pending returns
// would be as wrong, each at the price of a fault, so they are forgotten. A call that this happens
// to again and again compares by a branch from then on.
void TranslateEngine::handle_odd_return(const HostFault& fault, Privilege privilege) {
  parts_.gate.empty_return_stack(privilege);
  continuation().pending_jump = true;
  const Fragment* fragment = parts_.translator.cache().fragment_at(fault.host_pc);
  CHECK(fragment != nullptr);
  const auto offset = static_cast<uint32_t>(fault.host_pc - fragment->code.address);
  const Eip last_byte = recovery_point(*fragment, offset).guest_eip - 1;
  for (const PageMember& member : fragment->pieces) {
    if (!member.piece.holds(last_byte)) continue;
    const GuestPhysical call = member.piece.physical + (last_byte - member.piece.eip);
    if (parts_.sites.note_odd_return(call)) make_anew(call);
    return;
  }
}

}  // namespace ringshift
