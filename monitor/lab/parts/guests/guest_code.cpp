#include "monitor/lab/parts/guests/guest_code.h"

#include <vector>

#include "shadowmmu/walker.h"
#include "translator/decode.h"
#include "translator/disassemble.h"

namespace ringshift::lab {

std::string guest_instruction(Machine& machine, uint32_t eip) {
  LinearMemory& memory = machine.processor().cpu().memory;
  const uint32_t linear = machine.state().seg(SegmentRegister::Cs).base + eip;
  std::vector<uint8_t> bytes;
  while (bytes.size() < kMaxInstructionBytes) {
    const GuestVirtual address(linear + static_cast<uint32_t>(bytes.size()));
    const WalkResult walked = probe(memory.paging_mode(), memory.physical(), address,
                                    AccessKind::Read, Privilege::Supervisor);
    if (walked.fault || walked.translation.physical.value() >= machine.memory().size()) break;
    bytes.push_back(*machine.memory().at(walked.translation.physical));
  }
  GuestInstruction decoded;
  if (decode(bytes, DecodeMode::Bits32, &decoded) != DecodeOutcome::Ok) return "?";
  return disassemble_guest(decoded, Eip(eip));
}

}  // namespace ringshift::lab
