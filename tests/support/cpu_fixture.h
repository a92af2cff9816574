// CpuFixture: one virtual CPU with RAM, buses and flat protected-mode tables, for tests of its
// behaviour. Owns: everything CpuContext refers to. Starts in ring 0, 32-bit flat, paging off, with
// a 32-bit TSS loaded. Layout: the constants below.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/cpu_model.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/memory/physical_memory.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class FixedTimeStampCounter final : public TimeStampCounter {
 public:
  [[nodiscard]] uint64_t read() override { return now; }
  uint64_t now = 1000;
};

class RecordingPaging final : public PagingObserver {
 public:
  void on_cr3_loaded() override { ++cr3_loads; }
  void on_page_invalidated(GuestVirtual address) override { pages.push_back(address); }
  void on_paging_mode_changed() override { ++mode_changes; }
  int cr3_loads = 0;
  int mode_changes = 0;
  std::vector<GuestVirtual> pages;
};

// The TSS fields by name, 32-bit layout (SDM 3A figure 7-2).
namespace tss32 {
inline constexpr uint32_t kLink = 0, kEsp0 = 4, kSs0 = 8, kEsp1 = 12, kSs1 = 16, kCr3 = 28,
                          kEip = 32, kEflags = 36, kEax = 40, kEsp = 56, kEs = 72, kCs = 76,
                          kSs = 80, kDs = 84, kFs = 88, kGs = 92, kLdt = 96, kTrap = 100,
                          kMapBase = 102;
}  // namespace tss32

class CpuFixture : public testing::Test {
 protected:
  static constexpr uint64_t kRamBytes = 1 << 20;
  static constexpr uint32_t kGdt = 0x1000, kIdt = 0x2000, kLdt = 0x3000, kTss = 0x4000,
                            kOtherTss = 0x5000;
  static constexpr uint32_t kStack0 = 0x9000;     // TSS.ESP0
  static constexpr uint32_t kStack1 = 0xa000;     // TSS.ESP1
  static constexpr uint32_t kStackTop = 0xc000;   // ESP at the start, any ring
  static constexpr uint32_t kHandlers = 0x20000;  // handler of vector v: + v * 16
  // Selectors of the flat GDT that set_up_tables() writes.
  static constexpr uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x1b, kData3 = 0x23,
                            kCode1 = 0x29, kData1 = 0x31, kTssSelector = 0x38,
                            kOtherTssSelector = 0x40, kConforming0 = 0x48, kLdtSelector = 0x50,
                            kSmallStack0 = 0x58, kCode16 = 0x60, kFree = 0x80;
  // Attribute words as in SegmentCache.
  static constexpr uint16_t kFlatCode = 0xc09b, kFlatData = 0xc093;

  CpuFixture() {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    EXPECT_NE(ram_, nullptr) << error;
    physical_ = std::make_unique<PhysicalMemory>(*ram_, memory_bus_);
    memory_ = std::make_unique<LinearMemory>(*physical_, state);
    cpu_ = std::make_unique<CpuContext>(CpuContext{state, *memory_, ports_, tsc_, paging_, model});
    reset(state);
    set_up_tables();
    enter_protected_mode();
  }

  [[nodiscard]] CpuContext& cpu() { return *cpu_; }

  void set32(uint32_t at, uint32_t value) {
    std::memcpy(ram_->at(GuestPhysical(at)), &value, sizeof(value));
  }
  void set16(uint32_t at, uint16_t value) {
    std::memcpy(ram_->at(GuestPhysical(at)), &value, sizeof(value));
  }
  [[nodiscard]] uint32_t get32(uint32_t at) const {
    uint32_t value;
    std::memcpy(&value, ram_->at(GuestPhysical(at)), sizeof(value));
    return value;
  }
  [[nodiscard]] uint16_t get16(uint32_t at) const {
    uint16_t value;
    std::memcpy(&value, ram_->at(GuestPhysical(at)), sizeof(value));
    return value;
  }
  [[nodiscard]] uint8_t get8(uint32_t at) const { return *ram_->at(GuestPhysical(at)); }

  // limit: the 20-bit field, units by the G bit of `attributes`.
  void set_descriptor(uint32_t table, uint16_t selector, uint32_t base, uint32_t limit,
                      uint32_t attributes) {
    const uint32_t at = table + (selector & 0xfff8U);
    set32(at, (base << 16) | (limit & 0xffffU));
    set32(at + 4,
          ((base >> 16) & 0xffU) | (attributes << 8) | (limit & 0xf0000U) | (base & 0xff000000U));
  }
  void set_gdt(uint16_t selector, uint32_t base, uint32_t limit, uint32_t attributes) {
    set_descriptor(kGdt, selector, base, limit, attributes);
  }
  [[nodiscard]] uint32_t gdt_high(uint16_t selector) const {
    return get32(kGdt + (selector & 0xfff8U) + 4);
  }
  // attributes: present, DPL and type of the gate (0x8e: ring 0 32-bit interrupt gate).
  void set_gate(uint32_t at, uint16_t selector, uint32_t offset, uint32_t attributes,
                uint32_t parameters = 0) {
    set32(at, (uint32_t{selector} << 16) | (offset & 0xffffU));
    set32(at + 4, (offset & 0xffff0000U) | (attributes << 8) | parameters);
  }
  void set_idt(uint8_t vector, uint16_t selector, uint32_t attributes) {
    set_gate(kIdt + uint32_t{vector} * 8, selector, handler(vector), attributes);
  }
  [[nodiscard]] static uint32_t handler(uint8_t vector) {
    return kHandlers + uint32_t{vector} * 16;
  }

  // Puts the CPU into a ring with flat segments.
  void enter_ring(unsigned ring) {
    const std::array<uint16_t, 4> code = {kCode0, kCode1, 0, kCode3};
    const std::array<uint16_t, 4> data = {kData0, kData1, 0, kData3};
    const auto dpl = static_cast<uint16_t>(ring << 5);
    for (SegmentCache& cache : state.segment) {
      cache = {0, 0xffffffffU, data[ring], static_cast<uint16_t>(kFlatData | dpl)};
    }
    state.seg(SegmentRegister::Cs) = {0, 0xffffffffU, code[ring],
                                      static_cast<uint16_t>(kFlatCode | dpl)};
    state.cpl = static_cast<uint8_t>(ring);
    state.reg(Gpr::Esp) = kStackTop;
    state.eip = 0x30000;
  }
  void enter_v86(unsigned iopl) {
    state.eflags = kFlagReservedOne | kFlagVm | kFlagIf | (iopl << kFlagIoplShift);
    for (SegmentCache& cache : state.segment) {
      cache = {0x10000, 0xffff, 0x1000, 0xf3};
    }
    state.cpl = 3;
    state.reg(Gpr::Esp) = 0x8000;
    state.eip = 0x100;
  }
  void enter_real_mode() {
    state.cr0 &= ~kCr0Pe;
    state.idtr = {0, 0x3ff};
    for (SegmentCache& cache : state.segment) {
      cache = {0x10000, 0xffff, 0x1000, 0x93};
    }
    state.cpl = 0;
    state.reg(Gpr::Esp) = 0x8000;
    state.eip = 0x100;
  }
  // Identity-maps the first 4 MiB (RAM is 1 MiB) with 4 KiB pages, tables at 0xf0000 and 0xf1000.
  void enable_paging() {
    constexpr uint32_t kDirectory = 0xf0000, kTable = 0xf1000, kPresentWritableUser = 7;
    set32(kDirectory, kTable | kPresentWritableUser);
    for (uint32_t page = 0; page < 256; ++page) {
      set32(kTable + page * 4, (page << 12) | kPresentWritableUser);
    }
    state.cr3 = kDirectory;
    state.cr0 |= kCr0Pg | kCr0Wp;
    memory_->flush();
  }
  void unmap(uint32_t address) {
    set32(0xf1000 + (address >> 12) * 4, 0);
    memory_->flush();
  }

  // GDT, TSS and IDT as every test finds them.
  void set_up_tables() {
    set_gdt(kCode0, 0, 0xfffff, kFlatCode);
    set_gdt(kData0, 0, 0xfffff, kFlatData);
    set_gdt(kCode3, 0, 0xfffff, kFlatCode | 0x60U);
    set_gdt(kData3, 0, 0xfffff, kFlatData | 0x60U);
    set_gdt(kCode1, 0, 0xfffff, kFlatCode | 0x20U);
    set_gdt(kData1, 0, 0xfffff, kFlatData | 0x20U);
    set_gdt(kTssSelector, kTss, 0x2fff, 0x8b);
    set_gdt(kOtherTssSelector, kOtherTss, 0x67, 0x89);
    set_gdt(kConforming0, 0, 0xfffff, 0xc09e);
    set_gdt(kLdtSelector, kLdt, 0xff, 0x82);
    set_gdt(kSmallStack0, 0, 0xffff, 0x93);
    set_gdt(kCode16, 0, 0xffff, 0x9b);
    set32(kTss + tss32::kEsp0, kStack0);
    set16(kTss + tss32::kSs0, kData0);
    set32(kTss + tss32::kEsp1, kStack1);
    set16(kTss + tss32::kSs1, kData1);
    set16(kTss + tss32::kMapBase, 104);
    for (unsigned vector = 0; vector < 0x40; ++vector) {
      set_idt(static_cast<uint8_t>(vector), kCode0, 0x8e);
    }
  }

  GuestState state;
  CpuModel model;
  FixedTimeStampCounter tsc_;
  RecordingPaging paging_;

 private:
  void enter_protected_mode() {
    state.cr0 = kCr0Pe | kCr0Et;
    state.gdtr = {kGdt, 0xff};
    state.idtr = {kIdt, 0x7ff};
    state.tr = {kTss, 0x2fff, kTssSelector, 0x8b};
    state.ldtr = SegmentCache{};
    enter_ring(0);
  }

  std::unique_ptr<GuestMemory> ram_;
  MemoryBus memory_bus_;
  PortBus ports_;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> memory_;
  std::unique_ptr<CpuContext> cpu_;
};

}  // namespace ringshift
