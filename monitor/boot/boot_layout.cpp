#include "monitor/boot/boot_layout.h"

#include <cstring>

namespace ringshift {

namespace {

// Under the zero page of Linux, above the low structures of any loader; 0x8f000 and down is a first
// stack.
constexpr uint64_t kGdtAddress = 0x8f000;
constexpr uint32_t kGdtEntries = 4;

// Flat 4 GiB segments (SDM 3A 3.4.5): P, DPL 0, S, accessed; G and D set.
constexpr uint64_t kCodeDescriptor = 0x00cf9b000000ffffULL;
constexpr uint64_t kDataDescriptor = 0x00cf93000000ffffULL;
constexpr uint16_t kCodeAttributes = 0xc09b;
constexpr uint16_t kDataAttributes = 0xc093;
constexpr uint16_t kBusyTssAttributes = 0x008b;
constexpr uint16_t kLdtAttributes = 0x0082;

constexpr uint64_t kEbdaSegment = kConventionalEnd >> 4;

template <typename Value>
void store(GuestMemory& memory, uint64_t address, Value value) {
  if (memory.contains(GuestPhysical(address), sizeof value)) {
    std::memcpy(memory.at(GuestPhysical(address)), &value, sizeof value);
  }
}

void set_flat_segments(GuestState& state) {
  constexpr SegmentCache kData{0, 0xffffffffU, kBootDataSelector, kDataAttributes};
  state.segment.fill(kData);
  state.seg(SegmentRegister::Cs) = {0, 0xffffffffU, kBootCodeSelector, kCodeAttributes};
  // As after reset (SDM 3A table 9-1): usable limits, nothing behind them.
  state.ldtr = {0, 0xffff, 0, kLdtAttributes};
  state.tr = {0, 0xffff, 0, kBusyTssAttributes};
}

}  // namespace

std::array<MemoryRange, 4> machine_memory_map(uint64_t ram_bytes) {
  return {{{0, kConventionalEnd, kMemoryUsable},
           {kConventionalEnd, 0xa0000 - kConventionalEnd, kMemoryReserved},
           {0xf0000, 0x10000, kMemoryReserved},
           {kHighMemory, ram_bytes - kHighMemory, kMemoryUsable}}};
}

void store16(GuestMemory& memory, uint64_t address, uint16_t value) {
  store(memory, address, value);
}
void store32(GuestMemory& memory, uint64_t address, uint32_t value) {
  store(memory, address, value);
}
void store64(GuestMemory& memory, uint64_t address, uint64_t value) {
  store(memory, address, value);
}

void write_bios_data_area(GuestMemory& memory) {
  store16(memory, 0x400, 0x3f8);  // first serial port
  store16(memory, 0x40e, static_cast<uint16_t>(kEbdaSegment));
  store16(memory, 0x410, 0x0226);  // one serial port, 80x25 colour, PS/2 mouse, FPU
  store16(memory, 0x413, static_cast<uint16_t>(kConventionalEnd / 1024));
  memory.at(GuestPhysical(0x449))[0] = 3;  // 80x25 text
  store16(memory, 0x44a, 80);
  store16(memory, 0x463, 0x3d4);            // CRT controller
  memory.at(GuestPhysical(0x484))[0] = 24;  // rows less one
  store16(memory, 0x485, 16);               // scan lines of a character
}

void enter_flat_protected_mode(GuestMemory& memory, GuestState& state, uint32_t entry) {
  store64(memory, kGdtAddress, 0);
  store64(memory, kGdtAddress + 8, 0);
  store64(memory, kGdtAddress + kBootCodeSelector, kCodeDescriptor);
  store64(memory, kGdtAddress + kBootDataSelector, kDataDescriptor);

  state.gpr.fill(0);
  state.reg(Gpr::Esp) = static_cast<uint32_t>(kGdtAddress);
  state.eip = entry;
  state.eflags = kFlagReservedOne;
  state.cpl = 0;
  state.interrupt_shadow = 0;
  state.activity = ActivityState::Running;
  set_flat_segments(state);
  state.gdtr = {static_cast<uint32_t>(kGdtAddress), kGdtEntries * 8 - 1};
  state.idtr = {0, 0};
  state.cr0 = kCr0Pe | kCr0Et;
  state.cr2 = 0;
  state.cr3 = 0;
  state.cr4 = 0;
  state.efer = 0;
  // FCW and MXCSR as FNINIT and reset leave them: all exceptions masked (SDM 1 8.1.5, 10.2.3).
  state.fxsave.fill(0);
  state.fxsave[0] = 0x7f;
  state.fxsave[1] = 0x03;
  state.fxsave[24] = 0x80;
  state.fxsave[25] = 0x1f;
}

}  // namespace ringshift
