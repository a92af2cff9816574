// FuzzBoard: a whole board under a clock that moves when told, with media, and a processor that is
// the input: ports, device memory, configuration, RAM, time, keys, interrupts taken. Owns: all of
// it, and a digest of everything the board has answered.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "devices/board/apic_board.h"
#include "devices/board/pc_board.h"
#include "devices/board/pci_board.h"
#include "devices/chips/fw_cfg.h"
#include "devices/interrupts/processor_interrupts.h"
#include "monitor/memory/physical_memory.h"
#include "shadowmmu/guest_memory.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_medium.h"

namespace ringshift::fuzz {

class FuzzBoard {
 public:
  // The display of a whole board is 16 MiB to make, so drives can be had without it.
  enum class Kind : uint8_t { Whole, Drives };
  // shape: what is on the board, by bits.
  FuzzBoard(Kind kind, uint8_t shape);

  // Plain accesses, as the processor makes them.
  void act(FuzzBytes& bytes);
  // Whole requests to drives and the configuration port.
  void act_on_storage(FuzzBytes& bytes);
  // Checks the conditions that hold after any traffic.
  void check() const;
  [[nodiscard]] uint64_t digest() const { return digest_; }
  [[nodiscard]] std::optional<Nanoseconds> next_deadline() const { return clock_.next_deadline(); }

  // The clock and all devices.
  void visit_state(StateArchive& archive);
  // Copies the RAM, the media and the digest of another board of the same kind and shape. Call
  // before its state is loaded.
  void take_surroundings_of(const FuzzBoard& other);
  // RAM, media and what has been printed are the same.
  [[nodiscard]] bool has_surroundings_of(const FuzzBoard& other) const;
  // From now on the heap must not grow.
  void measure_heap();

 private:
  [[nodiscard]] uint16_t choose_port(FuzzBytes& bytes);
  [[nodiscard]] uint64_t choose_address(FuzzBytes& bytes);
  void access_ports(FuzzBytes& bytes);
  void access_port_string(FuzzBytes& bytes);
  void repeat_writes(FuzzBytes& bytes);
  void access_memory(FuzzBytes& bytes);
  void access_config(FuzzBytes& bytes);
  void write_ram(FuzzBytes& bytes);
  void pass_time(FuzzBytes& bytes);
  void take_interrupts();
  void come_from_outside(FuzzBytes& bytes);
  void command_drive(FuzzBytes& bytes);
  void send_packet(FuzzBytes& bytes);
  void run_bus_master(FuzzBytes& bytes);
  void ask_fw_cfg(FuzzBytes& bytes);
  void command_floppy(FuzzBytes& bytes);
  [[nodiscard]] uint32_t in(uint16_t port, AccessWidth width);
  void out(uint16_t port, AccessWidth width, uint32_t value) { ports_.write(port, width, value); }
  void out8(unsigned port, unsigned value);
  void note(uint64_t value) { digest_ = (digest_ ^ value) * 0x100000001b3ULL; }
  [[nodiscard]] PciBoardConfig pci_config(uint8_t shape);

  // Drives and the configuration port, wired as on the whole board.
  struct Drives {
    explicit Drives(FuzzBoard& on);
    PciBuses buses;
    IdeController ide;
    FloppyController floppy;
    FwCfg fw_cfg;
  };
  void add_drives();
  class Log final : public SerialBackend {
   public:
    void transmit(uint8_t byte) override { sum = sum * 31 + byte; }
    uint64_t sum = 0;
  };

  ManualClock clock_;
  PortBus ports_;
  MemoryBus memory_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> physical_;
  Log serial_, log_;
  FuzzMedium disk_, cdrom_, floppy_, virtio_disk_;
  size_t heap_bytes_ = 0;  // of the process, before anything was done
  uint64_t digest_ = 0xcbf29ce484222325ULL;
  std::unique_ptr<PcBoard> board_;
  std::unique_ptr<ApicBoard> apic_;
  std::unique_ptr<FwCfg> fw_cfg_;   // null: it is among the drives
  std::unique_ptr<PciBoard> pci_;   // null: no PCI bus
  std::unique_ptr<Drives> drives_;  // null: they are the PCI board's, or there are none
};

}  // namespace ringshift::fuzz
