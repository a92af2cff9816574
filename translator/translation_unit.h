// TranslationUnit: guest instructions about to become one fragment, with the decisions about each.
// Owns: decoded instructions; transient, guest side. See docs/translator.md.
#pragma once

#include <cstdint>
#include <vector>

#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"
#include "translator/code_mode.h"
#include "translator/decode.h"

namespace ringshift {

enum class Treatment : uint8_t {
  Identical,  // the same instruction on host registers
  Memory,     // the same, its memory operand adapted to the window or the soft TLB
  DirectBranch,
  IndirectBranch,
  Inline,     // a sensitive instruction as an inline sequence
  Callout,    // a call to the monitor that comes back
  Interpret,  // the same, but the guest goes on somewhere else
};
[[nodiscard]] const char* treatment_name(Treatment treatment);

// The emitter that writes an instruction.
enum class Family : uint8_t {
  Reencode,
  Lea,
  Push,
  Pop,
  Leave,
  String,
  PushFlags,
  PopFlags,
  InterruptFlag,
  ReadControl,
  WriteCr0,
  WriteCr2,
  ReadDebug,
  WriteDebug,
  ClearTaskSwitched,
  FlushCaches,
  LoadTable,
  ReadSelector,
  PushSelector,
  LoadSegment,
  LoadPointer,
  FarTransfer,
  ReadTime,
  Cpuid,
  Jump,
  JumpConditional,
  LoopBranch,
  Call,
  Return,
  Callout,
  Interpret,
};

// How guest memory is reached: see docs/translator.md, "adaptive memory access".
enum class AccessStyle : uint8_t {
  Window,  // a plain host access; it faults where nothing is mapped
  Soft,    // through the soft TLB
};

// The facts by which two translations of the same bytes differ (T1).
struct TranslationKey {
  Eip eip;                 // mode.linear(eip) is where it lies
  GuestPhysical physical;  // of the first byte
  Privilege privilege = Privilege::Supervisor;
  AccessStyle style = AccessStyle::Window;
  // The view that user code is translated for alone, once its address space has run long enough to
  // be worth it (its fragments may be linked across pages); 0: supervisor code, and user code that
  // spaces share.
  uint32_t view = 0;
  CodeMode mode;
  bool operator==(const TranslationKey&) const = default;

  // Is it the code of any address space that has this page at this address?
  [[nodiscard]] bool is_shared() const { return privilege == Privilege::User && view == 0; }
  // May code of this key go to this EIP by itself? Shared code is good within one linear page: each
  // space has its own mapping of the next.
  [[nodiscard]] bool may_reach(Eip destination) const {
    return !is_shared() ||
           GuestVirtualPage::of(mode.linear(destination)) == GuestVirtualPage::of(mode.linear(eip));
  }
};

struct UnitInstruction {
  GuestInstruction instruction;
  Eip eip;
  GuestPhysical physical;
  Treatment treatment = Treatment::Interpret;
  Family family = Family::Interpret;
  AccessStyle style = AccessStyle::Window;
  // A call whose callee is the next instruction of the unit; that callee's return.
  bool is_inlined = false;
  // A call whose return point faults if the guest returns to it from elsewhere.
  bool guards_return = false;
  bool ignores_repeat = false;        // F2 and F3 say nothing here, but might to the host
  bool has_narrow_operands = false;   // operand size 16, of instructions that have one
  bool reaches_device = false;        // a callout for that reason alone
  bool inverts_operand_size = false;  // 16-bit code: 66 means to it what none means to the host

  [[nodiscard]] Eip next_eip() const { return eip + instruction.length; }
};

// Consecutive guest bytes of one page that a unit was made from.
struct CodePiece {
  Eip eip;
  GuestPhysical physical;
  uint32_t length = 0;

  [[nodiscard]] bool holds(Eip other) const { return other - eip < length; }
};

struct TranslationUnit {
  TranslationKey key;
  std::vector<UnitInstruction> instructions;  // in the order of execution
  // The first begins at key.eip. More where the unit follows a jump or a call, and for the one
  // instruction that crosses a page.
  std::vector<CodePiece> pieces;
  bool crosses_page = false;
  // The EIP at which the guest goes on after the last instruction, if that does not end the unit.
  Eip continues_at;
  // Bytes from key.eip on without a gap, for those who list code in the order of addresses.
  [[nodiscard]] uint32_t byte_length() const { return pieces.empty() ? 0 : pieces[0].length; }
};

}  // namespace ringshift
