// PagedMachine: a ProcessorMachine of 4 MiB whose guest is in 32-bit paging, in ring 0 or 3, with
// tables that tests change. Owns: the machine. Linear kKernel.. and kUser.. are 4 MiB each, of
// supervisor and user pages: page n of both is frame n of RAM.
#pragma once

#include <cstdint>

#include "monitor/cpu/control_registers.h"
#include "tests/support/processor_machine.h"
#include "tests/support/translator_fixture.h"

namespace ringshift {

class PagedMachine {
 public:
  static constexpr uint32_t kRamBytes = 4U << 20;
  static constexpr uint32_t kPages = kRamBytes / kPageSize;
  static constexpr uint32_t kKernel = 0xc0000000U;
  static constexpr uint32_t kUser = 0x08000000U;
  static constexpr uint32_t kDirectory = 0x1000, kOtherDirectory = 0x2000;
  static constexpr uint32_t kKernelTable = 0x3000, kUserTable = 0x4000, kOtherUserTable = 0x5000;
  static constexpr uint32_t kPresent = 1, kWritable = 2, kUserBit = 4, kAccessed = 0x20,
                            kDirty = 0x40, kGlobal = 0x100;
  static constexpr uint32_t kSupervisorPage = kPresent | kWritable;
  static constexpr uint32_t kUserPage = kPresent | kWritable | kUserBit;

  explicit PagedMachine(const ProcessorConfig& config = ProcessorMachine::small_config())
      : machine(kRamBytes, config) {
    std::memset(machine.ram->at(GuestPhysical(0)), 0, kRamBytes);
    for (const uint32_t directory : {kDirectory, kOtherDirectory}) {
      const uint32_t user_table = directory == kDirectory ? kUserTable : kOtherUserTable;
      machine.set32(directory + (kKernel >> 22) * 4, kKernelTable | kUserPage);
      machine.set32(directory + (kUser >> 22) * 4, user_table | kUserPage);
    }
    for (uint32_t page = 0; page < kPages; ++page) {
      machine.set32(kKernelTable + page * 4, (page << 12) | kSupervisorPage);
      machine.set32(kUserTable + page * 4, (page << 12) | kUserPage);
      machine.set32(kOtherUserTable + page * 4, (page << 12) | kUserPage);
    }
    GuestState& guest = state();
    guest.cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    guest.cr3 = kDirectory;
    for (SegmentCache& segment : guest.segment) segment = {0, 0xffffffffU, 0x10, 0xc093};
    guest.seg(SegmentRegister::Cs) = {0, 0xffffffffU, 0x08, 0xc09b};
    processor().note_state_changed();
    spaces().apply(safe());
    counters() = Counters{};
  }

  void enter_user() {
    GuestState& guest = state();
    guest.cpl = 3;
    for (SegmentCache& segment : guest.segment) segment = {0, 0xffffffffU, 0x2b, 0xc0f3};
    guest.seg(SegmentRegister::Cs) = {0, 0xffffffffU, 0x23, 0xc0fb};
  }
  // As MOV CR3 does.
  void load_cr3(uint32_t directory) {
    state().cr3 = directory;
    processor().linear().flush();
    spaces().on_cr3_loaded();
  }
  // As INVLPG does.
  void invalidate(uint32_t linear) {
    processor().linear().flush_page(GuestVirtual(linear));
    spaces().on_page_invalidated(GuestVirtual(linear));
  }
  // The guest writes an entry of a table; nothing notices until it flushes.
  void map(uint32_t table, uint32_t page, uint32_t frame, uint32_t bits) {
    machine.set32(table + page * 4, (frame << 12) | bits);
  }
  [[nodiscard]] uint32_t entry(uint32_t table, uint32_t page) const {
    return machine.get32(table + page * 4);
  }
  // Guest code, in a frame of RAM.
  void put_code(uint32_t frame, std::initializer_list<uint8_t> bytes) {
    uint8_t* at = machine.ram->at(GuestPhysicalPage(frame).address());
    for (const uint8_t byte : bytes) *at++ = byte;
  }
  Fragment& translate(uint32_t eip, Privilege privilege) {
    return *processor().translator().ensure(processor().code().key_for(Eip(eip), privilege).value(),
                                            safe());
  }

  [[nodiscard]] static const SafePoint& safe() { return SafePointForTest::get(); }
  [[nodiscard]] Processor& processor() { return *machine.processor; }
  [[nodiscard]] AddressSpaces& spaces() { return processor().spaces(); }
  [[nodiscard]] DataPaths& data() { return processor().data(); }
  [[nodiscard]] CodeWatch& watch() { return machine.watch; }
  [[nodiscard]] GuestState& state() { return machine.state(); }

  ProcessorMachine machine;
};

}  // namespace ringshift
