// An 82540EM and a driver that means no good: registers by both ways, rings and buffers anywhere,
// descriptors of every kind, frames that come, a port with little room; and a stream of frames of
// any bytes. Every frame sent has a frame's length, no call moves more than some megabytes, and the
// same traffic gets the same answers, saved and loaded in the middle or not.
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/network/e1000.h"
#include "monitor/network/frame_stream.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/worlds.h"

namespace ringshift::fuzz {
namespace {

using namespace e1000;

constexpr int kMostActions = 300;
constexpr size_t kRam = 0x10000;
constexpr uint64_t kMostPerAction = uint64_t{8} << 20;
constexpr uint32_t kBase = 0xfe000000;
constexpr uint16_t kPorts = 0xc000;
constexpr uint32_t kTxRing = 0x1000, kRxRing = 0x2000;

struct Surroundings {
  std::vector<uint8_t> ram = std::vector<uint8_t>(kRam);
  std::deque<std::vector<uint8_t>> frames;
  unsigned room = 4;
  bool up = true;
  bool line = false;
  uint64_t digest = 0xcbf29ce484222325ULL;
  bool operator==(const Surroundings&) const = default;
  void note(uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL; }
};

// As guest RAM: all ones beyond it.
class Ram final : public DmaMemory {
 public:
  explicit Ram(Surroundings& around) : around_(around) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    moved += to.size();
    for (size_t i = 0; i < to.size(); ++i) {
      to[i] = address < kRam && address + i < kRam ? around_.ram[address + i] : uint8_t{0xff};
    }
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    moved += from.size();
    for (size_t i = 0; i < from.size() && address < kRam && address + i < kRam; ++i) {
      around_.ram[address + i] = from[i];
    }
  }
  uint64_t moved = 0;

 private:
  Surroundings& around_;
};

class Port final : public PacketPort {
 public:
  explicit Port(Surroundings& around) : around_(around) {}
  [[nodiscard]] bool has_room() const override { return around_.room != 0; }
  void send(std::span<const uint8_t> frame) override {
    CHECK(around_.room != 0 && frame.size() >= E1000::kLeastFrame &&
          frame.size() <= E1000::kLongestFrame);
    --around_.room;
    for (const uint8_t byte : frame) around_.note(byte);
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return around_.frames.empty() ? std::span<const uint8_t>() : around_.frames.front();
  }
  void take_received() override { around_.frames.pop_front(); }
  [[nodiscard]] bool is_up() const override { return around_.up; }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }
  std::function<void()> change;

 private:
  Surroundings& around_;
};

class World {
 public:
  World() {
    card_.write_config(0x10, AccessWidth::Dword, kBase);
    card_.write_config(0x18, AccessWidth::Dword, kPorts);
    card_.write_config(0x04, AccessWidth::Word, 7);
  }
  void act(FuzzBytes& bytes);
  void check() const { CHECK(memory_.moved <= kMostPerAction); }
  void visit_state(StateArchive& archive) {
    archive.part("clock", static_cast<VirtualClock&>(clock_));
    archive.part("card", card_);
  }
  [[nodiscard]] const Surroundings& surroundings() const { return around_; }
  [[nodiscard]] uint64_t digest() const { return around_.digest; }
  void take(const Surroundings& around) { around_ = around; }

 private:
  void set(uint32_t at, uint32_t value) {
    page_.write(GuestPhysical(kBase + at), AccessWidth::Dword, value);
  }
  void put(uint64_t at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      around_.ram[(at + i) % kRam] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  void start(FuzzBytes& bytes);
  void access_register(FuzzBytes& bytes);
  void write_descriptor(FuzzBytes& bytes);
  void come_from_outside(FuzzBytes& bytes);

  StepClock clock_;
  Surroundings around_;
  Ram memory_{around_};
  Port port_{around_};
  LevelLine line_{around_.line};
  PortBus ports_;
  MemoryBus page_;
  PciBuses buses_{ports_, page_, {}};
  E1000 card_{{buses_, clock_, memory_, line_}, port_, {2, 0, 0, 0, 0, 1}};
};

void World::start(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  set(kTdbal, kTxRing);
  set(kTdlen, 128U * (1 + (how & 3)));
  set(kRdbal, kRxRing);
  set(kRdlen, 128U * (1 + (how >> 2 & 3)));
  for (uint32_t i = 0; i < 64; ++i) put(kRxRing + 16 * i, 0x4000 + 0x200 * i, 8);
  set(kTctl, kTxEnable);
  set(kRctl, kRxEnable | kAllUnicast | kAllMulticast | kTakeBroadcast |
                 static_cast<uint32_t>(how & 0x30) << 12 | ((how & 0x40) != 0 ? kStripCrc : 0));
  set(kIms, kAllCauses);
  set(kRdt, 7);
}

void World::access_register(FuzzBytes& bytes) {
  static constexpr std::array<uint32_t, 32> kPlaces = {
      kCtrl,  kStatusRegister, kEecd,     kEerd,   kMdic,  kIcr,   kItr, kIcs, kIms,
      kImc,   kRctl,           kTctl,     kRdbal,  kRdbah, kRdlen, kRdh, kRdt, kTdbal,
      kTdbah, kTdlen,          kTdh,      kTdt,    kVet,   kMta,   kRal, kRah, kVfta,
      kGprc,  kTotl,           kTotl + 4, kRxcsum, kPba};
  const uint8_t how = bytes.u8();
  uint32_t at = kPlaces[how & 31];
  if ((how & 0x40) != 0) at = bytes.u16() * 2U;
  const bool by_port = (how & 0x20) != 0;
  if (by_port) ports_.write(kPorts, AccessWidth::Dword, at);
  if ((how & 0x80) == 0) {
    return around_.note(by_port ? ports_.read(kPorts + 4, AccessWidth::Dword)
                                : page_.read(GuestPhysical(kBase + at), AccessWidth::Dword));
  }
  const uint8_t size = bytes.u8();
  const uint32_t value = size < 128 ? size : size < 192 ? bytes.u16() : bytes.u32();
  if (by_port) return ports_.write(kPorts + 4, AccessWidth::Dword, value);
  page_.write(GuestPhysical(kBase + at), size % 16 == 15 ? AccessWidth::Byte : AccessWidth::Dword,
              value);
}

void World::write_descriptor(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const uint64_t at = kTxRing + 16 * uint64_t{how & 31U};
  if ((how & 0xe0) == 0xe0) {
    for (unsigned i = 0; i < 16; ++i) put(at + i, bytes.u8(), 1);
    return;
  }
  const uint8_t command = bytes.u8();
  const uint32_t length = (how & 0x80) != 0 ? bytes.u16() : 14U + bytes.u8() * 6U;
  put(at, uint64_t{bytes.u8()} << 8, 8);
  put(at + 8, length | static_cast<uint32_t>(how & 0x20) << 15 | uint32_t{command} << 24, 4);
  const uint32_t options = bytes.u8();
  put(at + 12, options << 8 | static_cast<uint32_t>(bytes.u8()) << 18, 4);
}

void World::come_from_outside(FuzzBytes& bytes) {
  const uint8_t what = bytes.u8();
  switch (what & 3) {
    case 0:
      around_.room = what >> 2;
      break;
    case 1:
      around_.up = (what & 4) != 0;
      break;
    case 2:
      if (around_.frames.size() < 8) around_.frames.emplace_back(14 + 24 * (what >> 2), what);
      break;
    default:
      return clock_.pass(1 + (what >> 2) * 1000);
  }
  port_.change();
  clock_.run_due();
}

void World::act(FuzzBytes& bytes) {
  memory_.moved = 0;
  const uint8_t what = bytes.u8();
  switch (what & 7) {
    case 0:
      return start(bytes);
    case 1:
    case 2:
      return access_register(bytes);
    case 3:
    case 4:
      return write_descriptor(bytes);
    case 5:
      return come_from_outside(bytes);
    case 6:
      return set(kTdt, what >> 3);
    default:
      return set(kRdt, what >> 3);
  }
}

// However the bytes come, the same frames are in them, each within bounds.
void read_stream(std::span<const uint8_t> input) {
  FrameReader whole, pieces;
  std::vector<size_t> first, second;
  const bool good = whole.add(input, [&](std::span<const uint8_t> frame) {
    CHECK(frame.size() <= kMostStreamFrame);
    first.push_back(frame.size());
  });
  bool still = true;
  for (size_t at = 0; at < input.size() && still; at += 3) {
    still = pieces.add(input.subspan(at, std::min<size_t>(3, input.size() - at)),
                       [&](std::span<const uint8_t> frame) { second.push_back(frame.size()); });
  }
  CHECK(good == still && first == second);
}

}  // namespace

void fuzz_network(std::span<const uint8_t> input) {
  if (!input.empty() && input[0] % 8 == 7) return read_stream(input.subspan(1));
  run_world_alike<World>(input, kMostActions);
}

}  // namespace ringshift::fuzz
