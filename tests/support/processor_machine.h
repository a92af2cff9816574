// ProcessorMachine: RAM, buses and one processor, the least that a processor runs in. Owns: all of
// it. If one of them cannot be made the test program ends.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "devices/bus/bus.h"
#include "monitor/machine/processor.h"
#include "monitor/memory/physical_memory.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class ProcessorMachine {
 public:
  explicit ProcessorMachine(uint64_t ram_bytes, const ProcessorConfig& config = small_config(),
                            TimeStampCounter* time_stamp = nullptr)
      : ram(made(GuestMemory::create(ram_bytes, &error))), physical(*ram, bus), watch(ram_bytes) {
    physical.set_observer(&watch);
    processor = made(Processor::create(
        {.physical = physical, .watch = watch, .ports = ports, .time_stamp = time_stamp}, config,
        &error));
  }
  [[nodiscard]] static ProcessorConfig small_config() {
    ProcessorConfig config;
    config.translator.arena_bytes = 1U << 20;
    return config;
  }

  [[nodiscard]] GuestState& state() { return processor->state(); }
  [[nodiscard]] const GuestState& state() const { return processor->state(); }
  void set32(uint32_t at, uint32_t value) {
    std::memcpy(ram->at(GuestPhysical(at)), &value, sizeof(value));
  }
  [[nodiscard]] uint32_t get32(uint32_t at) const {
    uint32_t value;
    std::memcpy(&value, ram->at(GuestPhysical(at)), sizeof(value));
    return value;
  }

  std::string error;
  std::unique_ptr<GuestMemory> ram;
  MemoryBus bus;
  PortBus ports;
  PhysicalMemory physical;
  CodeWatch watch;
  std::unique_ptr<Processor> processor;

 private:
  template <typename Thing>
  [[nodiscard]] static std::unique_ptr<Thing> made(std::unique_ptr<Thing> thing) {
    CHECK(thing != nullptr);
    return thing;
  }
};

}  // namespace ringshift
