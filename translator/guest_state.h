// GuestState: the architectural state of the virtual CPU, as generated code and everybody else see
// it. Owns: values only. Field offsets are pinned below, because generated code has them as
// immediates. Inside translated code registers and arithmetic flags are held in host registers;
// this structure is true at every Exit (T6). See docs/translator.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"

namespace ringshift {

enum class Gpr : uint8_t { Eax, Ecx, Edx, Ebx, Esp, Ebp, Esi, Edi };
enum class SegmentRegister : uint8_t { Es, Cs, Ss, Ds, Fs, Gs };
inline constexpr size_t kGprCount = 8;
inline constexpr size_t kSegmentCount = 6;

// EFLAGS bits, SDM 1 3.4.3.
inline constexpr uint32_t kFlagCf = 1U << 0;
inline constexpr uint32_t kFlagReservedOne = 1U << 1;
inline constexpr uint32_t kFlagPf = 1U << 2;
inline constexpr uint32_t kFlagAf = 1U << 4;
inline constexpr uint32_t kFlagZf = 1U << 6;
inline constexpr uint32_t kFlagSf = 1U << 7;
inline constexpr uint32_t kFlagTf = 1U << 8;
inline constexpr uint32_t kFlagIf = 1U << 9;
inline constexpr uint32_t kFlagDf = 1U << 10;
inline constexpr uint32_t kFlagOf = 1U << 11;
inline constexpr uint32_t kFlagIoplShift = 12;
inline constexpr uint32_t kFlagIopl = 3U << kFlagIoplShift;
inline constexpr uint32_t kFlagNt = 1U << 14;
inline constexpr uint32_t kFlagRf = 1U << 16;
inline constexpr uint32_t kFlagVm = 1U << 17;
inline constexpr uint32_t kFlagAc = 1U << 18;
inline constexpr uint32_t kFlagVif = 1U << 19;
inline constexpr uint32_t kFlagVip = 1U << 20;
inline constexpr uint32_t kFlagId = 1U << 21;
inline constexpr uint32_t kFlagsArithmetic =
    kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf | kFlagOf;

inline constexpr uint32_t kCr0Pe = 1U << 0;
inline constexpr uint32_t kCr0Mp = 1U << 1;
inline constexpr uint32_t kCr0Em = 1U << 2;
inline constexpr uint32_t kCr0Ts = 1U << 3;
inline constexpr uint32_t kCr0Et = 1U << 4;
inline constexpr uint32_t kCr0Ne = 1U << 5;
inline constexpr uint32_t kCr0Am = 1U << 18;
inline constexpr uint32_t kCr0Nw = 1U << 29;
inline constexpr uint32_t kCr0Cd = 1U << 30;
inline constexpr uint32_t kCr4Vme = 1U << 0;
inline constexpr uint32_t kCr4Pvi = 1U << 1;
inline constexpr uint32_t kCr4Tsd = 1U << 2;
inline constexpr uint32_t kCr4De = 1U << 3;
inline constexpr uint32_t kCr4Mce = 1U << 6;
inline constexpr uint32_t kCr4Pce = 1U << 8;
inline constexpr uint32_t kCr4Osfxsr = 1U << 9;
inline constexpr uint32_t kCr4Osxmmexcpt = 1U << 10;

// The hidden part of a segment register (SDM 3A 3.4.3). `attributes` are descriptor bits 40-55
// moved down to bit 0: type 0-3, S 4, DPL 5-6, P 7, (limit 19:16 zeroed) 8-11, AVL 12, L 13, D/B
// 14, G 15.
struct SegmentCache {
  uint32_t base = 0;
  uint32_t limit = 0;  // in bytes, granularity applied: the last valid offset (or, expand-down, the
                       // last invalid)
  uint16_t selector = 0;
  uint16_t attributes = 0;

  [[nodiscard]] bool present() const { return (attributes & 0x80U) != 0; }
  [[nodiscard]] bool is_code() const { return (attributes & 0x18U) == 0x18U; }
  [[nodiscard]] bool is_expand_down() const { return (attributes & 0x1cU) == 0x14U; }
  [[nodiscard]] bool is_conforming_code() const { return (attributes & 0x1cU) == 0x1cU; }
  // Writable data, or readable code (bit 1 means different things in each).
  [[nodiscard]] bool is_writable_data() const { return (attributes & 0x1aU) == 0x12U; }
  [[nodiscard]] bool is_readable() const { return !is_code() || (attributes & 2U) != 0; }
  [[nodiscard]] bool default_32() const { return (attributes & 0x4000U) != 0; }
  [[nodiscard]] unsigned dpl() const { return (attributes >> 5) & 3U; }
  // Writable data at any offset.
  [[nodiscard]] bool is_unlimited_data() const {
    constexpr unsigned kAsked = 0x80U | 0x10U | 0x08U | 0x04U | 0x02U;  // P S code down writable
    return (attributes & kAsked) == (0x80U | 0x10U | 0x02U) && limit == 0xffffffffU;
  }
  // Addresses in it are linear addresses: base 0, limit 4 GiB.
  [[nodiscard]] bool is_flat_data() const { return is_unlimited_data() && base == 0; }
  [[nodiscard]] bool is_flat_code() const {
    constexpr unsigned kAsked = 0x4000U | 0x80U | 0x10U | 0x08U;  // D P S code
    return (attributes & kAsked) == kAsked && base == 0 && limit == 0xffffffffU;
  }
  // A null selector loaded into a data segment register leaves it unusable: any use is #GP(0).
  [[nodiscard]] bool usable() const { return present(); }
  bool operator==(const SegmentCache&) const = default;
};

struct DescriptorTableRegister {
  uint32_t base = 0;
  uint32_t limit = 0;
};

enum class ActivityState : uint8_t { Running, Halted, Shutdown };

struct GuestState {
  std::array<uint32_t, kGprCount> gpr{};
  uint32_t eip = 0;
  uint32_t eflags = kFlagReservedOne;
  uint8_t cpl = 0;
  // Interrupts are held off until the instruction after STI / MOV SS / POP SS has run (SDM
  // 3A 6.8.3).
  uint8_t interrupt_shadow = 0;
  ActivityState activity = ActivityState::Running;
  uint8_t nmi_blocked = 0;  // from the delivery of an NMI to the next IRET (SDM 3A 6.7.1)
  std::array<SegmentCache, kSegmentCount> segment{};
  SegmentCache ldtr;
  SegmentCache tr;
  DescriptorTableRegister gdtr;
  DescriptorTableRegister idtr;
  uint32_t cr0 = kCr0Et | kCr0Nw | kCr0Cd;
  uint32_t cr2 = 0;
  uint32_t cr3 = 0;
  uint32_t cr4 = 0;
  std::array<uint64_t, 4> pdpte{};  // as loaded by MOV CR3 under PAE (SDM 3A 4.4.1)
  std::array<uint32_t, 8> dr{0, 0, 0, 0, 0, 0, 0xffff0ff0U, 0x400U};
  uint64_t efer = 0;
  uint64_t tsc_offset = 0;  // guest TSC = host TSC + offset
  uint32_t sysenter_cs = 0;
  uint32_t sysenter_esp = 0;
  uint32_t sysenter_eip = 0;
  // DR6 bits of data breakpoints that MOV SS or POP SS has hit: their #DB waits for the instruction
  // after it (SDM 3A 6.8.3).
  uint32_t held_debug = 0;
  uint64_t pat = 0x0007040600070406ULL;  // IA32_PAT at reset (SDM 3A 11.12.4)
  uint64_t misc_enable = 1;              // IA32_MISC_ENABLE at reset: fast strings
  // x87/MMX/SSE in FXSAVE format (SDM 1 10.5.1). True here whenever translated code is not running.
  alignas(64) std::array<uint8_t, 512> fxsave{};

  [[nodiscard]] uint32_t& reg(Gpr r) { return gpr[static_cast<size_t>(r)]; }
  [[nodiscard]] uint32_t reg(Gpr r) const { return gpr[static_cast<size_t>(r)]; }
  [[nodiscard]] SegmentCache& seg(SegmentRegister s) { return segment[static_cast<size_t>(s)]; }
  [[nodiscard]] const SegmentCache& seg(SegmentRegister s) const {
    return segment[static_cast<size_t>(s)];
  }
  // The privilege by which paging and translated code tell rings (SDM 3A 4.6).
  [[nodiscard]] Privilege privilege() const {
    return cpl == 3 ? Privilege::User : Privilege::Supervisor;
  }
  // EIP with its type, and where in linear space the instruction there lies.
  [[nodiscard]] Eip pointer() const { return Eip(eip); }
  [[nodiscard]] GuestVirtual code_address() const {
    return GuestVirtual(seg(SegmentRegister::Cs).base + eip);
  }
  [[nodiscard]] bool protected_mode() const { return (cr0 & kCr0Pe) != 0; }
  [[nodiscard]] bool v86_mode() const { return (eflags & kFlagVm) != 0; }
  [[nodiscard]] unsigned iopl() const { return (eflags & kFlagIopl) >> kFlagIoplShift; }
};

static_assert(offsetof(GuestState, gpr) == 0,
              "the gate loads registers from the start of the state");
static_assert(offsetof(GuestState, eflags) < 128,
              "hot fields are reached with an 8-bit displacement");
static_assert(offsetof(GuestState, fxsave) % 16 == 0, "FXSAVE needs 16-byte alignment");

}  // namespace ringshift
