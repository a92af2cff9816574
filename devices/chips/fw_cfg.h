// FwCfg: the firmware configuration port of the QEMU PC: named items that firmware reads by byte or
// by DMA. Owns: the items. Does not own: guest RAM. Everything that the guest names is checked: a
// bad request sets the error bit. See docs/devices.md; "QEMU Firmware Configuration (fw_cfg)
// Device" specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"

namespace ringshift {

class StateArchive;

// The items with a fixed number that a PC BIOS reads.
enum class FwCfgItem : uint16_t {
  Signature = 0x00,
  Interface = 0x01,
  RamSize = 0x03,
  CpuCount = 0x05,
  BootMenu = 0x0e,
  MaxCpus = 0x0f,
  Directory = 0x19,
};

class FwCfg {
 public:
  FwCfg(VirtualClock& clock, DmaMemory& memory);

  // The most bytes that one step moves: a shorter transfer is over when the write that starts it
  // returns.
  static constexpr uint32_t kDmaStep = 1U << 20;

  static constexpr size_t kLongestName = 55;  // of a file, in letters

  void add(FwCfgItem item, std::vector<uint8_t> bytes);
  // A file of the directory. Pre: name has at most kLongestName letters and is new; room for 64
  // files.
  void add_file(const std::string& name, std::vector<uint8_t> bytes);

  // At its ports, which nobody else may have.
  void attach(PortBus& bus);
  [[nodiscard]] PortDevice& ports() { return ports_; }          // 0x510-0x511
  [[nodiscard]] PortDevice& dma_ports() { return dma_ports_; }  // 0x514-0x51b

  // Visits the read that is under way. The items are those the machine is made with, and must be
  // the same.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  class Selector final : public PortDevice {
   public:
    explicit Selector(FwCfg& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    FwCfg& owner_;
  };

  void select(uint16_t item);
  [[nodiscard]] const std::vector<uint8_t>* selected_item() const;
  [[nodiscard]] uint64_t hash_of_items() const;
  [[nodiscard]] uint8_t next_byte();
  void write_dma_address(uint16_t offset, uint8_t value);
  void begin_dma();
  void go_on_with_dma();
  void end_dma(uint32_t result);
  void copy_out(uint64_t address, uint32_t length);
  void rebuild_directory();

  struct File {
    std::string name;
    uint16_t item;
    uint32_t bytes;
  };

  // The rest of a read. Pre-condition of every step: active.
  struct Transfer {
    bool active = false;
    uint64_t request = 0;  // where the guest looks for its end
    uint64_t address = 0;
    uint32_t left = 0;
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
  };

  // Not state: items_, files_, ports_: set when the machine is made, and checked by a hash.
  VirtualClock& clock_;
  DmaMemory& memory_;
  std::map<uint16_t, std::vector<uint8_t>> items_;
  std::vector<File> files_;
  std::optional<uint16_t> selected_;
  uint64_t position_ = 0;
  uint64_t dma_address_ = 0;
  Transfer transfer_;
  ClockTimer next_step_;
  Selector ports_;
  PortWindow dma_ports_;
};

}  // namespace ringshift
