#include "tests/fuzz/targets/fuzz_board.h"

#include <malloc.h>

#include "monitor/boot/boot_firmware.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/sanitizer.h"
#include "shadowmmu/base/state_archive.h"

// From sanitizer/allocator_interface.h, which clang has and g++ has not.
extern "C" size_t __sanitizer_get_current_allocated_bytes();

namespace ringshift::fuzz {
namespace {

size_t heap_bytes() {
  if constexpr (kHasAddressSanitizer) {
    return __sanitizer_get_current_allocated_bytes();
  } else {
    const struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
  }
}

constexpr uint64_t kRam = uint64_t{2} << 20;
constexpr std::array<AccessWidth, 4> kWidths = {AccessWidth::Byte, AccessWidth::Word,
                                                AccessWidth::Dword, AccessWidth::Byte};
constexpr unsigned kPrimary = 0x1f0, kSecondary = 0x170, kBusMaster = 0xc000;
constexpr uint32_t kTable = 0x1000, kPacketData = 0x8000;

// Where device memory begins, or might be put to.
constexpr std::array<uint64_t, 12> kAddresses = {0xfee00000, 0xfec00000, 0xfed00000, 0xa0000,
                                                 0xb8000,    0xc0000,    0xe0000,    0xf0000,
                                                 0xfd000000, 0xfffc0000, 0xfee00300, 0xfed00100};

// The ports of the board; each is the first of a few.
constexpr std::array<uint16_t, 32> kPorts = {
    0x00,  0x08,  0x20,  0xa0,  0x40,  0x60,  0x64,  0x70,  0x80,   0x88,  0x92,
    0xb0,  0xc0,  0xd0,  0xe8,  0xf4,  0x170, 0x1cc, 0x1f0, 0x2f8,  0x370, 0x3b0,
    0x3c0, 0x3d0, 0x3f0, 0x3f8, 0x400, 0x4d0, 0x510, 0xcf8, 0xb000, 0xc000};

// The commands that a drive knows; the bytes of an input choose among them as often as among all.
constexpr std::array<uint8_t, 30> kCommands = {
    0x00, 0x08, 0x10, 0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x37, 0x39, 0x40,
    0x70, 0x90, 0x91, 0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe1, 0xe7, 0xea, 0xec, 0xef, 0xf8};
constexpr std::array<uint8_t, 26> kPackets = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b,
                                              0x42, 0x43, 0x44, 0x46, 0x4a, 0x4b, 0x51, 0x52, 0x55,
                                              0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe, 0xdd};

template <typename Table>
uint8_t known_or_any(FuzzBytes& bytes, const Table& known) {
  const uint8_t choice = bytes.u8();
  return choice < 128 ? known[choice % known.size()] : bytes.u8();
}

}  // namespace

FuzzBoard::FuzzBoard(Kind kind, uint8_t shape)
    : disk_(64 * 512, (shape & 4) != 0),
      cdrom_(32 * 2048, true),
      floppy_(1440 * 1024, (shape & 8) != 0),
      virtio_disk_(16 * 512, false) {
  std::string error;
  ram_ = GuestMemory::create(kRam, &error);
  CHECK(ram_ != nullptr);
  physical_ = std::make_unique<PhysicalMemory>(*ram_, memory_);
  PcBoardConfig config;
  config.ram_bytes = kRam;
  config.epoch_seconds = 1'000'000'000;
  config.serial0 = &serial_;
  config.debug_console = &serial_;
  config.on_debug_exit = [this](uint8_t value) { note(value); };
  config.on_reset = [this] { note(1); };
  config.on_a20 = [this](bool enabled) { physical_->set_a20(enabled); };
  board_ = std::make_unique<PcBoard>(clock_, ports_, memory_, config);
  if ((shape & 1) != 0) {
    apic_ = std::make_unique<ApicBoard>(clock_, memory_, board_->interrupts(), (shape & 2) != 0);
    apic_->local().set_on_refusal([this](const char*) { note(2); });
  }
  if (kind == Kind::Whole) {
    fw_cfg_ = std::make_unique<FwCfg>(clock_, *physical_);
    fw_cfg_->attach(ports_);
    describe_machine({}, kRam, *fw_cfg_, board_->rtc());
  }
  measure_heap();
  if (kind == Kind::Drives) add_drives();
  if (kind == Kind::Drives || (shape & 128) != 0) return;
  const BoardSurroundings on{clock_, ports_, memory_, *ram_, *physical_};
  pci_ = std::make_unique<PciBoard>(on, *board_, pci_config(shape));
  if ((shape & 32) != 0) pci_->set_up();
  measure_heap();
}

FuzzBoard::Drives::Drives(FuzzBoard& on)
    : buses{on.ports_, on.memory_, [] {}},
      ide(buses, on.clock_, *on.physical_, on.board_->interrupts().line(14),
          on.board_->interrupts().line(15)),
      floppy(on.clock_, on.board_->interrupts().line(6), on.board_->dma(), *on.physical_,
             &on.floppy_),
      fw_cfg(on.clock_, *on.physical_) {
  ide.add_disk(0, on.disk_);
  ide.add_cdrom(2, &on.cdrom_);
}

void FuzzBoard::measure_heap() { heap_bytes_ = heap_bytes(); }

void FuzzBoard::visit_state(StateArchive& archive) {
  archive.part("clock", static_cast<VirtualClock&>(clock_));
  archive.part("pc", *board_);
  if (apic_ != nullptr) archive.part("apic", *apic_);
  if (fw_cfg_ != nullptr) archive.part("fw cfg", *fw_cfg_);
  if (pci_ != nullptr) archive.part("pci", *pci_);
  if (drives_ == nullptr) return;
  archive.part("ide", drives_->ide);
  archive.part("floppy", drives_->floppy);
  archive.part("fw cfg", drives_->fw_cfg);
}

void FuzzBoard::take_surroundings_of(const FuzzBoard& other) {
  std::memcpy(ram_->at(GuestPhysical(0)), other.ram_->at(GuestPhysical(0)), kRam);
  for (const auto& [mine, its] : {std::pair(&disk_, &other.disk_),
                                  {&cdrom_, &other.cdrom_},
                                  {&floppy_, &other.floppy_},
                                  {&virtio_disk_, &other.virtio_disk_}}) {
    mine->content = its->content;
    mine->broken = its->broken;
  }
  serial_.sum = other.serial_.sum;
  log_.sum = other.log_.sum;
  digest_ = other.digest_;
}

bool FuzzBoard::has_surroundings_of(const FuzzBoard& other) const {
  return std::memcmp(ram_->at(GuestPhysical(0)), other.ram_->at(GuestPhysical(0)), kRam) == 0 &&
         disk_.content == other.disk_.content && cdrom_.content == other.cdrom_.content &&
         floppy_.content == other.floppy_.content &&
         virtio_disk_.content == other.virtio_disk_.content && serial_.sum == other.serial_.sum &&
         log_.sum == other.log_.sum && physical_->a20() == other.physical_->a20();
}

void FuzzBoard::add_drives() {
  drives_ = std::make_unique<Drives>(*this);
  describe_machine({}, kRam, drives_->fw_cfg, board_->rtc());
  const auto claim = [this](unsigned first, uint32_t count, PortDevice& device) {
    CHECK(ports_.claim(static_cast<uint16_t>(first), count, device, "drive"));
  };
  for (const unsigned index : {0U, 1U}) {
    const unsigned base = index == 0 ? kPrimary : kSecondary;
    claim(base, 8, drives_->ide.channel(index).command_ports());
    claim(base + 0x206, 1, drives_->ide.channel(index).control_port());
  }
  claim(0x3f0, 6, drives_->floppy.ports());
  claim(0x3f7, 1, drives_->floppy.input_port());
  claim(0x510, 2, drives_->fw_cfg.ports());
  claim(0x514, 8, drives_->fw_cfg.dma_ports());
  drives_->ide.write_config(0x20, AccessWidth::Dword, kBusMaster);
  drives_->ide.write_config(0x04, AccessWidth::Word, 5);
}

PciBoardConfig FuzzBoard::pci_config(uint8_t shape) {
  PciBoardConfig config;
  if ((shape & 16) != 0) {
    config.firmware.resize(0x20000, 0x90);
    config.video_rom = {0x55, 0xaa, 1};
  }
  config.ide[0] = {&disk_, false};
  config.ide[2] = {(shape & 64) != 0 ? nullptr : &cdrom_, true};
  config.floppy = &floppy_;
  config.virtio_disks = {&virtio_disk_};
  config.firmware_log = &log_;
  config.on_memory_map_changed = [this] { note(3); };
  config.on_power_off = [this] { note(4); };
  config.on_reset = [this] { note(5); };
  return config;
}

uint32_t FuzzBoard::in(uint16_t port, AccessWidth width) {
  const uint32_t value = ports_.read(port, width);
  note(value);
  return value;
}

void FuzzBoard::out8(unsigned port, unsigned value) {
  out(static_cast<uint16_t>(port), AccessWidth::Byte, value & 0xff);
}

uint16_t FuzzBoard::choose_port(FuzzBytes& bytes) {
  const uint8_t choice = bytes.u8();
  if (choice == 0xff) return bytes.u16();
  return static_cast<uint16_t>(kPorts[choice % kPorts.size()] + bytes.below(16));
}

uint64_t FuzzBoard::choose_address(FuzzBytes& bytes) {
  const uint8_t choice = bytes.u8();
  if (choice >= 0xf0) return bytes.u32();
  return kAddresses[choice % kAddresses.size()] + bytes.u16() % 0x1000;
}

void FuzzBoard::access_ports(FuzzBytes& bytes) {
  const uint16_t port = choose_port(bytes);
  const uint8_t how = bytes.u8();
  const AccessWidth width = kWidths[how & 3];
  if ((how & 4) != 0) {
    out(port, width, (how & 8) != 0 ? bytes.u32() : bytes.u8());
  } else {
    (void)in(port, width);
  }
}

// As REP INS and REP OUTS: the same port over and over.
void FuzzBoard::access_port_string(FuzzBytes& bytes) {
  const uint16_t port = choose_port(bytes);
  const uint8_t how = bytes.u8();
  // Each write there may move 4 GiB, to RAM that is not there: one at a time is enough.
  if (port >= 0x510 && port < 0x51c) return;
  for (uint32_t left = bytes.u8() * 8U; left != 0; --left) {
    if ((how & 4) != 0) {
      out(port, kWidths[how & 3], left * 0x01010101U);
    } else {
      (void)in(port, kWidths[how & 3]);
    }
  }
}

// Writes to a controller without reading, as a driver's loop does.
void FuzzBoard::repeat_writes(FuzzBytes& bytes) {
  const uint16_t first = choose_port(bytes);
  const uint16_t second = choose_port(bytes);
  const uint8_t first_value = bytes.u8();
  const uint8_t second_value = bytes.u8();
  const auto moves_ram = [](uint16_t port) { return port >= 0x510 && port < 0x51c; };
  if (moves_ram(first) || moves_ram(second)) return;
  for (uint32_t left = bytes.u8() * 64U; left != 0; --left) {
    out8(first, first_value);
    out8(second, second_value);
  }
}

void FuzzBoard::access_memory(FuzzBytes& bytes) {
  const GuestPhysical address(choose_address(bytes));
  const uint8_t how = bytes.u8();
  const AccessWidth width = kWidths[how & 3];
  if (!memory_.claims(address)) return;
  if ((how & 4) != 0) {
    memory_.write(address, width, bytes.u32());
  } else {
    note(memory_.read(address, width));
  }
  const GuestPhysical page(address.value() & ~uint64_t{kPageSize - 1});
  if (const uint8_t* readable = memory_.readable_page(page); readable != nullptr) {
    note(readable[address.value() % kPageSize]);
  }
  if (uint8_t* writable = memory_.writable_page(page); writable != nullptr) {
    writable[address.value() % kPageSize] = how;
  }
}

void FuzzBoard::access_config(FuzzBytes& bytes) {
  static constexpr std::array<uint32_t, 8> kFunctions = {0x0000, 0x0800, 0x0900, 0x0b00,
                                                         0x1000, 0x2000, 0x0a00, 0x1800};
  const uint8_t offset = bytes.u8();
  const uint8_t how = bytes.u8();
  out(0xcf8, AccessWidth::Dword, 0x80000000U | bytes.pick(kFunctions) | (offset & 0xfcU));
  const auto port = static_cast<uint16_t>(0xcfc + (offset & 3));
  if ((how & 4) == 0) return (void)in(port, kWidths[how & 3]);
  // A range is put where another is as often as anywhere.
  const bool onto = (how & 8) != 0;
  const uint32_t value = onto ? static_cast<uint32_t>(bytes.pick(kAddresses)) | 1U : bytes.u32();
  out(port, kWidths[how & 3], value);
}

void FuzzBoard::write_ram(FuzzBytes& bytes) {
  const uint64_t at = bytes.u32() % (kRam - 256);
  const auto data = bytes.take(bytes.u8());
  physical_->write_ram(at, data);
}

void FuzzBoard::pass_time(FuzzBytes& bytes) {
  constexpr Nanoseconds kLongest = 50'000'000;
  const uint8_t magnitude = bytes.u8();
  clock_.advance((Nanoseconds{1} << (magnitude % 26)) % kLongest + magnitude);
}

void FuzzBoard::take_interrupts() {
  ProcessorInterrupts interrupts(board_->interrupts(), apic_ ? &apic_->local() : nullptr);
  if (interrupts.nmi_pending()) interrupts.take_nmi();
  for (int most = 4; most != 0 && interrupts.pending(); --most) note(interrupts.acknowledge());
}

void FuzzBoard::come_from_outside(FuzzBytes& bytes) {
  const uint8_t what = bytes.u8();
  const auto data = bytes.take(what >> 3);
  switch (what & 7) {
    case 0:
      return note(board_->serial(0).receive(data));
    case 1:
      return note(board_->keyboard_controller().inject_scancodes(data));
    case 2: {
      MouseMotion motion;
      motion.right = static_cast<int8_t>(bytes.u8());
      motion.up = static_cast<int8_t>(bytes.u8());
      motion.buttons = static_cast<uint8_t>(bytes.u8() & 7);
      return board_->keyboard_controller().move_mouse(motion);
    }
    case 3:
      disk_.broken = !disk_.broken;
      return;
    case 4:
      cdrom_.broken = !cdrom_.broken;
      return;
    case 5:
      floppy_.broken = !floppy_.broken;
      return;
    default:
      return take_interrupts();
  }
}

void FuzzBoard::command_drive(FuzzBytes& bytes) {
  const unsigned base = (bytes.u8() & 1) != 0 ? kSecondary : kPrimary;
  out8(base + 6, bytes.u8());
  for (unsigned i = 1; i < 6; ++i) out8(base + i, bytes.u8());
  out8(base + 7, known_or_any(bytes, kCommands));
}

void FuzzBoard::send_packet(FuzzBytes& bytes) {
  out8(kSecondary + 6, 0xa0);
  out8(kSecondary + 1, bytes.u8() & 1);
  out8(kSecondary + 4, bytes.u8());
  out8(kSecondary + 5, bytes.u8());
  out8(kSecondary + 7, 0xa0);
  uint32_t first = known_or_any(bytes, kPackets);
  first |= static_cast<uint32_t>(bytes.u8()) << 8;
  out(kSecondary, AccessWidth::Word, first);
  for (unsigned i = 1; i < 6; ++i) out(kSecondary, AccessWidth::Word, bytes.u16());
}

// A table of descriptors in RAM, then start.
void FuzzBoard::run_bus_master(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const auto base = static_cast<uint16_t>(kBusMaster + ((how & 1) != 0 ? 8 : 0));
  std::vector<uint8_t> table;
  for (uint32_t left = how >> 5; left != 0; --left) {
    const uint32_t address = bytes.u32();
    const uint32_t count = bytes.u32();
    for (const uint32_t word : {address, count}) {
      for (unsigned i = 0; i < 4; ++i) table.push_back(static_cast<uint8_t>(word >> 8 * i));
    }
  }
  physical_->write_ram(kTable, table);
  out(0xcf8, AccessWidth::Dword, 0x80000920);
  out(0xcfc, AccessWidth::Dword, kBusMaster | 1);
  out(0xcf8, AccessWidth::Dword, 0x80000904);
  out(0xcfc, AccessWidth::Word, 5);
  out(static_cast<uint16_t>(base + 4), AccessWidth::Dword, (how & 2) != 0 ? kTable : bytes.u32());
  out8(base, how & 9);
  note(in(static_cast<uint16_t>(base + 2), AccessWidth::Byte));
}

void FuzzBoard::ask_fw_cfg(FuzzBytes& bytes) {
  std::array<uint8_t, 16> request;  // control, length, address, each with its high byte first
  const uint32_t command = bytes.u8();
  const uint32_t control = command | static_cast<uint32_t>(bytes.u16()) << 16;
  const uint64_t length = (bytes.u8() & 1) != 0 ? bytes.u32() : bytes.u8();
  const uint64_t address = bytes.u32();
  for (unsigned i = 0; i < 4; ++i) {
    request[i] = static_cast<uint8_t>(control >> (24 - 8 * i));
    request[4 + i] = static_cast<uint8_t>(length >> (24 - 8 * i));
    request[8 + i] = 0;
    request[12 + i] = static_cast<uint8_t>(address >> (24 - 8 * i));
  }
  physical_->write_ram(kPacketData, request);
  out(0x514, AccessWidth::Dword, 0);
  out(0x518, AccessWidth::Dword, __builtin_bswap32(kPacketData));
  physical_->read_ram(kPacketData, request);
  for (const uint8_t byte : request) note(byte);
}

void FuzzBoard::command_floppy(FuzzBytes& bytes) {
  static constexpr std::array<uint8_t, 16> kCommands = {0x03, 0x04, 0x05, 0xc5, 0x06, 0xe6,
                                                        0x07, 0x08, 0x0a, 0x4a, 0x0d, 0x4d,
                                                        0x0e, 0x0f, 0x10, 0x13};
  out8(0x3f2, 0x0c | (bytes.u8() & 0xf3));
  // The controller's channel, as any driver sets it up.
  out8(0x0b, bytes.u8());
  out8(0x81, bytes.u8() & 0x1f);
  out8(0x04, 0);
  out8(0x05, 1);
  out8(0x05, bytes.u8());
  out8(0x0a, 2);
  out8(0x3f5, bytes.pick(kCommands));
  for (uint32_t left = bytes.below(10); left != 0; --left) out8(0x3f5, bytes.u8());
  for (unsigned i = 0; i < 8; ++i) (void)in(0x3f5, AccessWidth::Byte);
}

void FuzzBoard::act(FuzzBytes& bytes) {
  switch (bytes.u8() % 13) {
    case 0:
      return access_port_string(bytes);
    case 12:
      return repeat_writes(bytes);
    case 1:
    case 2:
      return access_memory(bytes);
    case 3:
    case 4:
      return access_config(bytes);
    case 5:
      return write_ram(bytes);
    case 6:
      return pass_time(bytes);
    case 7:
      return come_from_outside(bytes);
    case 8:
      return take_interrupts();
    default:
      return access_ports(bytes);
  }
}

void FuzzBoard::act_on_storage(FuzzBytes& bytes) {
  switch (bytes.u8() % 10) {
    case 0:
    case 1:
      return send_packet(bytes);
    case 2:
    case 3:
      return command_drive(bytes);
    case 4:
      return run_bus_master(bytes);
    case 5:
      return ask_fw_cfg(bytes);
    case 6:
      return command_floppy(bytes);
    case 7:
      return access_port_string(bytes);
    default:
      return act(bytes);
  }
}

// Ranges do not overlap, and nothing grows: three drives may each hold what they are to transfer.
void FuzzBoard::check() const {
  constexpr size_t kMostGrowth = size_t{1} << 20;
  CHECK(heap_bytes() <= heap_bytes_ + kMostGrowth);
  uint64_t free_from = 0;
  ports_.for_each_range([&](uint16_t first, uint32_t count, const std::string&) {
    CHECK(first >= free_from && count != 0);
    free_from = uint64_t{first} + count;
  });
  CHECK(free_from <= 0x10000);
  free_from = 0;
  memory_.for_each_range([&](GuestPhysical first, uint64_t count, const std::string&) {
    CHECK(first.value() >= free_from && count != 0);
    free_from = first.value() + count;
  });
  CHECK(free_from <= uint64_t{1} << 32);
}

}  // namespace ringshift::fuzz
