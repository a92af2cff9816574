#include "devices/storage/ide_controller.h"

#include <algorithm>
#include <string>
#include <utility>

#include "devices/storage/ata_disk.h"
#include "devices/storage/paced_medium.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Offsets in a channel's eight ports, and their bits.
constexpr unsigned kMasterCommand = 0, kMasterStatus = 2, kMasterTable = 4;
constexpr uint8_t kStart = 0x01, kToMemory = 0x08;
constexpr uint8_t kActive = 0x01, kFailed = 0x02, kInterrupt = 0x04, kCapable = 0x60;

constexpr uint32_t kLastDescriptor = 1U << 31;
constexpr unsigned kIdeTiming = 0x40;
// A table is at most 64 KiB, of eight bytes a descriptor: more of them is a table without an end.
constexpr unsigned kMostDescriptors = 8192;
// A guest may ask for half a gigabyte at once. After so much of it the processor goes on, and the
// rest follows as soon as the clock is looked at.
constexpr size_t kMostAtOnce = size_t{1} << 20;

}  // namespace

IdeController::IdeController(PciBuses& buses, VirtualClock& clock, DmaMemory& memory,
                             InterruptLine& irq14, InterruptLine& irq15)
    : PciFunction(buses, {.vendor = 0x8086, .device = 0x7010, .class_code = 0x010180}, "ide"),
      memory_(memory),
      clock_(clock),
      masters_{BusMaster(clock, [this] { go_on(0); }), BusMaster(clock, [this] { go_on(1); })},
      look_again_{ClockTimer(clock, [this](Nanoseconds) { channels_[0]->resume(); }),
                  ClockTimer(clock, [this](Nanoseconds) { channels_[1]->resume(); })},
      registers_([this](uint16_t offset) { return read_register(offset); },
                 [this](uint16_t offset, uint8_t value) { write_register(offset, value); }) {
  InterruptLine* lines[] = {&irq14, &irq15};
  for (unsigned i = 0; i < 2; ++i) {
    channels_[i] = std::make_unique<IdeChannel>(
        *lines[i], [this, i] { masters_[i].status |= kInterrupt; }, [this, i] { on_dma(i); },
        [this, i] { look_again_[i].arm(clock_.now() + kLookAgain); });
  }
  add_port_range(4, 16, registers_);
  for (unsigned i = 0; i < 4; ++i) make_writable(kIdeTiming + i, 0xff);
  set_config_word(kIdeTiming, 0x8000);  // both channels decode
  set_config_word(kIdeTiming + 2, 0x8000);
}

void IdeController::attach(unsigned place, std::unique_ptr<IdeDrive> drive) {
  CHECK(place < 4);
  channels_[place / 2]->attach(place % 2, *drive);
  drives_.push_back(std::move(drive));
  constexpr uint8_t kFirstDrive = 0x20;
  constexpr uint8_t kSecondDrive = 0x40;
  uint8_t& status = masters_[place / 2].status;
  status = static_cast<uint8_t>(status | (place % 2 == 0 ? kFirstDrive : kSecondDrive));
}

void IdeController::add_disk(unsigned place, DiskBackend& medium) {
  attach(place, std::make_unique<AtaDisk>(medium, "RS0000" + std::to_string(place + 1)));
}

void IdeController::add_cdrom(unsigned place, DiskBackend* medium) {
  auto drive = std::make_unique<AtapiCdrom>(medium);
  cdroms_[place] = drive.get();
  attach(place, std::move(drive));
}

uint8_t IdeController::read_register(unsigned offset) const {
  const BusMaster& master = masters_[offset >> 3 & 1];
  switch (offset & 7) {
    case kMasterCommand:
      return master.command;
    case kMasterStatus:
      return master.status;
    case kMasterTable:
    case kMasterTable + 1:
    case kMasterTable + 2:
    case kMasterTable + 3:
      return static_cast<uint8_t>(master.table >> (8 * (offset & 3)));
    default:
      return 0;
  }
}

void IdeController::write_register(unsigned offset, uint8_t value) {
  const unsigned channel = offset >> 3 & 1;
  BusMaster& master = masters_[channel];
  switch (offset & 7) {
    case kMasterCommand:
      write_command(channel, value);
      break;
    case kMasterStatus: {
      const uint8_t cleared = value & (kFailed | kInterrupt);
      master.status =
          static_cast<uint8_t>((master.status & ~cleared & ~kCapable) | (value & kCapable));
      break;
    }
    case kMasterTable:
    case kMasterTable + 1:
    case kMasterTable + 2:
    case kMasterTable + 3: {
      const unsigned shift = 8 * (offset & 3);
      master.table = (master.table & ~(0xffU << shift)) | uint32_t{value} << shift;
      master.table &= ~3U;
      break;
    }
    default:
      break;
  }
}

void IdeController::write_command(unsigned channel, uint8_t value) {
  BusMaster& master = masters_[channel];
  const bool starts = (value & ~master.command & kStart) != 0;
  master.command = value & (kStart | kToMemory);
  if ((value & kStart) == 0) {
    master.status &= static_cast<uint8_t>(~kActive);
    master.more.cancel();
  }
  if (!starts) return;
  master.has_begun = false;
  master.status |= kActive;
  begin(channel);
}

IdeController::Region IdeController::read_descriptor(uint32_t address) const {
  std::array<uint8_t, 8> bytes{};
  memory_.read_ram(address, bytes);
  uint32_t words[2] = {};
  for (unsigned i = 0; i < 8; ++i) words[i / 4] |= uint32_t{bytes[i]} << (8 * (i % 4));
  const uint32_t count = words[1] & 0xfffe;
  return {words[0] & ~1U, count != 0 ? count : 0x10000, (words[1] & kLastDescriptor) != 0};
}

// One piece that is contiguous both in RAM and in the drive's block.
size_t IdeController::move(IdeChannel& channel, Region* region) {
  const std::span<uint8_t> block = channel.dma_block();
  const size_t bytes = std::min<size_t>(block.size(), region->bytes);
  if (channel.dma_in()) {
    memory_.write_ram(region->address, block.first(bytes));
  } else {
    memory_.read_ram(region->address, block.first(bytes));
  }
  region->address += bytes;
  region->bytes -= static_cast<uint32_t>(bytes);
  channel.dma_moved(bytes);
  return bytes;
}

// A drive that has waited for its medium in the middle of a transfer goes on with that.
void IdeController::on_dma(unsigned index) {
  const bool goes_on = channels_[index]->dma_has_moved() && masters_[index].has_begun;
  return goes_on ? go_on(index) : begin(index);
}

// Once the drive waits for the transfer and the guest has started it.
void IdeController::begin(unsigned index) {
  BusMaster& master = masters_[index];
  const IdeChannel& channel = *channels_[index];
  if ((master.status & kActive) == 0 || !channel.dma_waiting()) return;
  if (!is_bus_master() || channel.dma_in() != ((master.command & kToMemory) != 0)) {
    master.status |= kFailed;
    return;
  }
  master.next_descriptor = master.table;
  master.descriptors_seen = 0;
  master.region = Region();
  master.has_begun = true;
  go_on(index);
}

// A table that ends before the data leaves the drive waiting; one that goes on after them leaves
// the master active. The guest may have stopped the master, or the drive, since the part before.
void IdeController::go_on(unsigned index) {
  BusMaster& master = masters_[index];
  IdeChannel& channel = *channels_[index];
  size_t moved = 0;
  while ((master.status & kActive) != 0 && is_bus_master() && channel.dma_waiting()) {
    if (moved >= kMostAtOnce) return master.more.arm(0);
    if (master.region.bytes != 0) {
      const Nanoseconds pause = channel.dma_pause();
      if (pause != 0) return master.more.arm(clock_.now() + pause);
      moved += move(channel, &master.region);
    } else if (master.descriptors_seen++ == kMostDescriptors) {
      master.status = static_cast<uint8_t>((master.status & ~kActive) | kFailed);
    } else {
      master.region = read_descriptor(master.next_descriptor);
      master.next_descriptor += 8;
    }
    const bool table_ends = master.region.last && master.region.bytes == 0;
    if (table_ends) master.status &= static_cast<uint8_t>(~kActive);
  }
}

void IdeController::Region::visit_state(StateArchive& archive) {
  archive.field("address", address);
  archive.field("bytes", bytes, 0, 0x10000);
  archive.field("last", last);
}

void IdeController::BusMaster::visit_state(StateArchive& archive) {
  archive.field("command", command);
  archive.field("status", status);
  archive.field("table", table);
  archive.field("next descriptor", next_descriptor);
  archive.field("descriptors seen", descriptors_seen, 0, kMostDescriptors + 1);
  archive.part("region", region);
  archive.part("more", more);
  if (archive.version() >= 2) {
    archive.field("has begun", has_begun);
  } else if (archive.has_loaded()) {
    has_begun = (status & kActive) != 0;
  }
}

void IdeController::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  archive.part("channel 0", *channels_[0]);
  archive.part("channel 1", *channels_[1]);
  archive.part("master 0", masters_[0]);
  archive.part("master 1", masters_[1]);
  if (archive.version() < 2) return;
  archive.part("look again 0", look_again_[0]);
  archive.part("look again 1", look_again_[1]);
}

}  // namespace ringshift
