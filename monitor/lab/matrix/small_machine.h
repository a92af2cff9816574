// SmallMachine: the machine in which the matrix runs one instruction: RAM, page tables, descriptor
// tables, a processor. Owns: all of it. The interpreter's requests to the machine around it are
// counted.
#pragma once

#include <x86intrin.h>

#include <cstring>
#include <memory>
#include <string>

#include "devices/bus/bus.h"
#include "devices/interrupts/pic8259.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/lab/matrix/virtual_processor.h"
#include "monitor/machine/processor.h"

namespace ringshift::lab {

namespace small_machine {

// Guest-physical layout. The system area is mapped at kSystem, the rest where instructions.h says.
inline constexpr uint32_t kRamBytes = 0x20000;
inline constexpr uint32_t kDirectory = 0x1000, kTables = 0x2000, kOtherDirectory = 0x5000;
inline constexpr uint32_t kSystemPhysical = 0x8000, kSystemBytes = 0x8000, kSystem = 0x9e348000;
inline constexpr uint32_t kCodePhysical = 0x10000, kDataPhysical = 0x14000;
inline constexpr uint32_t kGdt = 0, kIdt = 0x1000, kTssAt = 0x2000, kOtherTss = 0x2200,
                          kLdtAt = 0x2400, kGdtCopy = 0x2800, kIdtCopy = 0x3000, kStubs = 0x4000,
                          kThreadAt = 0x6000,
                          kRingStack = 0x7800;  // offsets in the system area
inline constexpr uint32_t kGdtLimit = 0x7f, kIdtLimit = 0x7ff, kTssLimit = 0x8b, kStubStride = 16;
inline constexpr uint16_t kEndPort = 0xf4, kTestPort = 0x80, kOtherTssSelector = 0x50;
inline constexpr uint16_t kFlatCode = 0xc09b, kFlatData = 0xc093;

[[nodiscard]] constexpr uint32_t linear(uint32_t system_offset) { return kSystem + system_offset; }

}  // namespace small_machine

class LabClock final : public TimeStampCounter {
 public:
  [[nodiscard]] uint64_t read() override { return now; }
  uint64_t now = 0x123456789aULL;
};

// Counts the requests of an instruction to the machine around the processor.
class Watch final : public PagingObserver {
 public:
  void on_cr3_loaded() override { ++cr3_loads; }
  void on_page_invalidated(GuestVirtual) override { ++pages; }
  void on_paging_mode_changed() override {}
  uint32_t cr3_loads = 0;
  uint32_t pages = 0;
};

class TestPort final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override {
    ++accesses;
    return 0x5a;
  }
  void write(uint16_t, AccessWidth, uint32_t) override { ++accesses; }
  uint32_t accesses = 0;
};

class EndPort final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return ~0U; }
  void write(uint16_t, AccessWidth, uint32_t) override {
    if (vcpu != nullptr) vcpu->request_stop(StopReason::DebugExit);
  }
  Vcpu* vcpu = nullptr;
};

class SmallMachine {
 public:
  [[nodiscard]] bool build(std::string* error);
  void prepare(const Instruction& instruction, Resource changed);
  void interpret(VirtualOutcome* out);
  void translate(VirtualOutcome* out);
  // Translated code reads the host's counter: from here on it is the laboratory's clock.
  void start_host_clock() { state().tsc_offset = clock_.now - __rdtsc(); }

 private:
  uint8_t* at(uint32_t physical) { return memory_->at(GuestPhysical(physical)); }
  void set32(uint32_t physical, uint32_t value) { std::memcpy(at(physical), &value, 4); }
  void set_descriptor(uint32_t table, uint16_t selector, uint32_t base, uint32_t limit,
                      uint32_t attributes);
  void write_page_tables(bool user);
  void write_tables();
  void change(Resource resource);
  void enter_ring_three();
  void look(VirtualOutcome* out);
  GuestState& state() { return processor_->state(); }

  std::unique_ptr<GuestMemory> memory_;
  MemoryBus memory_bus_;
  PortBus ports_;
  TestPort test_port_;
  EndPort end_port_;
  std::unique_ptr<PhysicalMemory> physical_;
  CodeWatch code_watch_{small_machine::kRamBytes};
  LabClock clock_;
  std::unique_ptr<Processor> processor_;
  // The interpreter's side: its requests to the machine around it are counted.
  Watch watch_;
  CpuModel model_;
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<Interpreter> interpreter_;
};

}  // namespace ringshift::lab
