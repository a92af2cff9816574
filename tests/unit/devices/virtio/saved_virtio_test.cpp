// Virtio functions, saved and loaded in the middle of random traffic: registers of both interfaces,
// rings that make sense and rings that do not, requests that take several calls.
#include <array>

#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/support/saved_twins.h"
#include "tests/support/slow_disk.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr size_t kSmallRam = 0x10000;
constexpr uint64_t kRings = 0x1000, kHeaders = 0x4000, kTable = 0x5000, kBytes = 0x7000;
constexpr uint64_t kLength = uint64_t{1} << 30;

struct Surroundings {
  std::vector<uint8_t> ram = std::vector<uint8_t>(kSmallRam);
  uint64_t digest = 0;  // of all that was written to RAM, and done to the medium
  WireState wire;
  bool broken = false;
  Slowness pace;  // of the medium
  uint8_t random = 0;
  bool operator==(const Surroundings&) const = default;
  void note(uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL; }
};

class NotedRam final : public DmaMemory {
 public:
  explicit NotedRam(Surroundings& outside) : outside_(outside) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    for (size_t i = 0; i < to.size(); ++i) {
      to[i] = address + i < kSmallRam ? outside_.ram[address + i] : 0xff;
    }
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    ASSERT_LE(address + from.size(), kSmallRam);
    std::copy(from.begin(), from.end(), outside_.ram.begin() + static_cast<ptrdiff_t>(address));
    outside_.note(address << 32 | from.size());
    for (const uint8_t byte : from.first(std::min<size_t>(from.size(), 16))) outside_.note(byte);
  }

 private:
  Surroundings& outside_;
};

// A disk whose bytes follow from where they are, so that it need not be copied.
class NotedMedium final : public DiskBackend {
 public:
  explicit NotedMedium(Surroundings& outside) : outside_(outside) {}
  [[nodiscard]] uint64_t bytes() const override { return kLength; }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    std::fill(to.begin(), to.end(), static_cast<uint8_t>(offset / 512 * 7));
    return note(1, offset, to.size());
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    // Bytes that wait are taken again where the machine goes on, and this driver has changed them
    // by then.
    return note(2, offset, from.size() ^ (outside_.pace.slow ? 0U : from.front()));
  }
  [[nodiscard]] bool flush() override { return note(3, 0, 0); }
  [[nodiscard]] bool can_discard() const override { return true; }
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override {
    return note(4, offset, count);
  }
  [[nodiscard]] Progress advance(const DiskRequest& request) override {
    if (outside_.pace.must_wait()) return Progress::Waits;
    return DiskBackend::advance(request);
  }
  void abandon() override { outside_.pace.waits = 0; }
  void set_on_ready(std::function<void()> on_ready) override { on_ready_ = std::move(on_ready); }
  void deliver() override { on_ready_(); }

 private:
  bool note(uint64_t what, uint64_t offset, uint64_t count) {
    outside_.note(what << 60 ^ offset << 8 ^ count);
    return !outside_.broken;
  }
  std::function<void()> on_ready_;
  Surroundings& outside_;
};

class NotedSource final : public RandomSource {
 public:
  explicit NotedSource(Surroundings& outside) : outside_(outside) {}
  void fill(std::span<uint8_t> bytes) override {
    for (uint8_t& byte : bytes) byte = outside_.random++;
  }

 private:
  Surroundings& outside_;
};

// Device: made of the surroundings, with a member `device`.
template <typename Device>
struct VirtioWorld {
  VirtioWorld() {
    function.write_config(0x10, AccessWidth::Dword, kPortBase);
    function.write_config(0x14, AccessWidth::Dword, kPageBase);
    function.write_config(0x04, AccessWidth::Word, 7);
  }
  void visit_state(StateArchive& archive) { archive.part("function", function); }

  uint32_t in(unsigned offset, AccessWidth width) {
    return ports.read(static_cast<uint16_t>(kPortBase + offset), width);
  }
  void out(unsigned offset, AccessWidth width, uint32_t value) {
    ports.write(static_cast<uint16_t>(kPortBase + offset), width, value);
  }
  uint32_t load(unsigned offset, AccessWidth width) {
    return page.read(GuestPhysical(kPageBase + offset), width);
  }
  void store(unsigned offset, AccessWidth width, uint32_t value) {
    page.write(GuestPhysical(kPageBase + offset), width, value);
  }
  void put(uint64_t at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      outside.ram[at + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  uint16_t word(uint64_t at) {
    return static_cast<uint16_t>(outside.ram[at] | outside.ram[at + 1] << 8);
  }
  static constexpr uint64_t rings_of(unsigned queue) { return kRings + 0x3000 * queue; }
  static constexpr uint64_t available_of(unsigned queue) { return rings_of(queue) + 0x400; }

  // A driver of one of the interfaces, from the beginning.
  void start(Random& random) {
    std::fill(outside.ram.begin() + kRings, outside.ram.begin() + kHeaders, uint8_t{0});
    const bool legacy = random.one_in(2);
    const uint32_t features = random.one_in(2) ? ~0U : random.word() | 1U << 28;  // tables
    store(0x14, AccessWidth::Byte, 0);
    store(0x14, AccessWidth::Byte, 3);
    if (legacy) {
      out(0x04, AccessWidth::Dword, features);
      out(0x0e, AccessWidth::Word, 0);
      out(0x08, AccessWidth::Dword, kRings >> 12);
      out(0x12, AccessWidth::Byte, 7);
      return;
    }
    store(0x00, AccessWidth::Dword, 0);
    const uint32_t offered = load(0x04, AccessWidth::Dword);
    store(0x08, AccessWidth::Dword, 0);
    store(0x0c, AccessWidth::Dword, offered & features);
    store(0x08, AccessWidth::Dword, 1);
    store(0x0c, AccessWidth::Dword, 1);
    store(0x14, AccessWidth::Byte, 11);
    store(0x16, AccessWidth::Word, 0);
    store(0x18, AccessWidth::Word, 64);
    store(0x20, AccessWidth::Dword, rings_of(0));
    store(0x28, AccessWidth::Dword, available_of(0));
    store(0x30, AccessWidth::Dword, rings_of(0) + 0x800);
    store(0x1c, AccessWidth::Word, 1);
    store(0x14, AccessWidth::Byte, 15);
  }
  // Where the driver's ring is now; both interfaces say how large the queue is.
  uint64_t available() {
    const uint64_t legacy = in(0x08, AccessWidth::Dword);
    return legacy != 0 ? rings_of(0) + 16 * uint64_t{in(0x0c, AccessWidth::Word)} : available_of(0);
  }
  void describe(uint64_t at, uint64_t address, uint32_t bytes, unsigned flags, unsigned next) {
    put(at, address, 8);
    put(at + 8, bytes, 4);
    put(at + 12, flags, 2);
    put(at + 14, next, 2);
  }
  // Chains that make sense for this kind of device, most of the time.
  void offer(Random& random) {
    const unsigned head = random.below(16);
    if (!Device::fill(*this, random, head)) return;
    const unsigned size = in(0x0c, AccessWidth::Word);
    const uint64_t ring = available();
    if (size == 0 || ring + 6 + 2 * size > kHeaders) return;
    const uint16_t index = word(ring + 2);
    put(ring, random.one_in(4) ? 1 : 0, 2);
    put(ring + 4 + 2 * (index % size), random.one_in(100) ? random.word() : head, 2);
    put(ring + 4 + 2 * size, index + random.below(3) - 1, 2);
    put(ring + 2, index + (random.one_in(100) ? random.word() : 1), 2);
  }
  uint64_t act(Random& random) {
    const AccessWidth widths[] = {AccessWidth::Byte, AccessWidth::Word, AccessWidth::Dword};
    switch (random.below(random.one_in(20) ? 11 : 8)) {
      case 0:  // one pass; the other way, until nothing is due
        if (random.one_in(20)) clock.advance(random.below(1000));
        if (random.one_in(2)) clock.run_due();
        break;
      case 1:
        // A device that works is left alone, mostly.
        if (random.one_in((load(0x14, AccessWidth::Byte) & (4 | 64)) != 4 ? 1 : 20)) start(random);
        break;
      case 2:
        if (random.one_in(4)) outside.broken = !outside.broken;
        break;
      case 3:
        out(0x10, AccessWidth::Word, 0);
        break;
      case 8:
        out(random.below(0x14), random.pick(widths), random.word());
        break;
      case 9:
        store(random.below(0x40), random.pick(widths), random.word() & random.word());
        break;
      case 10: {
        const unsigned places[] = {0x04, 0x05, 0x88, 0x8c, 0x90, 0x94, 0x3c, 0x10, 0x14};
        const unsigned at = random.pick(places);
        const uint8_t values[] = {7, 1, 2, 4, 0x20, random.byte()};
        function.write_config(at, AccessWidth::Byte, random.pick(values));
        if (random.one_in(2)) function.write_config(0x10, AccessWidth::Dword, kPortBase);
        if (random.one_in(2)) function.write_config(0x14, AccessWidth::Dword, kPageBase);
        function.write_config(0x04, AccessWidth::Byte, 7);
        break;
      }
      default:
        offer(random);
        if (random.one_in(3)) store(0x200, AccessWidth::Word, 0);
        break;
    }
    return look(random);
  }
  uint64_t look(Random& random) {
    uint64_t answer = outside.digest * 3 + outside.wire.level;
    for (unsigned at = 0; at < 0x10; at += 4) answer = answer * 31 + in(at, AccessWidth::Dword);
    answer = answer * 31 + in(0x12, AccessWidth::Byte);
    for (unsigned at = 0; at < 0x38; at += 4) answer = answer * 31 + load(at, AccessWidth::Dword);
    for (const unsigned at : {0x04U, 0x3cU, 0x88U, 0x8cU, 0x90U, 0x94U}) {
      answer = answer * 31 + function.read_config(at, AccessWidth::Dword);
    }
    if (random.one_in(6)) answer = answer * 31 + load(0x40, AccessWidth::Byte);
    return answer;
  }

  ManualClock clock;
  Surroundings outside;
  NotedRam memory{outside};
  PortBus ports;
  MemoryBus page;
  PciBuses buses{ports, page, {}};
  OutsideLine line{outside.wire};
  Device parts{outside};
  VirtioPci function{{buses, clock, memory, kSmallRam, line}, parts.device};
};

struct BlkParts {
  explicit BlkParts(Surroundings& outside) : medium(outside) {}
  template <typename World>
  static bool fill(World& world, Random& random, unsigned head) {
    const uint32_t types[] = {0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 2};
    // Ranges are read again where the machine goes on, and this driver has changed them by then.
    const uint32_t type = types[random.below(world.outside.pace.slow ? 8 : 11)];
    const bool in = type == 0 || type == 8;
    const uint64_t header = kHeaders + 32 * head;
    world.put(header, type, 4);
    world.put(header + 8, random.one_in(30) ? random.word() : random.below(1U << 20), 8);
    const unsigned pieces = random.one_in(2) ? 60 + random.below(40) : random.below(4);
    const bool ranges = type == 11 || type == 13;
    const uint64_t table = kTable;
    world.describe(table, header, 16, kDescNext, 1);
    for (unsigned i = 0; i < pieces; ++i) {
      const uint32_t bytes = ranges ? 16 : pieces >= 60 ? 0x8000 : 512 * (1 + random.below(8));
      world.describe(table + 16 * (i + 1), ranges ? kHeaders + 512 + 16 * i : kBytes, bytes,
                     kDescNext | (in ? kDescWritable : 0), i + 2);
    }
    world.describe(table + 16 * (pieces + 1), header + 24, random.one_in(100) ? 0 : 1,
                   kDescWritable, 0);
    for (unsigned i = 0; i < 100; ++i) {
      world.put(kHeaders + 512 + 16 * i, random.below(1000), 8);
      world.put(kHeaders + 512 + 16 * i + 8, random.below(9), 8);
    }
    world.describe(World::rings_of(0) + 16 * head, table, 16 * (pieces + 2), kDescIndirect, 0);
    return true;
  }
  NotedMedium medium;
  VirtioBlk device{medium, "RS1"};
};

struct RngParts {
  explicit RngParts(Surroundings& outside) : source(outside) {}
  template <typename World>
  static bool fill(World& world, Random& random, unsigned head) {
    world.describe(World::rings_of(0) + 16 * head, kBytes, random.below(5000), kDescWritable, 0);
    return true;
  }
  NotedSource source;
  VirtioRng device{source};
};

TEST(SavedVirtio, ADiskGoesOn) {
  const SavedTwins<VirtioWorld<BlkParts>> twins(150, 200);
  twins.expect_that_they_agree();
}

struct SlowDiskWorld : VirtioWorld<BlkParts> {
  SlowDiskWorld() { outside.pace.slow = true; }
  uint64_t act(Random& random) {
    if (random.one_in(3)) parts.medium.deliver();
    if (random.one_in(9)) clock.advance(10'000'000);
    return VirtioWorld<BlkParts>::act(random);
  }
};

TEST(SavedVirtio, ASlowDiskGoesOn) {
  const SavedTwins<SlowDiskWorld> twins(150, 200);
  twins.expect_that_they_agree();
}

TEST(SavedVirtio, EachFieldOfADiskShows) {
  const SavedTwins<VirtioWorld<BlkParts>> twins(150, 200);
  // The timer is armed for at once, always.
  twins.expect_that_each_field_shows({"function/more/deadline"});
}

TEST(SavedVirtio, AnEntropyDeviceGoesOn) {
  const SavedTwins<VirtioWorld<RngParts>> twins(60, 200);
  twins.expect_that_they_agree();
}

// In the middle of a long request, what a file must not say.
TEST(SavedVirtio, ARequestThatIsNoneIsRefused) {
  const struct {
    const char* path;
    std::vector<uint8_t> value;
    const char* problem;
  } cases[] = {
      {"function/device/offset", {0, 0, 0, 0x80, 0, 0, 0, 0}, "the request is not on the medium"},
      {"function/device/offset", {1, 0, 0, 0, 0, 0, 0, 0}, "the request is not on the medium"},
      {"function/device/type", {9, 0, 0, 0}, "it is none"},
      {"function/queue 0/size", {3, 0}, "it is no power of two"},
      {"function/queue 0/size", {0, 2}, "512 is more than 256"},
      {"function/pending", {2, 0, 0, 0}, "2 is more than 1"},
  };
  for (const auto& one : cases) {
    VirtioWorld<BlkParts> world;
    Random random(1);
    uint32_t pieces = 0;
    world.start(random);
    for (const uint64_t half : {uint64_t{0}, uint64_t{8}}) world.put(kHeaders + half, 0, 8);
    world.describe(kTable, kHeaders, 16, kDescNext, 1);
    for (; pieces < 100; ++pieces) {
      world.describe(kTable + 16 * (pieces + 1), kBytes, 0x8000, kDescNext | kDescWritable,
                     pieces + 2);
    }
    world.describe(kTable + 16 * (pieces + 1), kHeaders + 24, 1, kDescWritable, 0);
    world.describe(kRings, kTable, 16 * (pieces + 2), kDescIndirect, 0);
    world.put(world.available() + 2, 1, 2);
    world.out(0x10, AccessWidth::Word, 0);
    ASSERT_TRUE(world.clock.next_deadline());
    std::vector<uint8_t> saved;
    std::string error;
    const auto visit = [&](StateArchive& archive) {
      archive.part("clock", static_cast<VirtualClock&>(world.clock));
      world.visit_state(archive);
    };
    ASSERT_TRUE(StateArchive::save(visit, &saved, &error)) << error;
    StateItems items = parse_state(saved);
    for_each_item(items, [&](const std::string& path, StateItems& all, size_t i) {
      if (path == one.path) all[i].payload = one.value;
    });
    EXPECT_FALSE(StateArchive::load(assemble_state(items), visit, &error));
    EXPECT_EQ(error.substr(error.rfind(": ") + 2), one.problem) << error;
  }
}

}  // namespace
}  // namespace ringshift
