// Frame: the guest state and the slots beside it that generated code reaches from one register.
// Owns: values only. Slots are private to the gate, the stubs and generated code (T5). See
// docs/translator.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "shadowmmu/base/address.h"
#include "translator/code_mode.h"
#include "translator/guest_state.h"

namespace ringshift {

// One entry of a soft TLB. Empty entries hold a tag that no page number can match.
struct SoftTlbEntry {
  // Minus the page number (modulo 2^32), so that adding the page number gives zero on a hit: the
  // test needs no flags (JECXZ).
  uint32_t negated_read_page = 1;
  uint32_t negated_write_page = 1;
  uint64_t addend = 0;  // host address minus linear address
};
inline constexpr size_t kSoftTlbEntries = 256;
static_assert(sizeof(SoftTlbEntry) == 16, "stubs scale the index by 16");

using SoftTlb = std::array<SoftTlbEntry, kSoftTlbEntries>;

// A page that is traced as a page table of the guest's, and as nothing else: soft stores of the
// supervisor that miss the TLB go through here, and say so (shadowmmu/table_traces.h). By the index
// of the TLB.
struct TableTlbEntry {
  uint32_t negated_page = 1;  // as SoftTlbEntry's for writes
  uint32_t is_written = 0;    // 1: by a soft store since the monitor last looked
  uint64_t addend = 0;        // host address minus linear address
};
static_assert(sizeof(TableTlbEntry) == sizeof(SoftTlbEntry), "stubs share the index");
using TableTlb = std::array<TableTlbEntry, kSoftTlbEntries>;

// A page that a debugger watches a part of: soft accesses to the rest of it, which miss the TLB,
// are served from here. Nothing as it begins.
struct WatchedPart {
  static constexpr uint32_t kNone = 1;
  // The page's first linear address, for reads and for writes; kNone: not for them.
  uint32_t read_page = kNone;
  uint32_t write_page = kNone;
  // The watched range: its first and last linear address.
  uint32_t first = 0;
  uint32_t last = 0;
  uint64_t addend = 0;  // host address minus linear address
};

// A descriptor that a data segment register has been loaded from. Generated code loads it again
// from here if the descriptor's bytes are still those; the checks that the load has to pass depend
// on nothing else but the ring. Kept by the monitor, by the low byte of the selector.
inline constexpr uint64_t kNoDescriptor = 0;  // for null selectors and empty entries
// A probe that is no host address of ours: to load from it faults.
inline constexpr uint64_t kNoProbe = 8;
struct alignas(64) LoadedDescriptor {
  // The descriptor's place in the supervisor window, as a host address; it can always be read.
  uint64_t address = reinterpret_cast<uint64_t>(&kNoDescriptor);
  uint64_t negated_bytes = 0;
  // For each Privilege, if a load in that ring passes: minus descriptor_tag(selector, kind), modulo
  // 2^32; 1 for none. The second is for FS and GS in the usual mode, which does not know their
  // kinds: minus the selector, if the load leaves the mode unchanged.
  std::array<uint32_t, 2> negated_tag{1, 1};
  std::array<uint32_t, 2> negated_selector{1, 1};
  SegmentCache cache;
  uint64_t probe = 0;  // for Slots::fs_probe or gs_probe
  uint64_t room = 0;   // for Slots::segment_room
};
inline constexpr size_t kLoadedDescriptors = 256;
static_assert(sizeof(LoadedDescriptor) == 64, "generated code scales the index by 64");
using LoadedDescriptorTable = std::array<LoadedDescriptor, kLoadedDescriptors>;
// The tag by which a load looks up the table: code of a mode takes only entries that leave the
// segment's kind as it is.
constexpr uint32_t descriptor_tag(uint32_t selector, SegmentKind kind) {
  return selector + (static_cast<uint32_t>(kind) << 16);
}
// Added to the tag where the table must not be believed.
inline constexpr uint32_t kNoTag = 1U << 24;

// The destination of a far transfer that stays in its ring. Generated code goes there again if the
// transfer is the same, in a mode that is the same but for CS, and the descriptor's bytes, if there
// is one, are still those. Kept by the monitor, by far_target_index.
struct alignas(64) FarTarget {
  uint64_t address = reinterpret_cast<uint64_t>(&kNoDescriptor);  // as above
  uint64_t negated_bytes = 0;
  uint64_t negated_tag = 1;  // minus far_tag plus the selector; 1 for none
  uint64_t body = 0;         // host address of the destination's fragment
  uint64_t jump_table = 0;   // for Slots::jump_table
  uint32_t negated_eip = 0;
  SegmentCache cs;
  uint64_t room = 0;  // for Slots::segment_room
};
inline constexpr size_t kFarTargets = 256;
static_assert(sizeof(FarTarget) == 64, "generated code scales the index by 64");
using FarTargetTable = std::array<FarTarget, kFarTargets>;
constexpr uint8_t far_target_index(uint32_t selector, uint32_t eip) {
  return static_cast<uint8_t>(eip + selector * 4);
}
// The facts that, beside selector and EIP, decide where a far JMP, CALL or RET leads: the mode of
// the code, the ring, and the rule that it follows.
constexpr uint64_t far_tag(const CodeMode& mode, Privilege privilege, bool is_return) {
  constexpr unsigned kBitsOfMode = 16;
  constexpr unsigned kBitOfPrivilege = 48;
  constexpr unsigned kBitOfReturn = 49;
  return uint64_t{mode.bits} << kBitsOfMode |
         uint64_t{privilege == Privilege::User ? 1U : 0U} << kBitOfPrivilege |
         uint64_t{is_return ? 1U : 0U} << kBitOfReturn;
}

// CPUID's answer to a leaf, or to one of its subleaves. Generated code answers from here. The
// monitor stores it, at cpuid_index, for as long as the guest's processor would answer the same.
struct alignas(32) CpuidAnswer {
  uint32_t negated_leaf = 0;     // modulo 2^32
  uint32_t is_for_all = 0;       // 1: whatever ECX asks for
  uint64_t negated_subleaf = 1;  // minus what ECX, as 64 bits, asks for; 1 for none
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};
inline constexpr size_t kCpuidAnswers = 256;
static_assert(sizeof(CpuidAnswer) == 32, "generated code scales the index by 32");
using CpuidTable = std::array<CpuidAnswer, kCpuidAnswers>;
// Ranges of leaves differ in their uppermost byte, leaves of a range in their lowest.
constexpr uint8_t cpuid_index(uint32_t leaf) {
  return static_cast<uint8_t>(leaf + __builtin_bswap32(leaf));
}

// The view of a privilege, and what SYSENTER and SYSEXIT load to get there: generated code changes
// rings by itself while nothing has to be done first. From one ring's usual mode to the other's.
struct RingView {
  uint32_t is_open = 0;  // 1: it may
  uint32_t cs = 0;       // the last four bytes of each SegmentCache
  uint32_t ss = 0;
  uint64_t window_base = 0;  // these are for the slots of the same names
  uint64_t window_negated = 0;
  uint64_t jump_table = 0;
  uint64_t return_stack = 0;  // of the ring that is left, where it is kept meanwhile
  uint64_t return_stack_bottom = 0;
};
using RingViews = std::array<RingView, 2>;  // by Privilege

// The bits of EFLAGS that the host's own flags hold while translated code runs; and the bits that
// RFLAGS has beside them at CPL 3, always.
inline constexpr uint32_t kHostHeldFlags = kFlagsArithmetic | kFlagDf;
inline constexpr uint32_t kHostFlagsConstant = kFlagIf | kFlagReservedOne;

// The place of EIP's fragment in the jump table. The upper half is mixed in, or code whose pieces
// lie 64 KiB apart would fight for entries. For the EIPs of one page the indices are consecutive.
constexpr uint32_t jump_table_index(Eip eip) {
  return (eip.value() + 8 * __builtin_bswap32(eip.value())) & 0xffffU;
}

enum class CalloutKind : uint32_t {
  Any,
  LoadEs,  // in the order of SegmentRegister: the load may be noted in Frame::descriptors
  LoadCs,
  LoadSs,
  LoadDs,
  LoadFs,
  LoadGs,
  InterruptReturn,      // IRETD
  RealInterruptReturn,  // IRET of 16 bits in real mode
  SoftwareInterrupt,    // INT n: the vector is in exit_address, callout_next_eip behind it
  SystemEnter,
  SystemExit,
  FarTransfer,   // far JMP, CALL or RET: it may be noted in Frame::far_targets
  DeviceMemory,  // an access that has reached a device's memory so far
  Cpuid,         // it may be noted in Frame::cpuid
  Port,          // IN or OUT at CPL 0, or in real mode: a PortAccess is in exit_address
};
// IN or OUT as a callout is told of it.
struct PortAccess {
  static constexpr uint32_t kOut = 1U << 8;
  static constexpr uint32_t kByDx = 1U << 9;
  static constexpr unsigned kPortShift = 16;
  uint32_t bits = 0;  // the width in bytes, and these

  [[nodiscard]] uint32_t bytes() const { return bits & 0xffU; }
  [[nodiscard]] bool is_out() const { return (bits & kOut) != 0; }
  [[nodiscard]] uint16_t port(uint32_t edx) const {
    return static_cast<uint16_t>((bits & kByDx) != 0 ? edx : bits >> kPortShift);
  }
};
constexpr CalloutKind callout_kind_of_load(SegmentRegister segment) {
  return static_cast<CalloutKind>(1 + static_cast<uint32_t>(segment));
}

struct Slots {
  uint64_t enter_at = 0;      // host address the gate jumps to
  uint64_t host_rsp = 0;      // the monitor's stack while generated code runs
  uint64_t return_stack = 0;  // RSP of generated code
  uint64_t window_base = 0;
  uint64_t window_negated = 0;  // minus window_base: string instructions subtract it without flags
  uint64_t jump_table = 0;      // uint32_t[65536]: arena offsets, by jump_table_index
  uint64_t host_flags = 0;      // arithmetic flags and DF across the gate
  uint64_t exit_pc = 0;         // SoftMiss: host return address of the stub call
  uint64_t scratch = 0;
  uint64_t scratch_flags = 0;
  uint32_t exit_reason = 0;
  uint32_t exit_eip = 0;
  uint32_t exit_link = 0;
  uint32_t exit_address = 0;
  uint32_t exit_is_write = 0;
  // EFLAGS while generated code runs: arithmetic flags and DF are the host's; IF is here (0 or
  // 0x200); everything else, with bit 1, is in system_flags.
  uint32_t interrupt_flag = 0;
  uint32_t system_flags = 0;
  uint32_t interrupt_waiting = 0;  // 0x200 (IF's bit): enabling IF must exit; else 0
  uint32_t x87_live = 0;           // the guest's FPU state is loaded, and CR0 allows its use
  uint32_t sse_live = 0;           // the same, and CR4.OSFXSR does
  // A readable byte when the segment may be used with any offset, an unmapped address when its
  // limits need checking: the access then faults and is interpreted.
  uint64_t fs_probe = 0;
  uint64_t gs_probe = 0;
  // Callouts: the function called, its argument, and the place where the translated code goes on
  // (0: nowhere, it is the last of its unit).
  uint64_t (*callout)(void* context) = nullptr;
  void* callout_context = nullptr;
  uint64_t callout_return = 0;
  uint32_t callout_next_eip = 0;  // the guest's at callout_return
  // Set when the callee can skip decoding the instruction; the callee resets it to Any.
  CalloutKind callout_kind = CalloutKind::Any;
  uint32_t time_stamp_denied = 0;  // CR4.TSD: RDTSC is not for user code
  uint32_t repeats_held_back = 0;  // of ECX, while a repeated string instruction does a part
  // If events are counted: the host address that the next one loads from (EventCounter).
  uint64_t event_walk = 0;
  uint64_t event_origin = 0;  // and the count of events plus that
  // The first offset beyond each segment: code in another mode than the usual checks by these.
  std::array<uint64_t, kSegmentCount> segment_room{};
  // The guest's FPU state is in the host's registers while generated code runs, whether it may be
  // used there or not (CR0.TS comes and goes).
  uint32_t fpu_loaded = 0;
  // Minus the first offset within each expand-down segment.
  std::array<uint64_t, kSegmentCount> segment_floor_negated{};
  uint32_t untold_descriptors = 0;  // kNoTag where user code may not load by Frame::descriptors
  // The far transfer being made: its request, and its FarTarget (a displacement over 8).
  uint32_t far_eip = 0;
  uint64_t far_tag = 0;  // with the selector
  uint64_t far_entry = 0;
  uint64_t return_stack_bottom = 0;  // return_stack when it is empty
  uint32_t tables_written = 0;       // 1: some TableTlbEntry::is_written is
  uint32_t ring = 0;                 // the Privilege whose view this is
  uint32_t kernel_entries = 0;       // that generated code has made by itself

  // The state in memory is not to be loaded until somebody wants it.
  void unload_fpu() { x87_live = sse_live = fpu_loaded = 0; }
  // Sets which of the loaded FPU state CR0 and CR4 allow the guest to use.
  void allow_fpu(uint32_t cr0, uint32_t cr4) {
    x87_live = (cr0 & (kCr0Ts | kCr0Em)) != 0 ? 0 : fpu_loaded;
    sse_live = (cr4 & kCr4Osfxsr) != 0 ? x87_live : 0;
  }
};

// The answers of a callout that are not the host address at which to go on.
inline constexpr uint64_t kCalloutLeaves = 0;   // to the loop, with exit_reason
inline constexpr uint64_t kCalloutReturns = 1;  // to callout_return

struct alignas(4096) Frame {
  GuestState state;
  alignas(64) Slots slots;
  alignas(64) SoftTlb supervisor_tlb;
  alignas(64) SoftTlb user_tlb;
  LoadedDescriptorTable descriptors;
  std::array<WatchedPart, 2> watched_parts;  // by the privilege of the code
  alignas(64) TableTlb table_tlb;
  // By privilege and index of the TLB, for the page that is there for reads: CodeBytes::base_for,
  // if stores may go to those of its bytes that no code was made from. 0: they may not.
  alignas(64) std::array<std::array<uint64_t, kSoftTlbEntries>, 2> code_bytes{};
  FarTargetTable far_targets;
  alignas(64) CpuidTable cpuid;
  alignas(64) RingViews rings;
  // Never readable: an offset beyond a limit ends here, one within it before.
  alignas(4096) std::array<uint8_t, kPageSize> limit_guard{};
  // Loaded from where the guest may go back, or anywhere; made unreadable when attention is wanted.
  alignas(4096) std::array<uint8_t, kPageSize> poll_page{};
};

// Displacement of a Frame member from the frame register, which points at `slots`.
constexpr int32_t frame_displacement(size_t offset) {
  return static_cast<int32_t>(offset) - static_cast<int32_t>(offsetof(Frame, slots));
}
constexpr int32_t slot_displacement(size_t offset_in_slots) {
  return static_cast<int32_t>(offset_in_slots);
}
constexpr int32_t state_displacement(size_t offset_in_state) {
  return frame_displacement(offsetof(Frame, state) + offset_in_state);
}

// Generated code compares R8D with a known EIP by two loads that touch no flag and take no branch
// (docs/translator.md, "Calls and returns"): from the frame register plus R8 plus kReturnFloor
// minus EIP, and the same with kReturnCeiling. If the two are equal, the first load is of the first
// four bytes of one readable page and the second of the last four of another. If R8D is less, the
// first lies partly or wholly below its page; if it is more, the second lies beyond its own.
// Nothing else near is readable but the Frame itself, and the two are never in it at once.
inline constexpr uint64_t kReturnFloorPage = 0x7f000000;  // bytes from the Frame
inline constexpr uint64_t kReturnCeilingPage = 0x7fff0000;
inline constexpr int32_t kReturnFloor = frame_displacement(kReturnFloorPage);
inline constexpr int32_t kReturnCeiling =
    frame_displacement(kReturnCeilingPage + kPageSize - sizeof(uint32_t));
// The displacements of EIPs from here on are too large to encode.
inline constexpr Eip kFirstUnguardedReturn{0xfe000000};
// How far from the Frame these loads go.
inline constexpr uint64_t kReturnReachBelow = uint64_t{2} << 30;
inline constexpr uint64_t kReturnReachAbove = uint64_t{6} << 30;
static_assert(sizeof(Frame) + kPageSize < kReturnCeilingPage - kReturnFloorPage,
              "both loads could be from the Frame");
static_assert(kReturnFloorPage + kReturnReachBelow > kFirstUnguardedReturn.value());
static_assert(kReturnCeilingPage + kPageSize + (uint64_t{1} << 32) <= kReturnReachAbove);

// A Frame in pages of its own (the poll page changes protection). Only the checks of returns load
// from the addresses around it.
class FrameStorage {
 public:
  static std::unique_ptr<FrameStorage> create(std::string* error);
  ~FrameStorage();
  FrameStorage(const FrameStorage&) = delete;
  FrameStorage& operator=(const FrameStorage&) = delete;
  [[nodiscard]] Frame& frame() { return *frame_; }

 private:
  explicit FrameStorage(Frame* frame) : frame_(frame) {}
  Frame* frame_;
};

// The first displacement of the limit check: a check that fails reaches limit_guard, 8 bytes a
// step, in 255 steps or 256; one that holds takes none.
inline constexpr int32_t kLimitCheck = frame_displacement(offsetof(Frame, limit_guard)) - 255 * 8;

#define RINGSHIFT_SLOT(field) ::ringshift::slot_displacement(offsetof(::ringshift::Slots, field))
#define RINGSHIFT_STATE(field) \
  ::ringshift::state_displacement(offsetof(::ringshift::GuestState, field))

}  // namespace ringshift
