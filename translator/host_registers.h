// Host registers: the registers of the guest and our own while generated code runs, and the way in
// which that code names a field of the frame. Owns: constants only. Guest EAX ECX EDX EBX EBP ESI
// EDI are held in the registers of the same encoding, zero-extended; guest ESP is held in R15 so
// that RSP is ours.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <cstdint>

namespace ringshift::host {

inline constexpr unsigned kGuestEsp = 15;  // encoding numbers, for the re-encoder
inline constexpr unsigned kWindow = 14;
inline constexpr unsigned kAddress = 8;

inline const asmjit::x86::Gp guest_esp = asmjit::x86::r15;
inline const asmjit::x86::Gp window = asmjit::x86::r14;      // host address of guest-linear 0
inline const asmjit::x86::Gp frame = asmjit::x86::r13;       // &Frame::slots
inline const asmjit::x86::Gp jump_table = asmjit::x86::r12;  // of the current view
// If events are counted, in place of the jump table: Slots::event_walk.
inline const asmjit::x86::Gp event_walk = asmjit::x86::r12;
// Scratch, dead at every guest instruction boundary. R8: addresses and branch destinations.
inline const asmjit::x86::Gp address = asmjit::x86::r8;
inline const asmjit::x86::Gp scratch = asmjit::x86::r9;
inline const asmjit::x86::Gp scratch2 = asmjit::x86::r10;
inline const asmjit::x86::Gp saved_rcx = asmjit::x86::r11;

// Encoding of the host register that holds guest register `number` (0..7).
[[nodiscard]] constexpr unsigned of_guest(unsigned number) {
  return number == 4 ? kGuestEsp : number;
}

// The 32-bit registers that hold the guest's, in the order of GuestState::gpr.
inline const std::array<asmjit::x86::Gp, 8> guest32 = {
    asmjit::x86::eax,  asmjit::x86::ecx, asmjit::x86::edx, asmjit::x86::ebx,
    asmjit::x86::r15d, asmjit::x86::ebp, asmjit::x86::esi, asmjit::x86::edi};

// A field of the frame, by RINGSHIFT_SLOT or RINGSHIFT_STATE.
[[nodiscard]] inline asmjit::x86::Mem slot32(int32_t displacement) {
  return asmjit::x86::dword_ptr(frame, displacement);
}
[[nodiscard]] inline asmjit::x86::Mem slot64(int32_t displacement) {
  return asmjit::x86::qword_ptr(frame, displacement);
}

}  // namespace ringshift::host
