// Disk, CD-ROM drive, bus master and floppy, saved and loaded in the middle of random traffic.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>

#include "devices/storage/floppy.h"
#include "devices/storage/ide_controller.h"
#include "tests/support/saved_twins.h"
#include "tests/support/slow_disk.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

// A medium that is numbered, but for the sectors that were written, which are the test's.
struct MediumState {
  std::map<uint64_t, std::vector<uint8_t>> written;  // by sector
  bool broken = false;
  Slowness pace;  // of the medium
  bool operator==(const MediumState&) const = default;
};

class Medium final : public DiskBackend {
 public:
  static constexpr uint64_t kSector = 512;
  Medium(MediumState& state, uint64_t bytes, bool locked = false)
      : state_(state), bytes_(bytes), locked_(locked) {}
  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] bool read_only() const override { return locked_; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    EXPECT_LE(offset + to.size(), bytes_);
    for (size_t at = 0; at < to.size(); at += kSector) {
      const uint64_t sector = (offset + at) / kSector;
      const auto found = state_.written.find(sector);
      const auto part = to.subspan(at, kSector);
      if (found != state_.written.end()) std::ranges::copy(found->second, part.begin());
      if (found == state_.written.end()) std::ranges::fill(part, static_cast<uint8_t>(sector * 13));
    }
    return !state_.broken;
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    EXPECT_LE(offset + from.size(), bytes_);
    EXPECT_FALSE(locked_);
    for (size_t at = 0; at < from.size() && !state_.broken; at += kSector) {
      const auto part = from.subspan(at, kSector);
      state_.written[(offset + at) / kSector].assign(part.begin(), part.end());
    }
    return !state_.broken;
  }
  [[nodiscard]] bool flush() override { return !state_.broken; }
  [[nodiscard]] Progress advance(const DiskRequest& request) override {
    if (state_.pace.must_wait()) return Progress::Waits;
    return DiskBackend::advance(request);
  }
  void abandon() override { state_.pace.waits = 0; }
  void set_on_ready(std::function<void()> on_ready) override { on_ready_ = std::move(on_ready); }
  void deliver() override { on_ready_(); }

 private:
  std::function<void()> on_ready_;
  MediumState& state_;
  uint64_t bytes_;
  bool locked_;
};

// A little RAM, over and over.
class WrappedRam final : public DmaMemory {
 public:
  explicit WrappedRam(std::vector<uint8_t>& bytes) : bytes_(bytes) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    for_each_part(address, to.size(), [&](size_t at, size_t done, size_t count) {
      std::memcpy(to.data() + done, bytes_.data() + at, count);
    });
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    for_each_part(address, from.size(), [&](size_t at, size_t done, size_t count) {
      std::memcpy(bytes_.data() + at, from.data() + done, count);
    });
  }

 private:
  template <typename Move>
  void for_each_part(uint64_t address, size_t size, Move move) {
    for (size_t done = 0; done < size;) {
      const size_t at = (address + done) % bytes_.size();
      const size_t count = std::min(size - done, bytes_.size() - at);
      move(at, done, count);
      done += count;
    }
  }
  std::vector<uint8_t>& bytes_;
};

struct IdeOutside {
  WireState first, second;
  std::vector<uint8_t> ram = std::vector<uint8_t>(0x8000);
  MediumState disk, disc;
  uint32_t habit = 0;  // what the driver does for a while
  bool operator==(const IdeOutside&) const = default;
};

struct IdeWorld {
  static constexpr uint64_t kDiskBytes = 8192 * 512, kDiscBytes = 1200 * 2048;
  explicit IdeWorld(uint64_t disk_bytes) : disk(outside.disk, disk_bytes) { build(); }
  IdeWorld() : IdeWorld(kDiskBytes) {}
  void build() {
    ide.add_disk(0, disk);
    ide.add_disk(1, locked_disk);
    ide.add_cdrom(2, &disc);
    ide.write_config(0x20, AccessWidth::Dword, 0xc000);
    ide.write_config(0x04, AccessWidth::Word, 5);
  }
  void visit_state(StateArchive& archive) { archive.part("ide", ide); }

  PortDevice& channel(unsigned index) { return ide.channel(index).command_ports(); }
  uint64_t act(Random& random) {
    for (Medium* medium : {&disk, &locked_disk, &disc}) {
      if (outside.disk.pace.slow && random.one_in(4)) medium->deliver();
    }
    if (random.one_in(25)) outside.habit = random.below(5);
    const unsigned index = outside.habit == 0 ? random.below(2) : outside.habit % 2;
    const bool begins = random.one_in(6);
    if (outside.habit == 1 || outside.habit == 2) {
      if (random.one_in(30)) (index == 0 ? command_disk(random) : send_packet(random));
      if (begins) read_sectors(random, index);
      return random.one_in(3) ? look(random, index) : move_data(random, index);
    }
    if (outside.habit != 0) {
      if (begins) move_megabytes(random, index);
      if (random.one_in(4)) clock.advance(1);
      return look(random, index);
    }
    switch (random.below(20)) {
      case 0:
      case 13:
        command_disk(random);
        break;
      case 1:
      case 14:
        send_packet(random);
        break;
      case 2:
      case 3:
        run_master(random);
        break;
      case 4:
        if (random.one_in(12)) out8(ide.channel(index).control_port(), 0, random.byte() & 0x86);
        if (random.one_in(2)) out8(ide.channel(index).control_port(), 0, 0x80 * random.below(2));
        break;
      case 5:
        clock.advance(1);
        break;
      case 17:
        return identify(random);
      case 6:
        if (random.one_in(2)) out8(channel(index), 1 + random.below(6), random.byte());
        // With the registers as they are.
        if (random.one_in(4))
          out8(channel(index), 7, random.pick(std::array<uint8_t, 3>{0xef, 0xa0, 0x25}));
        break;
      case 15:
        if (random.one_in(2)) move_megabytes(random, index);
        break;
      case 16:
        read_sectors(random, index);
        break;
      case 7:
        if (random.one_in(8)) outside.disk.broken = outside.disc.broken = !outside.disk.broken;
        if (random.one_in(8)) ide.write_config(0x40, AccessWidth::Dword, random.word());
        return ide.read_config(0x40, AccessWidth::Dword);
      case 8:
      case 9:
      case 10:
      case 11:
      case 12:
        return move_data(random, index);
      default:
        break;
    }
    return look(random, index);
  }
  uint64_t look(Random& random, unsigned index) {
    const auto base = static_cast<uint16_t>(0xc000 + 8 * index);
    const uint64_t reads = in8(channel(index), 1 + random.below(7)) |
                           uint64_t{in8(ide.channel(index).control_port(), 0)} << 8 |
                           ports.read(base, AccessWidth::Dword) << 16;
    return reads ^
           uint64_t { ports.read(static_cast<uint16_t>(base + 4), AccessWidth::Dword) } << 32 ^
           static_cast<uint64_t>(outside.first.rising_edges) << 24 ^
           (outside.first.level ? 1U : 0) ^ (outside.second.level ? 2U : 0);
  }
  // As a driver's loop, and it stops anywhere.
  uint64_t move_data(Random& random, unsigned index) {
    uint64_t sum = 0;
    const bool writes = random.one_in(3);
    for (uint32_t left = random.below(random.one_in(2) ? 100 : 2500); left != 0; --left) {
      if (writes) channel(index).write(0, AccessWidth::Dword, left * 0x01010101U);
      if (!writes) sum = sum * 31 + channel(index).read(0, AccessWidth::Dword);
    }
    return sum;
  }
  void command_disk(Random& random) {
    const uint8_t commands[] = {0x20, 0x24, 0xc4, 0x29, 0xc8, 0x25, 0x30, 0x34, 0xc5, 0x39, 0xca,
                                0x35, 0xc6, 0x91, 0xef, 0xec, 0xe7, 0x40, 0xf8, 0x27, 0x90, 0x08,
                                0xc8, 0xca, 0xc4, 0xc5, 0x25, 0x25, 0x35, 0x35, 0xef, 0xef};
    const uint8_t code = random.pick(commands);
    PortDevice& first = channel(0);
    out8(first, 6, (random.one_in(4) ? 0xb0 : 0xe0) | (random.one_in(6) ? random.below(16) : 0));
    if (code == 0xef) out8(first, 1, random.pick(std::array<uint8_t, 4>{0x02, 0x82, 0x03, 0x55}));
    if (code == 0xef) out8(first, 2, random.pick(std::array<uint8_t, 3>{0x20, 0x22, 0x45}));
    for (const unsigned high : {1U, 0U}) {
      if (code != 0xef)
        out8(first, 2,
             high != 0      ? random.below(12)
             : code == 0xc6 ? 1U << random.below(6)
                            : random.below(200));
      out8(first, 3, high != 0 ? 0 : random.below(256));
      out8(first, 4, high != 0 ? 0 : random.below(4));
      out8(first, 5, 0);
    }
    out8(first, 7, code);
  }
  void send_packet(Random& random) {
    const uint8_t packets[] = {0x00, 0x03, 0x12, 0x25, 0x28, 0x28, 0x28, 0x43, 0x46, 0x4a,
                               0x4a, 0x51, 0x52, 0x5a, 0xa8, 0xbe, 0x1b, 0x1b, 0x1e, 0xff};
    PortDevice& second = channel(1);
    if (random.one_in(10)) return out8(second, 7, random.one_in(2) ? 0xa1 : 0xec);
    out8(second, 6, 0xa0);
    if (!random.one_in(4)) out8(second, 1, random.below(2));
    out8(second, 4, random.byte());
    out8(second, 5, random.below(0x20));
    out8(second, 7, 0xa0);
    const unsigned code = random.pick(packets);
    std::array<uint8_t, 12> packet{static_cast<uint8_t>(code)};
    packet[1] = code == 0x4a ? 1 : 0;
    packet[4] = code == 0x1b || code == 0x1e ? static_cast<uint8_t>(random.below(4)) : 0x40;
    packet[code == 0x1b ? 6 : 5] = static_cast<uint8_t>(random.below(40));
    packet[8] = static_cast<uint8_t>(random.below(30));
    packet[9] = code == 0xa8 ? static_cast<uint8_t>(random.below(30)) : 0xf8;
    // Most of the time all of it.
    const size_t bytes = random.one_in(8) ? random.below(6) * 2 : packet.size();
    for (size_t i = 0; i < bytes; i += 2) {
      second.write(0, AccessWidth::Word, packet[i] | uint32_t{packet[i + 1]} << 8);
    }
  }
  // Reads the settings of a disk.
  uint64_t identify(Random& random) {
    out8(channel(0), 6, 0xe0 | 0x10 * random.below(2));
    out8(channel(0), 7, 0xec);
    uint64_t sum = 0;
    for (int i = 0; i < 128; ++i) sum = sum * 31 + channel(0).read(0, AccessWidth::Dword);
    return sum;
  }
  // By programmed I/O in blocks of several sectors, of which the guest takes a part.
  void read_sectors(Random& random, unsigned index) {
    if (index == 1)
      return read_disc(random.below(9), 20 + random.below(30), 0, random.pick(kReads));
    out8(channel(0), 6, 0xe0 | 0x10 * random.below(2));
    out8(channel(0), 2, 1U << random.below(5));
    out8(channel(0), 7, 0xc6);
    out8(channel(0), 2, 40);
    out8(channel(0), 7, 0xc4);
  }
  // READ (10), or READ CD of whole raw sectors.
  static constexpr unsigned kReads[] = {0x28, 0xbe};
  void read_disc(uint32_t first, uint32_t count, unsigned dma, unsigned code) {
    out8(channel(1), 6, 0xa0);
    out8(channel(1), 1, dma);
    out8(channel(1), 4, 0);
    out8(channel(1), 5, 0x10);
    out8(channel(1), 7, 0xa0);
    const uint32_t words[] = {code, 0, first << 8, count & 0xff00, (count & 0xff) | 0xf800, 0};
    for (const uint32_t word : words) channel(1).write(0, AccessWidth::Word, word);
  }
  // More than goes at once: the rest waits for a timer, and the guest may look meanwhile.
  void move_megabytes(Random& random, unsigned index) {
    const bool writes = index == 0 && random.one_in(10);
    if (index == 1) {
      read_disc(random.below(100), 600 + random.below(500), 1, 0x28);
    } else {
      out8(channel(0), 6, 0xe0 | (writes ? 0 : 0x10 * random.below(2)));
      for (const unsigned value : {8 + random.below(8), random.below(256)}) {
        out8(channel(0), 2, value);
        for (const unsigned at : {3U, 4U, 5U}) out8(channel(0), at, 0);
      }
      out8(channel(0), 7, writes ? 0x35 : 0x25);
    }
    std::vector<uint8_t> table;
    const bool is_short = random.one_in(2);
    const unsigned count = is_short ? 17 : 100;
    for (unsigned i = 0; i < count; ++i) {
      const uint32_t bytes = is_short ? 0xfffe : 0x8000 + 0x100 * i;
      for (const unsigned byte :
           {i * 16, 0U, 0U, 0U, bytes, bytes >> 8, 0U, i + 1 == count ? 0x80U : 0U}) {
        table.push_back(static_cast<uint8_t>(byte));
      }
    }
    ram.write_ram(0x7800, table);
    const auto base = static_cast<uint16_t>(0xc000 + 8 * index);
    ports.write(base, AccessWidth::Byte, 0);
    ports.write(static_cast<uint16_t>(base + 4), AccessWidth::Dword, 0x7800);
    ports.write(base, AccessWidth::Byte, writes ? 1 : 9);
  }
  void run_master(Random& random) {
    const auto base = static_cast<uint16_t>(0xc000 + 8 * random.below(2));
    std::vector<uint8_t> table;
    const uint32_t count = 1 + random.below(80);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t words[] = {random.below(0x7000) & ~1U,
                                (random.below(4) != 0 ? random.word() & 0xfffe : 512) |
                                    (i + 1 == count && !random.one_in(4) ? 1U << 31 : 0)};
      for (unsigned byte = 0; byte < 8; ++byte)
        table.push_back(static_cast<uint8_t>(words[byte / 4] >> 8 * (byte % 4)));
    }
    ram.write_ram(0x7800, table);
    ports.write(static_cast<uint16_t>(base + 4), AccessWidth::Dword, 0x7800);
    ports.write(static_cast<uint16_t>(base + 2), AccessWidth::Byte, random.byte() & 0x66);
    ports.write(base, AccessWidth::Byte, random.one_in(4) ? 0 : 1 | 8 * random.below(2));
  }
  ManualClock clock;
  IdeOutside outside;
  PortBus ports;
  MemoryBus memory;
  WrappedRam ram{outside.ram};
  Medium disk;
  Medium locked_disk{outside.disk, kDiskBytes, true}, disc{outside.disc, kDiscBytes, true};
  PciBuses buses{ports, memory, {}};
  OutsideLine line14{outside.first}, line15{outside.second};
  IdeController ide{buses, clock, ram, line14, line15};
};

TEST(SavedStorage, TheIdeControllerGoesOn) {
  const SavedTwins<IdeWorld> twins(150, 200);
  twins.expect_that_they_agree();
}

// Drives that wait for their media in the middle of everything.
struct SlowIdeWorld : IdeWorld {
  SlowIdeWorld() { outside.disk.pace.slow = outside.disc.pace.slow = true; }
};

TEST(SavedStorage, SlowDrivesGoOn) {
  const SavedTwins<SlowIdeWorld> twins(150, 200);
  twins.expect_that_they_agree();
}

TEST(SavedStorage, EachFieldOfTheIdeControllerShows) {
  const SavedTwins<IdeWorld> twins(500, 80);
  // The rest of a transfer is always due at once, and no table here has thousands of entries. The
  // others have tests of their own below.
  twins.expect_that_each_field_shows(
      {"ide/master N/more/deadline", "ide/master N/descriptors seen", "ide/master N/region/address",
       "ide/master N/region/last", "ide/channel N/drive N/per block",
       "ide/channel N/drive N/changed", "ide/channel N/drive N/event",
       "ide/channel N/drive N/sector bytes", "ide/channel N/drive N/is waiting",
       "ide/channel N/dma has moved", "ide/master N/has begun", "ide/look again N/armed",
       "ide/look again N/deadline"});
}

TEST(SavedStorage, EachFieldOfAWaitShows) {
  const SavedTwins<SlowIdeWorld> twins(500, 80);
  for (const char* field : {"ide/channel N/drive N/is waiting", "ide/look again N",
                            "ide/channel N/dma has moved", "ide/master N/has begun"}) {
    twins.expect_that_each_field_shows({}, field);
  }
}

// Nothing but the tray, and what the guest is told of it.
struct TrayWorld : IdeWorld {
  uint64_t act(Random& random) {
    out8(channel(1), 6, 0xa0);
    out8(channel(1), 1, 0);
    out8(channel(1), 4, 8);
    out8(channel(1), 5, 0);
    out8(channel(1), 7, 0xa0);
    const uint32_t code = random.pick(std::array<uint8_t, 3>{0x1b, 0x4a, 0x25});
    const uint32_t load = code == 0x1b ? 2 + random.below(2) : 0;
    const uint32_t words[] = {code | (code == 0x4a ? 0x100U : 0U), 0, load, 0, 8, 0};
    for (const uint32_t word : words) channel(1).write(0, AccessWidth::Word, word);
    uint64_t sum = look(random, 1) + in8(channel(1), 1);
    for (int i = 0; i < 4; ++i) sum = sum * 31 + channel(1).read(0, AccessWidth::Word);
    return sum;
  }
};

TEST(SavedStorage, EachFieldOfTheTrayShows) {
  const SavedTwins<TrayWorld> twins(100, 40);
  for (const char* field : {"ejected", "changed", "event"}) {
    twins.expect_that_each_field_shows({}, std::string("ide/channel N/drive N/") + field);
  }
}

// Nothing but megabytes by DMA, and what they leave in RAM.
struct MegabyteWorld : IdeWorld {
  uint64_t act(Random& random) {
    if (random.one_in(4)) move_megabytes(random, random.below(2));
    if (random.one_in(2)) clock.advance(1);
    uint64_t sum = look(random, random.below(2));
    for (size_t i = 0; i < outside.ram.size(); i += 16) sum = sum * 31 + outside.ram[i];
    return sum;
  }
};

TEST(SavedStorage, EachFieldOfALongTransferShows) {
  const SavedTwins<MegabyteWorld> twins(300, 16);
  twins.expect_that_each_field_shows(
      {"ide/master N/has begun", "ide/master N/more/deadline", "ide/master N/descriptors seen"},
      "ide/master N/");
}

// Nothing but sectors of both sizes from the CD-ROM drive.
struct DiscWorld : IdeWorld {
  uint64_t act(Random& random) {
    if (random.one_in(8)) read_disc(random.below(9), 40, 0, random.pick(kReads));
    return move_data(random, 1);
  }
};

TEST(SavedStorage, TheSizeOfSectorsShows) {
  const SavedTwins<DiscWorld> twins(100, 40);
  twins.expect_that_each_field_shows({}, "ide/channel N/drive N/sector bytes");
}

// READ MULTIPLE by eight: the next interrupt comes with the next eight sectors.
TEST(SavedStorage, BlocksOfSeveralSectorsStayAsLarge) {
  IdeWorld one, other;
  out8(one.channel(0), 6, 0xe0);
  out8(one.channel(0), 2, 8);
  out8(one.channel(0), 7, 0xc6);
  out8(one.channel(0), 2, 24);
  out8(one.channel(0), 7, 0xc4);
  for (int i = 0; i < 200; ++i) (void)one.channel(0).read(0, AccessWidth::Dword);
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(StateArchive::save([&](StateArchive& a) { one.visit_state(a); }, &saved, &error));
  ASSERT_TRUE(StateArchive::load(
      saved, [&](StateArchive& a) { other.visit_state(a); }, &error));
  for (int i = 200; i < 24 * 128; ++i) {
    (void)in8(other.channel(0), 7);
    ASSERT_FALSE(other.outside.first.level);
    (void)other.channel(0).read(0, AccessWidth::Dword);
    ASSERT_EQ(other.outside.first.level, (i + 1) % 1024 == 0 && i + 1 < 24 * 128) << i;
  }
}

TEST(SavedStorage, ADiskOfAnotherSizeIsRefused) {
  IdeWorld one;
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(StateArchive::save([&](StateArchive& a) { one.visit_state(a); }, &saved, &error));
  IdeWorld other(200 * 512);
  EXPECT_FALSE(StateArchive::load(
      saved, [&](StateArchive& a) { other.visit_state(a); }, &error));
  EXPECT_EQ(
      error,
      "saved state: ide/channel 0/drive 0/sectors: it was 8192 where it was saved, and is 200 "
      "here");
}

struct FloppyOutside {
  WireState wire;
  std::vector<uint8_t> ram = std::vector<uint8_t>(0x4000);
  MediumState disk;
  bool operator==(const FloppyOutside&) const = default;
};

struct FloppyWorld {
  void visit_state(StateArchive& archive) {
    archive.part("dma", dma);
    archive.part("floppy", floppy);
  }
  uint64_t act(Random& random) {
    PortDevice& ports = floppy.ports();
    switch (random.below(8)) {
      case 0:
        if (random.one_in(4)) out8(ports, 2, random.one_in(4) ? random.byte() : 0x0c);
        break;
      case 1:
        out8(random.one_in(2) ? floppy.input_port() : ports, random.one_in(2) ? 0 : 4,
             random.one_in(20) ? 0x80 : random.below(4));
        break;
      case 2:
      case 3: {
        // A command, and how many parameters it has.
        const std::array<uint8_t, 2> commands[] = {
            {0x03, 2}, {0x04, 1}, {0x46, 8}, {0xe6, 8}, {0xc5, 8}, {0x45, 8}, {0x07, 1},
            {0x08, 0}, {0x08, 0}, {0x08, 0}, {0x4a, 1}, {0x0e, 0}, {0x0f, 2}, {0x0f, 2},
            {0x10, 0}, {0x13, 3}, {0x14, 0}, {0x94, 0}, {0x18, 0}, {0x4d, 5}, {0xff, 0}};
        const auto command = random.pick(commands);
        set_up_dma(random);
        out8(ports, 5, command[0]);
        const uint32_t parameters[] = {random.below(8),
                                       random.below(3),
                                       random.below(2),
                                       1 + random.below(18),
                                       2,
                                       18,
                                       27,
                                       255};
        const uint32_t given = random.one_in(8) ? random.below(9) : command[1];
        for (uint32_t i = 0; i < std::min(given, 8U); ++i) out8(ports, 5, parameters[i]);
        break;
      }
      case 4:
        out8(ports, 5, random.below(4));
        break;
      default:
        break;
    }
    uint64_t sum =
        in8(ports, 4) | uint64_t{in8(ports, 2)} << 8 | uint64_t{in8(floppy.input_port(), 0)} << 16;
    const uint32_t reads = random.one_in(3) ? random.below(11) : 0;
    for (uint32_t i = 0; i < reads; ++i) sum = sum * 31 + in8(ports, 5);
    return sum ^ (outside.wire.level ? 1ULL << 63 : 0);
  }
  void set_up_dma(Random& random) {
    out8(dma.first_ports(), 11, 2 | (1 + random.below(2)) << 2);
    out8(dma.first_ports(), 12, 0);
    out8(dma.first_ports(), 4, 0);
    out8(dma.first_ports(), 4, random.byte());
    out8(dma.first_ports(), 5, 0xff);
    out8(dma.first_ports(), 5, random.below(8));
    out8(dma.first_ports(), 14, 0);
  }
  ManualClock clock;
  FloppyOutside outside;
  OutsideLine line{outside.wire};
  WrappedRam ram{outside.ram};
  Medium disk{outside.disk, 1440 * 1024};
  DmaControllers dma;
  FloppyController floppy{clock, line, dma, ram, &disk};
};

TEST(SavedStorage, TheFloppyGoesOn) {
  const SavedTwins<FloppyWorld> twins(60, 200);
  twins.expect_that_they_agree();
}

struct SlowFloppyWorld : FloppyWorld {
  SlowFloppyWorld() { outside.disk.pace.slow = true; }
  uint64_t act(Random& random) {
    if (random.one_in(3)) disk.deliver();
    if (random.one_in(9)) clock.advance(10'000'000);
    return FloppyWorld::act(random);
  }
};

struct WritingFloppyWorld : SlowFloppyWorld {
  uint64_t act(Random& random) {
    if (random.one_in(4)) write_sectors(random);
    return SlowFloppyWorld::act(random);
  }
  // To the first cylinder, from wherever RAM is looked at.
  void write_sectors(Random& random) {
    PortDevice& ports = floppy.ports();
    out8(ports, 2, 0x1c);
    for (int i = 0; i < 10; ++i) (void)in8(ports, 5);
    for (const unsigned byte : {0x07U, 0U, 0x08U}) out8(ports, 5, byte);
    for (int i = 0; i < 2; ++i) (void)in8(ports, 5);
    set_up_dma(random);
    out8(dma.first_ports(), 11, 0x4a);
    const uint8_t first = random.byte() % 18 + 1;
    for (const unsigned byte : {0xc5U, 0U, 0U, 0U, unsigned{first}, 2U, 18U, 0x1bU, 0xffU}) {
      out8(ports, 5, byte);
    }
  }
};

TEST(SavedStorage, ASlowFloppyGoesOn) {
  const SavedTwins<SlowFloppyWorld> twins(60, 200);
  twins.expect_that_they_agree();
  const SavedTwins<WritingFloppyWorld> writing_twins(60, 200);
  writing_twins.expect_that_they_agree();
}

TEST(SavedStorage, EachFieldOfTheFloppyShows) {
  struct OnlyFloppy : SlowFloppyWorld {
    void visit_state(StateArchive& archive) { archive.part("floppy", floppy); }
  };
  const SavedTwins<OnlyFloppy> twins(800, 100);
  twins.expect_that_each_field_shows({"floppy/ended", "floppy/has sector", "floppy/sector"});
  struct OnlyWritingFloppy : WritingFloppyWorld {
    void visit_state(StateArchive& archive) { archive.part("floppy", floppy); }
  };
  const SavedTwins<OnlyWritingFloppy> writing_twins(800, 100);
  for (const char* field : {"floppy/ended", "floppy/has sector", "floppy/sector"}) {
    writing_twins.expect_that_each_field_shows({}, field);
  }
}

}  // namespace
}  // namespace ringshift
