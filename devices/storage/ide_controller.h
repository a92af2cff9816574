// IdeController: the IDE function of the PIIX3 (00:01.1): two channels at their legacy ports, and
// bus mastering. Owns: the channels, the drives, the bus master registers. Does not own: the media.
// See docs/devices.md; Intel 290550 (PIIX3), "Programming Interface for Bus Master IDE Controller"
// 1.0.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"
#include "devices/pci/pci_function.h"
#include "devices/storage/atapi_cdrom.h"
#include "devices/storage/disk_backend.h"
#include "devices/storage/ide_channel.h"

namespace ringshift {

class StateArchive;

class IdeController final : public PciFunction {
 public:
  IdeController(PciBuses& buses, VirtualClock& clock, DmaMemory& memory, InterruptLine& irq14,
                InterruptLine& irq15);

  // Before the guest runs. Place: 0 and 1 on the first cable, 2 and 3 on the second.
  void add_disk(unsigned place, DiskBackend& medium);
  void add_cdrom(unsigned place, DiskBackend* medium);  // null: the drive is empty
  // Null: there is no drive for CD-ROMs. Pre: place < 4.
  [[nodiscard]] AtapiCdrom* cdrom(unsigned place) { return cdroms_[place]; }
  [[nodiscard]] IdeChannel& channel(unsigned index) { return *channels_[index]; }

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive) override;

 private:
  // The part of guest RAM for the next bytes, as the descriptor table says.
  struct Region {
    uint64_t address = 0;
    uint32_t bytes = 0;
    bool last = false;
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
  };
  struct BusMaster {
    BusMaster(VirtualClock& clock, std::function<void()> go_on)
        : more(clock, [go_on = std::move(go_on)](Nanoseconds) { go_on(); }) {}
    static constexpr unsigned kStateVersion = 2;
    void visit_state(StateArchive& archive);
    uint8_t command = 0;
    uint8_t status = 0;
    uint32_t table = 0;
    // The transfer that is under way, if it has begun since the guest started the master:
    bool has_begun = false;
    uint32_t next_descriptor = 0;
    unsigned descriptors_seen = 0;
    Region region;
    ClockTimer more;
  };

  void attach(unsigned place, std::unique_ptr<IdeDrive> drive);
  [[nodiscard]] uint8_t read_register(unsigned offset) const;
  void write_register(unsigned offset, uint8_t value);
  void write_command(unsigned channel, uint8_t value);
  void on_dma(unsigned channel);
  void begin(unsigned channel);
  void go_on(unsigned channel);
  [[nodiscard]] Region read_descriptor(uint32_t address) const;
  // How many bytes.
  size_t move(IdeChannel& channel, Region* region);

  // Not state: drives_, cdroms_: the channels have them.
  DmaMemory& memory_;
  VirtualClock& clock_;
  std::array<std::unique_ptr<IdeChannel>, 2> channels_;
  std::array<BusMaster, 2> masters_;
  std::array<ClockTimer, 2> look_again_;  // at a drive that waits for its medium
  std::vector<std::unique_ptr<IdeDrive>> drives_;
  std::array<AtapiCdrom*, 4> cdroms_{};
  PortWindow registers_;
};

}  // namespace ringshift
